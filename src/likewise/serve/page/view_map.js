// The first view: map, search, colours, selection.

import { thumbnail } from "./api.js";
import { byId, element, picture, say } from "./dom.js";
import { legend } from "./legend.js";
import { ScatterMap } from "./map.js";
import { plural } from "./points.js";
import { problem } from "./problem.js";
import { byImage, byNeighbors, byWords, fill, focusSearch, listen, stop } from "./search.js";
import { selection } from "./selection.js";
import { set, state } from "./state.js";
import { strip } from "./strip.js";
import { asText, fromText, shortened } from "./window.js";

const NOTHING_ASKED = { q: null, like: null, image: null };

export class MapView {
  constructor({ words }) {
    this.files = new Map(); // what the address says of an image → the image that was sent in, and where it is shown from
    this.map = new ScatterMap(byId("map"), {
      name: "Map of the images",
      on: {
        pick: (row) => set({ ...NOTHING_ASKED, like: this.points.id(row) }),
        // Coordinates mean something on one map only.
        select: (polygon) => set({ sel: shortened(polygon).flat().join(","), plane: this.map.plane.name }),
        move: (place) => set({ at: place && asText(place), plane: this.map.plane.name }, { back: false }),
      },
    });
    byId("color").addEventListener("change", (event) => set({ color: event.target.value, only: null }));
    byId("plane").addEventListener("change", (event) => set({ plane: event.target.value, at: null, sel: null }));
    listen({ words, found: (file) => this._byImage(file) });
  }

  async setPoints(points) {
    this.points = points;
    options(byId("color"), points.columns);
    options(byId("plane"), points.planes);
    byId("plane").disabled = points.planes.length < 2;
    await this.update(state(), {});
  }

  get column() {
    return this.points.column(state().color) ?? this.points.columns[0];
  }

  // Follow the address.
  async update(now, before) {
    const { points } = this;
    if (!points) return;
    const plane = points.plane(now.plane);
    const { column } = this;
    byId("color").value = column?.name ?? "";
    byId("plane").value = plane.name;
    const only = column?.kind === "categories" && now.only !== undefined ? column.names.indexOf(now.only) : -1;
    legend(byId("legend"), points, column, only < 0 ? null : only, (code) =>
      set({ only: code === null ? null : column.names[code] }),
    );
    const redrawn = this.map.plane !== plane || this.map.column !== column || this.map.points !== points;
    this.map.plane = plane;
    const polygon = corners(now.sel);
    const rows = polygon ? this.map.within(polygon) : null;
    this.map.shown = shown(points.rows, rows, only < 0 ? null : (row) => column.values[row] === only);
    this.map.outline(polygon);
    selection(byId("selection"), points, rows, {
      column: points.column("label") ?? column,
      on: { pick: ({ id }) => set({ ...NOTHING_ASKED, like: id }), point: (row) => this.map.point(row) },
      clear: () => set({ sel: null }),
    });
    byId("tips").hidden = Boolean(rows);
    if (rows && now.sel !== before.sel) say(`${plural(rows.length, "image")} selected`);
    if (redrawn || now.sel !== before.sel || now.only !== before.only) await this.map.set(points, plane, column);
    if (now.at !== undefined && now.at !== asText(this.map.window)) this.map.setWindow(fromText(now.at));
    fill(now);
    const asked = ["q", "like", "image", "filter"].some((name) => now[name] !== before[name]);
    if (asked) await this._search(now);
  }

  async _search({ q, like, image }) {
    stop();
    const own = this.files.get(image);
    if (q) await this._found(() => byWords(q), { title: `“${q}”` });
    else if (like) await this._found(() => byNeighbors(like), { title: "Neighbours of", query: like });
    else if (own) await this._found(() => byImage(own.file), { title: "Like", image: own.address });
    else if (image)
      this._refused({
        got: "The image that was searched for is not part of the address.",
        advice: "Drop it here again.",
      });
    else this.close();
  }

  _byImage(file) {
    // A number of its own, also where the address is of an earlier visit.
    this.images = Math.max(this.images ?? 0, parseInt(state().image) || 0) + 1;
    const image = `${this.images} ${file.name}`;
    this.files.set(image, { file, address: URL.createObjectURL(file) });
    set({ ...NOTHING_ASKED, view: null, image });
  }

