// The buttons on a map.

import { element } from "./dom.js";
import { zoomed } from "./window.js";

const SIGNS = {
  pan: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  lasso: "M9 16c-3-.6-5-2.5-5-5 0-3.3 3.6-6 8-6s8 2.7 8 6-3.6 6-8 6h-1M9 16a2 2 0 1 0 2 1.5c0 2-1 3.5-3 3.5",
  in: "M12 5v14M5 12h14",
  out: "M5 12h14",
  all: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
};

export function tools(map, name) {
  const button = (title, sign, onclick, pressed) => {
    const mode = pressed === undefined ? null : sign;
    const made = element("button", {
      type: "button",
      title,
      "aria-label": title,
      "data-mode": mode,
      "aria-pressed": pressed === undefined ? null : String(pressed),
      onclick,
    });
    made.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${SIGNS[sign]}"/></svg>`;
    return made;
  };
  return element(
    "div",
    { class: "map-buttons", role: "toolbar", "aria-label": `${name}: tools` },
    button("Move the map", "pan", () => map.choose("pan"), true),
    button("Select with a lasso", "lasso", () => map.choose("lasso"), false),
    button("Zoom in", "in", () => map.go(zoomed(map.window, 1 / 1.5))),
    button("Zoom out", "out", () => map.go(zoomed(map.window, 1.5))),
    button("Show all", "all", () => map.showAll()),
  );
}
