// The third view: two models over the same images, side by side. What is chosen in one map is chosen in the other.

import { GROUPS, agreement, groupColors } from "./agreement.js";
import { getBytes } from "./api.js";
import { download } from "./csv.js";
import { byId, element, redrawn, say } from "./dom.js";
import { ScatterMap } from "./map.js";
import { Points, percent, plural } from "./points.js";
import { set, state } from "./state.js";
import { strip } from "./strip.js";

const MOST_IMAGES = 60;
export class CompareView {
  constructor() {
    this.root = byId("view-compare");
    this.indexes = [];
    this.maps = [];
  }

  setPoints(points) {
    this.points = points;
    this.drawn = null;
  }

  setIndexes(indexes) {
    const before = JSON.stringify(this.indexes.map(brief));
    this.indexes = indexes;
    if (before !== JSON.stringify(indexes.map(brief))) this.update(state(), {});
  }

  async update(now) {
    if (now.view !== "compare" || !this.points || !this.indexes.length) return;
    if (this.indexes.length < 2) return void this._alone();
    const which = Number(now.with) in this.indexes && Number(now.with) > 0 ? Number(now.with) : 1;
    const other = this.indexes[which];
    const wanted = JSON.stringify([
      which,
      brief(other),
      this.points.version,
      this.points.found,
      this.points.planes.length,
    ]);
    if (this.drawn !== wanted) {
      this.drawn = wanted;
      for (const map of this.maps.splice(0)) map.destroy();
      this.root.replaceChildren(element("p", { class: "empty" }, `Loading ${other.name} …`));
      try {
        const points = new Points(await getBytes(`points?index=${which}`));
        if (this.drawn !== wanted) return;
        this.sides = [this.points, points];
        Object.assign(this, agreement(this.points, points));
        await this._build(which);
      } catch (error) {
        this.drawn = null;
        this.root.replaceChildren(element("p", { class: "refused", role: "alert" }, error.message));
        return;
      }
    }
    if (this.maps.length) await this._follow(state());
  }

  _alone() {
    this.root.replaceChildren(
      element(
        "div",
        { class: "empty" },
        element("h2", {}, "One index is served, comparing takes two"),
        element("p", {}, "Index the same images with another model, then start the server with both:"),
        element("pre", {}, `likewise serve ${this.points.name} OTHER`),
      ),
    );
  }

  async _build(which) {
    const [a, b] = this.sides;
    const frame = (points, letter) => {
      const box = element("div", { class: "map" });
      return [
        element(
          "figure",
          { class: "half" },
          element(
            "figcaption",
            {},
            element("strong", {}, letter),
            ` ${points.name} `,
            element("span", { class: "hint" }, this._score(points)),
          ),
          box,
        ),
        box,
      ];
    };
    const [[left, boxA], [right, boxB]] = [frame(a, "A"), frame(b, "B")];
    this.groups = element("div", { class: "groups", role: "group", "aria-label": "Show one group alone" });
    this.found = element("section", { class: "results", "aria-label": "Images of the choice" });
    const choose =
      this.indexes.length > 2
        ? element(
            "label",
            {},
            "B is ",
            element(
              "select",
              { onchange: (event) => set({ with: event.target.value, csel: null }) },
              this.indexes
                .slice(1)
                .map((index, i) => element("option", { value: i + 1, selected: i + 1 === which }, index.name)),
            ),
          )
        : null;
    const note =
      this.common < Math.max(a.rows, b.rows)
        ? `${plural(this.common, "image")} in both; the others stay grey.`
        : `${plural(this.common, "image")} in both.`;
    this.root.replaceChildren(
      element(
        "div",
        { class: "compare-head" },
        choose,
        this.groups,
        element(
          "p",
          { class: "hint" },
          this.common
            ? note
            : "These indexes have no image in common: their ids differ. Index the same source with both models.",
        ),
      ),
      element("div", { class: "halves" }, left, right),
      this.found,
    );
    this.maps = [boxA, boxB].map(
      (box, side) =>
        new ScatterMap(box, {
          name: `Map ${"AB"[side]}, ${this.sides[side].name}`,
          on: {
            hover: (row) => this.maps[1 - side].point(row === null ? null : this._other(side, row)),
            pick: (row) => this._pick(side, row),
            mode: (mode) => this.maps[1 - side].setMode(mode),
            select: (polygon) =>
              set({
                csel: `${side},${polygon
                  .flat()
                  .map((value) => Number(value.toPrecision(4)))
                  .join(",")}`,
              }),
          },
        }),
    );
    await Promise.all(
      this.maps.map((map, side) => map.set(this.sides[side], this.sides[side].plane(), this.columns[side])),
    );
  }

  _score(points) {
    const error = points.column("error");
    if (!error) return `${plural(points.rows, "image")}`;
    let [right, known] = [0, 0];
    for (const value of error.values) {
      if (value === 0) right++;
      if (value >= 0) known++;
    }
    return `${percent(right / known)} right`;
  }

