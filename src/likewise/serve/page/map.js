// The map: points drawn by Plotly in WebGL, one trace for each colour, and what lies over them on a canvas of ours: images
// when zoomed in, marked points, the lasso's line. Until Plotly is there, a sketch of the points stands in its place.

import { loadPlotly } from "./api.js";
import { css, paint } from "./colors.js";
import { element } from "./dom.js";
import { tools } from "./map_tools.js";
import { Overlay } from "./overlay.js";
import { Sketch } from "./sketch.js";
import { Tip } from "./tip.js";
import { tracesOf } from "./traces.js";
import { fitted, inside, moved, zoomed } from "./window.js";

export class ScatterMap {
  // root: element; on: { hover(row), pick(row), select(polygon), move(window), mode(mode) }
  constructor(root, { name, on = {}, thumbnails = true }) {
    this.root = root;
    this.on = on;
    this.plot = element("div", { class: "plot" });
    this.sketch = new Sketch();
    this.overlay = new Overlay(this, thumbnails);
    this.tip = new Tip(root);
    root.append(this.plot, this.sketch.canvas, this.overlay.canvas, tools(this, name));
    root.tabIndex = 0;
    root.setAttribute("role", "application");
    root.setAttribute("aria-roledescription", "map");
    root.setAttribute(
      "aria-label",
      `${name}. Arrow keys move, plus and minus zoom, zero shows all, Enter takes the image in the middle.`,
    );
    root.addEventListener("keydown", (event) => this._key(event));
    root.addEventListener("pointerleave", () => this._hovered(null));
    this.ended = new AbortController();
    const colors = matchMedia("(prefers-color-scheme: dark)");
    colors.addEventListener("change", () => this.draw(), { signal: this.ended.signal });
    this.observer = new ResizeObserver(() => this._resize());
    this.observer.observe(root);
    this.mode = "pan";
    this.shown = null; // rows that keep their colour: Uint8Array, or null for all
    this.groups = [];
    this.drawings = 0;
  }

  async set(points, plane, column) {
    this.points = points;
    this.column = column;
    this.plane = plane;
    if (this.planeName !== plane.name || !this.placed) {
      this.planeName = plane.name;
      this.window = this.fit();
      this.placed = false;
    }
    await this.draw();
  }

  // A browser has few WebGL contexts and takes the oldest away, so a map that is put aside gives its own back.
  destroy() {
    this.ended.abort();
    this.observer.disconnect();
    this.drawings++; // what is under way ends
    if (this.plot.data) window.Plotly.purge(this.plot);
  }

  get size() {
    return { width: this.root.clientWidth, height: this.root.clientHeight };
  }

