// The points on a plain canvas, while Plotly is loaded and sets up WebGL: a person sees the map some seconds earlier.
// Pixels are written one by one: a canvas keeps a list of what it is told to draw, and 70,000 entries take it seconds.

import { element } from "./dom.js";

// Resolves when the browser has painted; a page in the background is never painted, so not much later in any case.
const painted = () =>
  new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 300);
  });

export class Sketch {
  constructor() {
    this.canvas = element("canvas", { class: "overlay", "aria-hidden": "true" });
  }

  // traces: as Plotly takes them; window: the part of the plane that is shown.
  async draw(traces, { x, y, span }, size) {
    const sharp = devicePixelRatio || 1;
    const [width, height] = [Math.round(size.width * sharp), Math.round(size.height * sharp)];
    Object.assign(this.canvas, { width, height });
    const picture = new ImageData(width, height);
    const scale = (size.width / span) * sharp;
    for (const { x: xs, y: ys, marker } of traces) {
      const put = stamp(marker, sharp, picture);
      for (let i = 0; i < xs.length; i++) put(width / 2 + (xs[i] - x) * scale, height / 2 - (ys[i] - y) * scale);
    }
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
    await painted();
    if (!performance.getEntriesByName("first-picture").length) performance.mark("first-picture");
  }

  remove() {
    this.canvas.remove();
  }
}

// What lays one point of a trace over a picture, its middle at a place.
function stamp({ color, size, symbol, opacity }, sharp, { data, width, height }) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const side = Math.max(1, Math.round(size * sharp));
  const half = side / 2;
  const [steps, shares] = [[], []]; // bytes from the first pixel, and how much of the pixel there is covered
  for (let down = 0; down < side; down++)
    for (let across = 0; across < side; across++) {
      const [a, b] = [Math.abs(across + 0.5 - half), Math.abs(down + 0.5 - half)];
      const share = Math.min(1, half + 0.5 - (symbol === "diamond" ? a + b : Math.hypot(a, b)));
      if (share <= 0) continue;
      steps.push(4 * (down * width + across));
      shares.push(share * opacity);
    }
  return (x, y) => {
    const [left, top] = [Math.round(x - half), Math.round(y - half)];
    if (left < 0 || top < 0 || left + side > width || top + side > height) return;
    const first = 4 * (top * width + left);
    for (let i = 0; i < steps.length; i++) {
      const at = first + steps[i];
      const below = (data[at + 3] / 255) * (1 - shares[i]);
      const alpha = shares[i] + below;
      const [over, under] = [shares[i] / alpha, below / alpha];
      data[at] = red * over + data[at] * under;
      data[at + 1] = green * over + data[at + 1] * under;
      data[at + 2] = blue * over + data[at + 2] * under;
      data[at + 3] = 255 * alpha;
    }
  };
}
