// What the colours mean. A name in it, pressed, is shown alone.

import { STEPS, paint } from "./colors.js";
import { element, redrawn, roving } from "./dom.js";
import { number } from "./points.js";

// only: code of the name that is shown alone, or null
export function legend(root, ...asked) {
  redrawn(root, () => draw(root, ...asked));
}

function draw(root, points, column, only, choose) {
  root.replaceChildren();
  if (!column) return;
  const { groups } = paint(column);
  if (column.kind === "numbers") {
    const ramp = Array.from({ length: STEPS }, (_, step) => groups[step].color).join(", ");
    root.append(
      element("div", { class: "ramp", style: `background: linear-gradient(to right, ${ramp})` }),
      element(
        "div",
        { class: "ends" },
        element("span", {}, number(column.low)),
        element("span", {}, number(column.high)),
      ),
    );
    return;
  }
  const counts = new Uint32Array(column.names.length);
  let unknown = 0;
  for (const code of column.values) {
    if (code < 0) unknown++;
    else counts[code]++;
  }
  const list = element(
    "ul",
    { "aria-label": `${column.title}: show one alone` },
    column.names.map((name, code) => {
      const { color, symbol } = groups[code % groups.length];
      return element(
        "li",
        {},
        element(
          "button",
          { type: "button", "aria-pressed": String(only === code), onclick: () => choose(only === code ? null : code) },
          element("span", { class: `dot ${symbol}`, style: `background: ${color}` }),
          element("span", { class: "words" }, name),
          element("span", { class: "value" }, counts[code].toLocaleString("en")),
        ),
      );
    }),
  );
  roving(list, "button");
  root.append(list);
  if (unknown)
    root.append(element("p", { class: "hint" }, `${unknown.toLocaleString("en")} are not known and stay grey.`));
}
