// A list of images that a person goes through: one large, what is said about it, its neighbours, a verdict; all by keyboard.

import { neighbors, thumbnail } from "./api.js";
import { download } from "./csv.js";
import { element, picture, roving, say } from "./dom.js";
import { VERDICTS } from "./marks.js";
import { number, plural } from "./points.js";
import { strip } from "./strip.js";

const NEIGHBORS = 10;

const fact = (name, value) =>
  name === "gap" ? ["farther from its own class", `${number(value)} ×`] : [name, number(value)];

// list: { name, title, about, value, rows: [{ row, id, other?, … }], total }
export class Walk {
  constructor(root, { points, marks, list, start, on }) {
    Object.assign(this, { root, points, marks, list, on });
    this.at = Math.max(0, Math.min(start, list.rows.length - 1));
    root.replaceChildren(
      this._head(),
      ...(list.rows.length
        ? this._body()
        : [element("p", { class: "empty" }, "Nothing here: no image of this index is on this list.")]),
    );
    if (list.rows.length) this.go(this.at);
  }

  // Keys of the whole view; true where one was for this list.
  key(event) {
    if (!this.list.rows.length) return false;
    const step = { j: 1, ArrowDown: 1, ArrowRight: 1, k: -1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const verdict = VERDICTS.find(({ key }) => key === event.key);
    if (step && !(event.key.startsWith("Arrow") && event.target.closest(".strip"))) this.go(this.at + step);
    else if (verdict) this.mark(verdict.name);
    else if (event.key === "Backspace" || event.key === "c") this.mark("");
    else if (event.key === "e") this.export();
    else return false;
    return true;
  }

  go(place) {
    const { rows } = this.list;
    if (!(place in rows)) return void say(place < 0 ? "This is the first" : "This was the last");
    this.at = place;
    const entry = rows[place];
    this.film.querySelectorAll("button").forEach((button, i) => {
      button.setAttribute("aria-current", String(i === place));
      button.setAttribute("tabindex", i === place ? "0" : "-1");
    });
    this.film.children[place].scrollIntoView({ block: "nearest", inline: "nearest" });
    this.position.textContent = `${place + 1} of ${rows.length.toLocaleString("en")}`;
    this.card.replaceChildren(...this._card(entry));
    this._verdicts();
    this._around(entry);
    this.on.went?.(place, entry);
    say(`${place + 1} of ${rows.length}: ${this.points.describe(entry.row)}`);
  }

  mark(verdict) {
    const entry = this.list.rows[this.at];
    this.marks.put(this.list.name, entry.id, verdict);
    this._marked(this.at);
    say(verdict ? `marked: ${verdict}` : "mark taken away");
    if (verdict && this.at + 1 < this.list.rows.length) this.go(this.at + 1);
    else this._verdicts();
    this.counted.textContent = this._count();
  }

  export() {
    const { list, marks } = this;
    const header = [
      "rank",
      "id",
      "label",
      "suggested",
      "split",
      list.value ?? "value",
      "other_id",
      "other_label",
      "mark",
    ];
    const rows = list.rows.map((entry, place) => [
      place + 1,
      entry.id,
      entry.label,
      entry.suggested,
      entry.split,
      entry[list.value],
      entry.other?.id,
      entry.other?.label,
      marks.get(list.name, entry.id),
    ]);
    download(`${this.points.name}-${list.name}.csv`, header, rows);
  }

  _count() {
    const marked = this.marks.count(
      this.list.name,
      this.list.rows.map((entry) => entry.id),
    );
    return marked ? `${marked} marked` : "";
  }

  _head() {
    const { list } = this;
    this.position = element("span", { class: "position" });
    this.counted = element("span", { class: "hint" }, this._count());
    const more =
      list.total > list.rows.length
        ? ` The first ${list.rows.length.toLocaleString("en")} of ${list.total.toLocaleString("en")}.`
        : "";
    return element(
      "header",
      { class: "walk-head" },
      element(
        "div",
        {},
        element("h2", { tabindex: "-1" }, list.title),
        element("p", { class: "hint" }, `${list.about}${more}`),
      ),
      element(
        "p",
        { class: "buttons" },
        this.counted,
        element("button", { type: "button", onclick: () => this.export(), disabled: !list.rows.length }, "Export CSV"),
        element("button", { type: "button", onclick: () => this.on.close?.() }, "Back"),
      ),
    );
  }

  _body() {
    const { list } = this;
    this.film = element(
      "ol",
      { class: "film", "aria-label": list.title },
      list.rows.map((entry, place) =>
        element(
          "li",
          {},
          element(
            "button",
            {
              type: "button",
              onclick: () => this.go(place),
              "aria-label": `${place + 1}. ${this.points.describe(entry.row)}`,
            },
            picture(thumbnail(entry.id), ""),
            element("span", { class: "verdict" }),
          ),
        ),
      ),
    );
    roving(this.film, "button");
    this.card = element("div", { class: "card" });
    this.verdicts = element("p", { class: "buttons verdicts", role: "group", "aria-label": "Verdict" }, this._buttons());
    this.around = element("div", { class: "around" });
    list.rows.forEach((_, place) => this._marked(place));
    const keys = element("p", { class: "hint keys" });
    keys.innerHTML =
      "<kbd>J</kbd> <kbd>K</kbd> or arrows: next, previous · <kbd>X</kbd> problem · <kbd>O</kbd> fine · <kbd>U</kbd> unsure · <kbd>C</kbd> takes the mark away · <kbd>E</kbd> exports";
    const move = (text, name, step) =>
      element("button", { type: "button", "aria-label": name, onclick: () => this.go(this.at + step) }, text);
    const bar = element("p", { class: "buttons" }, move("←", "Previous", -1), this.position, move("→", "Next", 1));
    return [
      element(
        "div",
        { class: "walk" },
        this.film,
        element("div", { class: "one" }, bar, this.card, this.verdicts, this.around, keys),
      ),
    ];
  }

  _card(entry) {
    const side = (image, title) =>
      element(
        "figure",
        {},
        picture(thumbnail(image.id), this.points.describe(image.row), { lazy: false }),
        element(
          "figcaption",
          {},
          element("strong", {}, image.label ?? "no label"),
          title && element("span", {}, title),
          element("small", {}, [image.split, image.id].filter(Boolean).join(" · ")),
        ),
      );
    const { list } = this;
    const facts = [
      entry.suggested && list.name === "label-errors" && ["neighbours say", entry.suggested],
      list.value && Number.isFinite(entry[list.value]) && fact(list.value, entry[list.value]),
    ].filter(Boolean);
    return [
      side(entry, list.name === "label-errors" ? "is the label" : ""),
      entry.other ? side(entry.other, "") : null,
      element(
        "dl",
        {},
        facts.flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)]),
      ),
    ].filter(Boolean);
  }

  _now() {
    return this.marks.get(this.list.name, this.list.rows[this.at].id);
  }

  _buttons() {
    return VERDICTS.map(({ key, name, title }) =>
      element(
        "button",
        {
          type: "button",
          class: name,
          "aria-keyshortcuts": key,
          onclick: () => this.mark(this._now() === name ? "" : name),
        },
        title,
      ),
    );
  }

  _verdicts() {
    for (const [place, { name }] of VERDICTS.entries())
      this.verdicts.children[place].setAttribute("aria-pressed", String(this._now() === name));
  }

  _marked(place) {
    const verdict = this.marks.get(this.list.name, this.list.rows[place].id);
    const item = this.film.children[place];
    item.dataset.mark = verdict;
    item.querySelector(".verdict").textContent = verdict;
  }

  async _around(entry) {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const { hits } = await neighbors(entry.id, { k: NEIGHBORS, signal });
      const items = hits.map((hit) => ({
        id: hit.id,
        row: this.points.row(hit.id),
        words: hit.class_name ?? hit.id,
        value: hit.distance,
      }));
      this.around.replaceChildren(
        element("h3", {}, `Its ${plural(items.length, "nearest neighbour")}`),
        strip(items, { label: "Its nearest neighbours", on: { pick: ({ id }) => this.on.pick?.(id) } }),
      );
    } catch (error) {
      if (error.name !== "AbortError") this.around.replaceChildren(element("p", { class: "refused" }, error.message));
    }
  }
}