  _other(side, row) {
    const other = side === 0 ? this.toB[row] : this.toA[row];
    return other < 0 ? null : other;
  }

  _pick(side, row) {
    this.maps[side].mark([row], { numbered: false });
    const other = this._other(side, row);
    this.maps[1 - side].mark(other === null ? [] : [other], { numbered: false });
    const rowA = side === 0 ? row : other;
    if (rowA !== null) this._strip([rowA], "One image");
  }

  async _follow(now) {
    const { names } = this.columns[0];
    const only = names.indexOf(now.group);
    const values = (now.csel ?? "").split(",").map(Number);
    const polygon =
      values.length >= 7
        ? Array.from({ length: Math.floor((values.length - 1) / 2) }, (_, i) => [values[2 * i + 1], values[2 * i + 2]])
        : null;
    const side = values[0] === 1 ? 1 : 0;
    let rows = null; // of A
    if (polygon) {
      const within = this.maps[side].within(polygon);
      rows =
        side === 0
          ? within.filter((row) => this.toB[row] >= 0)
          : within.map((row) => this.toA[row]).filter((row) => row >= 0);
    }
    this.maps.forEach((map, place) => map.outline(polygon && place === side ? polygon : null));
    const chosen = [];
    for (const row of rows ?? this.toB.keys())
      if (this.toB[row] >= 0 && (only < 0 || this.columns[0].values[row] === only)) chosen.push(row);
    const all = !rows && only < 0;
    const masks = this.sides.map((points) => new Uint8Array(points.rows));
    for (const row of chosen) {
      masks[0][row] = 1;
      masks[1][this.toB[row]] = 1;
    }
    this._groups(only);
    await Promise.all(this.maps.map((map, place) => map.show(all ? null : masks[place])));
    if (all) this.found.replaceChildren();
    else {
      this._strip(chosen, `${plural(chosen.length, "image")}${only >= 0 ? `, ${names[only]}` : " selected"}`);
      say(`${plural(chosen.length, "image")} chosen in both maps`);
    }
  }

  _groups(only) {
    if (!this.judged)
      return void this.groups.replaceChildren(
        element(
          "p",
          { class: "hint" },
          this.common ? "Without labels nobody is right: points have the colours of A." : "",
        ),
      );
    const palette = groupColors();
    const buttons = GROUPS.map((name, code) =>
      element(
        "button",
        {
          type: "button",
          "aria-pressed": String(only === code),
          onclick: () => set({ group: only === code ? null : name }),
        },
        element("span", { class: `dot ${palette[code].symbol}`, style: `background: ${palette[code].color}` }),
        element("span", {}, name),
        element("strong", {}, this.counts[code].toLocaleString("en")),
      ),
    );
    redrawn(this.groups, () => this.groups.replaceChildren(...buttons));
  }

  _strip(rows, title) {
    const [a] = this.sides;
    const items = rows.slice(0, MOST_IMAGES).map((row) => ({ id: a.id(row), row, words: this._said(row) }));
    const point = (row) => {
      this.maps[0].point(row);
      this.maps[1].point(row === null ? null : this._other(0, row));
    };
    this.found.replaceChildren(
      element(
        "header",
        {},
        element("h2", {}, title),
        rows.length > MOST_IMAGES && element("span", { class: "hint" }, `the first ${MOST_IMAGES}`),
        element("button", { type: "button", disabled: !rows.length, onclick: () => this._export(rows) }, "Export CSV"),
        element("button", { type: "button", onclick: () => this._clear() }, "Clear"),
      ),
      items.length
        ? strip(items, { label: title, on: { point, pick: ({ row }) => this._pick(0, row) }, numbered: false })
        : element("p", { class: "empty" }, "No image."),
    );
  }

  _clear() {
    this.maps.forEach((map) => map.mark([]));
    this.found.replaceChildren();
    this.maps[0].root.focus();
    set({ csel: null, group: null });
  }

  _said(row) {
    const [a, b] = this.sides;
    const label = a.text(a.column("label"), row);
    if (!this.judged) return label || a.id(row);
    return `${label}: A ${a.text(a.column("prediction"), row)}, B ${b.text(b.column("prediction"), this.toB[row])}`;
  }

  _export(rows) {
    const [a, b] = this.sides;
    const text = (points, name, row) => points.text(points.column(name), row);
    download(
      `${a.name}-${b.name}.csv`,
      ["id", "label", "prediction_a", "prediction_b", "agreement"],
      rows.map((row) => [
        a.id(row),
        text(a, "label", row),
        text(a, "prediction", row),
        text(b, "prediction", this.toB[row]),
        a.text(this.columns[0], row),
      ]),
    );
  }
}

const brief = ({ name, version, found, tsne }) => [name, version, found, tsne];
