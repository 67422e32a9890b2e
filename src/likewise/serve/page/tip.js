// What is under the pointer: the image and what is known about it.

import { thumbnail } from "./api.js";
import { element, picture } from "./dom.js";

const LEFT_OUT = ["error", "source"]; // the one says label and prediction again, the other is long

export class Tip {
  constructor(root) {
    this.root = root;
    this.box = element("div", { class: "tip", "aria-hidden": "true", hidden: true });
    root.append(this.box);
  }

  show(points, row, [x, y]) {
    if (this.row !== row) {
      this.row = row;
      const lines = points.columns
        .filter((column) => !LEFT_OUT.includes(column.name))
        .map((column) => [column.title, points.text(column, row)])
        .filter(([, text]) => text);
      this.box.replaceChildren(
        picture(thumbnail(points.id(row)), points.describe(row), { lazy: false }),
        element(
          "dl",
          {},
          lines.slice(0, 8).flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)]),
        ),
        element("p", {}, points.id(row)),
      );
    }
    this.box.hidden = false;
    const { clientWidth, clientHeight } = this.root;
    const { offsetWidth, offsetHeight } = this.box;
    const left = x + 16 + offsetWidth > clientWidth ? x - 16 - offsetWidth : x + 16;
    const top = Math.max(4, Math.min(y - offsetHeight / 2, clientHeight - offsetHeight - 4));
    this.box.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }

  hide() {
    this.row = null;
    this.box.hidden = true;
  }
}