  async draw() {
    if (!this.points) return;
    const drawing = ++this.drawings;
    if (!this.size.width) return void (this.sized = null); // nobody looks: when somebody does, it is drawn
    this.sized = JSON.stringify(this.size);
    const traces = this._traces();
    if (!this.plot.data) await this.sketch.draw(traces, this.window, this.size);
    const plotly = await loadPlotly();
    if (drawing !== this.drawings) return; // another one has begun meanwhile
    if (!this.size.width) return void (this.sized = null);
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: { visible: false, range: this._range("x") },
      yaxis: { visible: false, range: this._range("y") },
      hovermode: "closest",
      hoverdistance: 16,
      dragmode: this.mode,
      showlegend: false,
      selections: [],
      newselection: { line: { color: css("--accent"), width: 2, dash: "solid" } },
      ...this.size,
    };
    await plotly.react(this.plot, traces, layout, {
      displayModeBar: false,
      scrollZoom: true,
      doubleClick: false,
    });
    if (this.ended.signal.aborted) return void plotly.purge(this.plot);
    if (!this.listening) this._listen();
    this.sketch.remove();
    this.overlay.update();
  }

  // Only these rows keep their colour; null: all do.
  async show(rows) {
    this.shown = rows;
    if (this.plot.data) await this.draw();
  }

  mark(rows, { numbered = true } = {}) {
    this.overlay.marks = rows;
    this.overlay.numbered = numbered;
    this.overlay.update();
  }

  point(row) {
    this.overlay.pointed = row;
    this.overlay.draw();
  }

  outline(polygon) {
    this.overlay.polygon = polygon;
    this.overlay.draw();
  }

  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    for (const button of this.root.querySelectorAll("[data-mode]"))
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    if (this.plot.data) window.Plotly.relayout(this.plot, { dragmode: mode });
  }

  setWindow(place) {
    this.window = place ?? this.fit();
    this.placed = place !== null;
    if (this.plot.data) this._relayout();
  }

  toPixel(row) {
    return this.toPixelAt(this.plane.x[row], this.plane.y[row]);
  }

  toPixelAt(px, py) {
    const { width, height } = this.size;
    const scale = width / this.window.span;
    return [width / 2 + (px - this.window.x) * scale, height / 2 - (py - this.window.y) * scale];
  }

  // Rows that lie in the window.
  visible() {
    const { x, y, span } = this.window;
    const [half, tall] = [span / 2, (span / 2) * (this.size.height / this.size.width)];
    const rows = [];
    const { x: xs, y: ys } = this.plane;
    for (let row = 0; row < xs.length; row++)
      if (Math.abs(xs[row] - x) <= half && Math.abs(ys[row] - y) <= tall) rows.push(row);
    return rows;
  }

  within(polygon) {
    return inside(polygon, this.plane.x, this.plane.y);
  }

  colorOf(row) {
    const group = this.painted?.of(row) ?? -1;
    return group < 0 ? css("--dim") : this.painted.groups[group].color;
  }

  fit() {
    return fitted(this.plane.x, this.plane.y, this.size);
  }

  _range(axis) {
    const { width, height } = this.size;
    const half = (this.window.span / 2) * (axis === "x" ? 1 : height / width);
    return [this.window[axis] - half, this.window[axis] + half];
  }

  _traces() {
    this.painted = paint(this.column);
    const { traces, rows } = tracesOf(this.points.rows, this.plane, this.painted, this.shown, this.size);
    this.groups = rows;
    return traces;
  }

  _listen() {
    this.listening = true;
    const row = (event) => this.groups[event.points[0].curveNumber]?.[event.points[0].pointNumber];
    this.plot.on("plotly_hover", (event) => this._hovered(row(event), event.event));
    this.plot.on("plotly_unhover", () => this._hovered(null));
    this.plot.on("plotly_click", (event) => this.on.pick?.(row(event)));
    this.plot.on("plotly_relayouting", (change) => this._follow(change));
    this.plot.on("plotly_relayout", (change) => this._follow(change, true));
    this.plot.on("plotly_selected", (event) => {
      const line = event?.lassoPoints;
      if (!line) return;
      this.on.select?.(line.x.map((x, i) => [x, line.y[i]]));
    });
  }

  _hovered(row, event) {
    if (row === null || row === undefined) this.tip.hide();
    else this.tip.show(this.points, row, this.toPixel(row));
    this.on.hover?.(row ?? null, event);
  }

  // Plotly says where a person has moved it to; where we moved it is known.
  _follow(change, ended = false) {
    const range = (axis) => change[`${axis}axis.range`] ?? [0, 1].map((end) => change[`${axis}axis.range[${end}]`]);
    const [[left, right], [bottom, top]] = [range("x"), range("y")];
    if (left === undefined || bottom === undefined) return;
    const place = { x: (left + right) / 2, y: (bottom + top) / 2, span: right - left };
    const moved = ["x", "y", "span"].some((name) => Math.abs(place[name] - this.window[name]) > 1e-6 * place.span);
    if (moved || !ended) this.tip.hide();
    if (moved) this.window = place;
    this.placed ||= moved || !ended;
    if (ended && this.placed) this.on.move?.(this.window);
    this.overlay.update();
  }

  _relayout() {
    if (!this.size.width) return void (this.sized = null);
    this.sized = JSON.stringify(this.size);
    const ranges = { "xaxis.range": this._range("x"), "yaxis.range": this._range("y") };
    window.Plotly.relayout(this.plot, { ...this.size, ...ranges });
  }

  go(place) {
    this.window = place;
    this.placed = true;
    this._relayout();
    this.on.move?.(place);
  }

  showAll() {
    this.window = this.fit();
    this.placed = false;
    this._relayout();
    this.on.move?.(null);
  }

  _resize() {
    if (!this.points || !this.size.width || this.sized === JSON.stringify(this.size)) return;
    // As long as nobody has moved it, all of it is shown.
    if (!this.placed) this.window = this.fit();
    if (this.plot.data && this.sized) this._relayout();
    else this.draw();
  }

  _key(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey || !this.plot.data) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) this.go(moved(this.window, ...step));
    else if (event.key === "+" || event.key === "=") this.go(zoomed(this.window, 1 / 1.5));
    else if (event.key === "-") this.go(zoomed(this.window, 1.5));
    else if (event.key === "0") this.showAll();
    else if (event.key === "l") this.choose(this.mode === "lasso" ? "pan" : "lasso");
    else if (event.key === "Enter") this._pickMiddle();
    else return;
    event.preventDefault();
  }

  choose(mode) {
    this.setMode(mode);
    this.on.mode?.(mode);
  }

  _pickMiddle() {
    const { x: xs, y: ys } = this.plane;
    let [best, least] = [null, Infinity];
    for (let row = 0; row < xs.length; row++) {
      const far = (xs[row] - this.window.x) ** 2 + (ys[row] - this.window.y) ** 2;
      if (far < least) [best, least] = [row, far];
    }
    if (best !== null) this.on.pick?.(best);
  }
}
