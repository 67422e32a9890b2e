// What the lasso holds: how many, of which classes, a few of them, and all of them as a file.

import { download, rowsOf } from "./csv.js";
import { byId, element, redrawn } from "./dom.js";
import { percent, plural } from "./points.js";
import { strip } from "./strip.js";

const MOST_CLASSES = 8;
const MOST_IMAGES = 24;

export function selection(root, points, rows, options) {
  const within = root.contains(document.activeElement);
  redrawn(root, () => draw(root, points, rows, options));
  if (within && !rows) byId("map").focus();
}

function draw(root, points, rows, { column, on, clear }) {
  root.hidden = !rows;
  root.replaceChildren();
  if (!rows) return;
  root.append(
    element("h2", {}, `${plural(rows.length, "image")} selected`),
    element(
      "p",
      { class: "buttons" },
      element(
        "button",
        { type: "button", disabled: !rows.length, onclick: () => exportRows(points, rows) },
        "Export CSV",
      ),
      element("button", { type: "button", onclick: clear }, "Clear"),
    ),
  );
  if (rows.length) {
    const step = Math.max(1, Math.floor(rows.length / MOST_IMAGES));
    const some = rows.filter((_, place) => place % step === 0).slice(0, MOST_IMAGES);
    const items = some.map((row) => ({ id: points.id(row), row, words: points.describe(row) }));
    root.append(
      counted(points, rows, column),
      strip(items, { label: "Some of the selected images", on, numbered: false }),
    );
  }
}

export function exportRows(points, rows, name = `${points.name}-selection.csv`) {
  download(name, ...rowsOf(points, rows));
}

// Shares of the names of a column among some rows, as bars.
function counted(points, rows, column) {
  if (column?.kind !== "categories") return "";
  const counts = new Map();
  for (const row of rows) {
    const name = points.text(column, row) || "not known";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const rest = sorted.slice(MOST_CLASSES).reduce((sum, [, count]) => sum + count, 0);
  const shown = [...sorted.slice(0, MOST_CLASSES), ...(rest ? [[`${sorted.length - MOST_CLASSES} others`, rest]] : [])];
  return element(
    "table",
    { class: "bars" },
    element("caption", {}, column.title),
    shown.map(([name, count]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", { class: "bar" }, element("span", { style: `width: ${(100 * count) / rows.length}%` })),
        element("td", { class: "value" }, count.toLocaleString("en")),
        element("td", { class: "value" }, percent(count / rows.length)),
      ),
    ),
  );
}