  async _found(call, { title, query, image }) {
    const box = byId("results");
    box.setAttribute("aria-busy", "true");
    let answer;
    try {
      answer = await call();
    } catch (error) {
      if (error.name !== "AbortError") this._refused(error);
      return;
    } finally {
      box.removeAttribute("aria-busy");
    }
    problem(null);
    const items = answer.hits.map((hit) => ({
      id: hit.id,
      row: this.points.row(hit.id),
      words: hit.class_name ?? hit.caption?.split("\n")[0] ?? hit.id,
      value: hit.score ?? hit.distance,
      unit: hit.score === null || hit.score === undefined ? "distance" : "score",
    }));
    const rows = items.map((item) => item.row).filter((row) => row !== undefined);
    this.map.mark(rows);
    this.map.overlay.asked = query === undefined ? null : this.points.row(query);
    this.map.overlay.draw();
    const milliseconds = Math.max(1, Math.round(1000 * answer.seconds));
    const away = items.length - rows.length;
    this._show(
      element(
        "header",
        {},
        element("h2", { tabindex: "-1" }, title),
        query && picture(thumbnail(query), this._words(query), { lazy: false }),
        query && element("span", {}, this._words(query)),
        image && element("img", { src: image, alt: "your image" }),
        element(
          "span",
          { class: "hint" },
          `${plural(items.length, "image")} in ${milliseconds} ms${away ? `, ${away} of them not on the map` : ""}`,
        ),
        element(
          "button",
          { type: "button", class: "close", "aria-label": "Close the results", onclick: () => this.close(true) },
          "×",
        ),
      ),
      items.length
        ? strip(items, {
            label: "Images found, nearest first",
            on: { pick: ({ id }) => set({ ...NOTHING_ASKED, like: id }), point: (row) => this.map.point(row) },
          })
        : element(
            "p",
            { class: "empty" },
            "Nothing was found. ",
            state().filter ? "The filter may leave nothing." : "Try other words.",
          ),
    );
    say(`${plural(items.length, "image")} found`);
  }

  _words(id) {
    const row = this.points.row(id);
    return row === undefined ? id : this.points.describe(row);
  }

  _refused(error) {
    this.map.mark([]);
    this._show(
      element(
        "header",
        {},
        element("h2", { tabindex: "-1" }, "That did not work"),
        element(
          "button",
          { type: "button", class: "close", "aria-label": "Close", onclick: () => this.close(true) },
          "×",
        ),
      ),
      element(
        "p",
        { class: "refused", role: "alert" },
        element("strong", {}, error.got ?? error.message),
        " ",
        [error.expected, error.advice].filter(Boolean).join(" "),
      ),
    );
  }

  // Whoever was in the results goes on at the head of the new ones.
  _show(...parts) {
    const box = byId("results");
    const within = box.contains(document.activeElement);
    box.hidden = false;
    box.replaceChildren(...parts);
    if (within) box.querySelector("h2").focus({ preventScroll: true });
  }

  close(forget = false) {
    if (byId("results").contains(document.activeElement)) focusSearch();
    byId("results").hidden = true;
    byId("results").replaceChildren();
    this.map.overlay.asked = null;
    this.map.mark([]);
    if (forget) set(NOTHING_ASKED);
  }
}

function options(select, entries) {
  select.replaceChildren(...entries.map(({ name, title }) => element("option", { value: name }, title)));
}

function corners(text) {
  const values = (text ?? "").split(",").map(Number);
  if (values.length < 6 || values.some((value) => !Number.isFinite(value))) return null;
  return Array.from({ length: Math.floor(values.length / 2) }, (_, i) => [values[2 * i], values[2 * i + 1]]);
}

// Which rows keep their colour: those selected and those of the one name that is shown alone; null for all.
function shown(count, rows, named) {
  if (!rows && !named) return null;
  const kept = new Uint8Array(count);
  if (rows) for (const row of rows) kept[row] = 1;
  else kept.fill(1);
  if (named) for (let row = 0; row < count; row++) kept[row] &= named(row) ? 1 : 0;
  return kept;
}
