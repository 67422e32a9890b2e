// The second view: what is right and wrong, and the lists of what to look at.

import { getJson } from "./api.js";
import { byClass, countConfusion, matrix } from "./confusion.js";
import { byId, element, redrawn } from "./dom.js";
import { Marks } from "./marks.js";
import { percent, plural } from "./points.js";
import { set, state } from "./state.js";
import { Walk } from "./walk.js";

const MOST_OF_A_CELL = 500;

export class JudgeView {
  constructor() {
    this.root = byId("view-judge");
    this.lists = [];
    this.walk = null;
    window.addEventListener("keydown", (event) => {
      if (this.root.hidden || !this.walk || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, select, textarea, [role=tablist]")) return;
      if (event.key === "Escape") set({ list: null, place: null });
      else if (!this.walk.key(event)) return;
      event.preventDefault();
    });
  }

  setPoints(points) {
    this.points = points;
    if (!this.marks?.areOf(points)) this.marks = new Marks(points); // an open walk goes on with the same
  }

  setLists(lists) {
    this.lists = lists;
  }

  async update(now) {
    if (now.view !== "judge" || !this.points) return;
    const asked = JSON.stringify([
      ...[now.list, now.split, this.points.found, this.points.version],
      now.list ? null : this.lists.length,
    ]);
    if (asked === this.asked) {
      const place = Math.min(Number(now.place) || 0, (this.walk?.list.rows.length ?? 1) - 1);
      if (this.walk && this.walk.at !== place) this.walk.go(place);
      return;
    }
    this.asked = asked;
    this.walk = null;
    if (now.list) await this._list(now);
    else this._overview(now);
  }

  _overview(now) {
    const { points, lists } = this;
    if (!points.found) {
      const text =
        points.rows < 2
          ? "Two images are needed to judge them."
          : "The neighbours of every image are still being searched. This page goes on by itself when they are found.";
      this.root.replaceChildren(element("p", { class: "empty" }, text));
      return;
    }
    const menu = element(
      "ul",
      { class: "lists", "aria-label": "Lists" },
      lists.map(({ name, title, about, total }) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", disabled: !total, onclick: () => set({ list: name, place: null }) },
            element("strong", {}, title),
            element("span", { class: "count" }, total === null ? "–" : total.toLocaleString("en")),
            element("span", { class: "hint" }, total === null ? missing(name) : about),
          ),
        ),
      ),
    );
    const parts = [element("h2", { tabindex: "-1" }, "Look at"), menu];
    const overview = element(
      "div",
      { class: "judge" },
      element("section", { class: "menu" }, parts),
      element("section", { class: "score" }, this._score(now)),
    );
    const back = this.root.contains(document.activeElement) && !this.root.querySelector(".judge");
    redrawn(this.root, () => this.root.replaceChildren(overview));
    if (back) this.root.querySelector("h2").focus();
  }

  _score(now) {
    const { points } = this;
    const [label, prediction, split] = ["label", "prediction", "split"].map((name) => points.column(name));
    if (!label || !prediction) {
      return element(
        "p",
        { class: "empty" },
        "These images have no labels of two classes, so nothing can be right or wrong. Duplicates and outliers need none.",
      );
    }
    const splits = split?.kind === "categories" ? split.names : [];
    const only = splits.indexOf(now.split);
    const match = only < 0 ? () => true : (row) => split.values[row] === only;
    const confusion = countConfusion(label, prediction, match);
    const choose = (truth, said) => set({ list: `cell:${truth}:${said}`, place: null });
    return [
      element(
        "div",
        { class: "total" },
        element(
          "p",
          {},
          element("strong", { class: "large" }, percent(confusion.right / confusion.total)),
          ` of ${plural(confusion.total, "image")} get their own label from their 20 nearest neighbours, themselves left out.`,
        ),
        splits.length
          ? element(
              "label",
              {},
              "Split ",
              element(
                "select",
                { onchange: (event) => set({ split: event.target.value || null }) },
                element("option", { value: "" }, "all"),
                splits.map((name) => element("option", { value: name, selected: name === now.split }, name)),
              ),
            )
          : null,
      ),
      splits.includes("train")
        ? element(
            "p",
            { class: "hint" },
            "Images that a model was trained on look better than they are: judge it by the others.",
          )
        : null,
      byClass(confusion, choose),
      matrix(confusion, choose),
    ];
  }

  async _list(now) {
    this.root.replaceChildren(element("p", { class: "empty" }, "Loading …"));
    let list;
    try {
      list = now.list.startsWith("cell:") ? this._cell(now) : await this._named(now.list);
    } catch (error) {
      this.root.replaceChildren(
        element("p", { class: "refused", role: "alert" }, error.message),
        element(
          "p",
          { class: "buttons" },
          element("button", { type: "button", onclick: () => set({ list: null, place: null }) }, "Back"),
        ),
      );
      this.root.querySelector("button").focus();
      return;
    }
    if (state().list !== now.list) return;
    this.walk = new Walk(this.root, {
      points: this.points,
      marks: this.marks,
      list,
      start: Number(now.place ?? 0),
      on: {
        went: (place) => set({ place: place || null }, { back: false }),
        pick: (id) => set({ view: null, like: id, q: null, image: null }),
        close: () => set({ list: null, place: null }),
      },
    });
    this.root.querySelector("h2")?.focus({ preventScroll: true });
  }

  async _named(name) {
    const list = await getJson(`lists/${encodeURIComponent(name)}?limit=500`);
    if (list.planted_recall === undefined) return list;
    const about = `${list.about} Of labels made wrong on purpose, at least ${percent(list.planted_recall)} come on such a list here.`;
    return { ...list, about };
  }

  // Images of one class that are taken for another.
  _cell(now) {
    const { points } = this;
    const [label, prediction, split, issue] = ["label", "prediction", "split", "issue"].map((name) =>
      points.column(name),
    );
    const [own, taken] = now.list.split(":").slice(1).map(Number);
    const [truth, said] = [label?.names[own], prediction?.names[taken]];
    if (truth === undefined || said === undefined)
      throw new Error("This index has no such classes. Go back to see those that it has.");
    const only = split ? split.names.indexOf(now.split) : -1;
    const rows = [];
    for (let row = 0; row < points.rows; row++) {
      if (label.values[row] === own && prediction.values[row] === taken && (only < 0 || split.values[row] === only))
        rows.push(row);
    }
    if (issue) rows.sort((a, b) => issue.values[b] - issue.values[a]);
    const entry = (row) => ({
      row,
      id: points.id(row),
      label: truth,
      suggested: said,
      split: points.text(split, row),
      score: issue?.values[row],
    });
    return {
      name: now.list,
      title: own === taken ? `${truth}, right` : `${truth} taken for ${said}`,
      about: own === taken ? "The least sure first." : "The surest first.",
      value: "score",
      total: rows.length,
      rows: rows.slice(0, MOST_OF_A_CELL).map(entry),
    };
  }
}

function missing(name) {
  return name === "leaks" ? "Needs images of two splits in one index." : "Needs labels of two classes.";
}
