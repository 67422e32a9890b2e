// Drawn over the points: images when zoomed in, marked points with their ranks, the lasso's line.

import { thumbnail } from "./api.js";
import { css } from "./colors.js";
import { element } from "./dom.js";

const MOST_VISIBLE = 400; // points in the window above which they stay points
const SIDE = 44;
const KEPT = 600; // images

const images = new Map();

function imageOf(address, whenLoaded) {
  let image = images.get(address);
  if (image) {
    images.delete(address); // to the young end
  } else {
    image = new Image();
    image.decoding = "async";
    image.src = address;
    if (images.size >= KEPT) images.delete(images.keys().next().value);
  }
  images.set(address, image);
  if (!image.complete) image.addEventListener("load", whenLoaded, { once: true });
  return image.complete && image.naturalWidth ? image : null;
}

export class Overlay {
  constructor(map, thumbnails) {
    this.map = map;
    this.thumbnails = thumbnails;
    this.canvas = element("canvas", { class: "overlay", "aria-hidden": "true" });
    this.marks = [];
    this.numbered = true;
    this.pointed = null; // row under the pointer elsewhere on the page
    this.asked = null; // row whose neighbours are marked
    this.polygon = null;
    this.pictured = [];
  }

  // The window or the marks have changed: what is drawn at once, which points become images a moment later.
  update() {
    clearTimeout(this.waiting);
    this.draw();
    this.waiting = setTimeout(() => this._picture(), 120);
  }

  _picture() {
    const { map } = this;
    if (!this.thumbnails || !map.points || !map.size.width) return;
    const visible = map.visible();
    map.root.dataset.visible = visible.length;
    this.pictured = [];
    const taken = [];
    for (const row of visible.length > MOST_VISIBLE ? [] : [...this.marks, ...visible]) {
      const [x, y] = map.toPixel(row);
      if (taken.every(([otherX, otherY]) => Math.max(Math.abs(x - otherX), Math.abs(y - otherY)) > SIDE * 0.9)) {
        taken.push([x, y]);
        this.pictured.push(row);
      }
    }
    map.root.dataset.pictured = this.pictured.length;
    this.draw();
  }

  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this._draw();
    });
  }

  _draw() {
    const { map, canvas } = this;
    const { width, height } = map.size;
    const sharp = devicePixelRatio || 1;
    const [across, down] = [Math.round(width * sharp), Math.round(height * sharp)];
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    const pen = canvas.getContext("2d");
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!map.window || !map.plane) return;
    for (const row of this.pictured) this._image(pen, row);
    if (this.polygon)
      this._line(
        pen,
        this.polygon.map(([x, y]) => map.toPixelAt(x, y)),
      );
    [...this.marks].reverse().forEach((row, place) => this._mark(pen, row, this.marks.length - place));
    if (this.asked !== null && this.asked !== undefined) this._ring(pen, ...map.toPixel(this.asked), 11, 5);
    if (this.pointed !== null && this.pointed !== undefined) this._ring(pen, ...map.toPixel(this.pointed), 12, 4);
  }

  _image(pen, row) {
    const image = imageOf(thumbnail(this.map.points.id(row)), () => this.draw());
    if (!image) return;
    const [x, y] = this.map.toPixel(row);
    const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    pen.imageSmoothingEnabled = image.naturalWidth >= SIDE;
    pen.drawImage(image, x - w / 2, y - h / 2, w, h);
    pen.strokeStyle = this.map.colorOf(row);
    pen.lineWidth = 2;
    pen.strokeRect(x - w / 2, y - h / 2, w, h);
  }

  _mark(pen, row, rank) {
    const [x, y] = this.map.toPixel(row);
    this._ring(pen, x, y, 8, 2.5);
    if (!this.numbered || rank > 9) return;
    pen.font = "600 11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillStyle = css("--accent");
    pen.beginPath();
    pen.arc(x + 9, y - 9, 8, 0, 2 * Math.PI);
    pen.fill();
    pen.fillStyle = css("--on-accent");
    pen.fillText(String(rank), x + 9, y - 8.5);
  }

  _ring(pen, x, y, radius, width) {
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.strokeStyle = css("--ground");
    pen.lineWidth = width + 3;
    pen.stroke();
    pen.strokeStyle = css("--accent");
    pen.lineWidth = width;
    pen.stroke();
  }

  _line(pen, corners) {
    pen.beginPath();
    corners.forEach(([x, y], place) => (place ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    pen.stroke();
    pen.setLineDash([]);
  }
}
