// Right and wrong by class, and which class is taken for which. Each number leads to the images behind it.

import { element } from "./dom.js";
import { percent } from "./points.js";

const MOST_IN_A_MATRIX = 26;
const MOST_PAIRS = 40;

// Counts of (label, prediction) among the rows that match.
export function countConfusion(label, prediction, match) {
  const size = label.names.length;
  const counts = new Map();
  const of = new Uint32Array(size);
  let [right, total] = [0, 0];
  for (let row = 0; row < label.values.length; row++) {
    const [truth, said] = [label.values[row], prediction.values[row]];
    if (truth < 0 || said < 0 || !match(row)) continue;
    const cell = truth * size + said;
    counts.set(cell, (counts.get(cell) ?? 0) + 1);
    of[truth]++;
    total++;
    if (truth === said) right++;
  }
  return {
    size,
    names: label.names,
    of,
    right,
    total,
    get: (truth, said) => counts.get(truth * size + said) ?? 0,
    counts,
  };
}

export function byClass(confusion, choose) {
  const { names, of } = confusion;
  const classes = names.map((_, code) => code).filter((code) => of[code]);
  const share = (code) => confusion.get(code, code) / of[code];
  classes.sort((a, b) => share(a) - share(b));
  const most = mostTakenFor(confusion);
  return element(
    "table",
    { class: "classes" },
    element("caption", {}, "Right by class, the worst first"),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ["class", "right", "", "most taken for"].map((text) => element("th", { scope: "col" }, text)),
      ),
    ),
    element(
      "tbody",
      {},
      classes.map((code) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, names[code]),
          element("td", { class: "value" }, percent(share(code))),
          element("td", { class: "bar" }, element("span", { class: "right", style: `width: ${100 * share(code)}%` })),
          element(
            "td",
            {},
            most.has(code)
              ? element(
                  "button",
                  { type: "button", class: "link", onclick: () => choose(code, most.get(code)) },
                  `${names[most.get(code)]} (${confusion.get(code, most.get(code)).toLocaleString("en")})`,
                )
              : "",
          ),
        ),
      ),
    ),
  );
}

function mostTakenFor({ size, counts }) {
  const most = new Map();
  const best = new Map();
  for (const [cell, count] of counts) {
    const [truth, said] = [Math.floor(cell / size), cell % size];
    if (truth !== said && count > (best.get(truth) ?? 0)) {
      best.set(truth, count);
      most.set(truth, said);
    }
  }
  return most;
}

export function matrix(confusion, choose) {
  const { size, names, of } = confusion;
  return size <= MOST_IN_A_MATRIX ? square(confusion, names, of, choose) : pairs(confusion, names, of, choose);
}

function square(confusion, names, of, choose) {
  const codes = names.map((_, code) => code);
  const cell = (truth, said) => {
    const count = confusion.get(truth, said);
    const share = of[truth] ? count / of[truth] : 0;
    const kind = truth === said ? "right" : "wrong";
    const depth = kind === "right" ? share * 0.55 : Math.min(1, share * 4) * 0.85;
    const name = `${names[truth]} taken for ${names[said]}: ${count}`;
    return element(
      "td",
      { class: kind, style: `--depth: ${(100 * depth).toFixed(0)}%`, title: name },
      count
        ? element(
            "button",
            { type: "button", "aria-label": name, onclick: () => choose(truth, said) },
            count.toLocaleString("en"),
          )
        : "",
    );
  };
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" },
    element(
      "table",
      { class: "matrix" },
      element("caption", {}, "Confusion: label (row) taken for (column)"),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("td", {}),
          codes.map((code) => element("th", { scope: "col" }, element("span", {}, names[code]))),
        ),
      ),
      element(
        "tbody",
        {},
        codes.map((truth) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, names[truth]),
            codes.map((said) => cell(truth, said)),
          ),
        ),
      ),
    ),
  );
}

function pairs(confusion, names, of, choose) {
  const found = [...confusion.counts]
    .map(([cell, count]) => ({ truth: Math.floor(cell / confusion.size), said: cell % confusion.size, count }))
    .filter(({ truth, said }) => truth !== said)
    .sort((a, b) => b.count - a.count)
    .slice(0, MOST_PAIRS);
  return element(
    "table",
    { class: "classes" },
    element("caption", {}, `The ${found.length} most frequent confusions`),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ["label", "taken for", "images", "of the class"].map((text) => element("th", { scope: "col" }, text)),
      ),
    ),
    element(
      "tbody",
      {},
      found.map(({ truth, said, count }) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, names[truth]),
          element("td", {}, names[said]),
          element(
            "td",
            { class: "value" },
            element(
              "button",
              { type: "button", class: "link", onclick: () => choose(truth, said) },
              count.toLocaleString("en"),
            ),
          ),
          element("td", { class: "value" }, percent(count / of[truth])),
        ),
      ),
    ),
  );
}
