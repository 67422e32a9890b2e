// Two indexes over the same images: which row of the one is which of the other, and who is right about it.

import { css } from "./colors.js";

export const GROUPS = ["both right", "only A right", "only B right", "both wrong"];
export const groupColors = () => [
  { color: css("--right"), symbol: "circle", quiet: true },
  { color: css("--only-a"), symbol: "circle" },
  { color: css("--only-b"), symbol: "diamond" },
  { color: css("--wrong"), symbol: "circle" },
];

// Images are the same where their ids are; -1 where the other index has none.
export function agreement(a, b) {
  const toB = new Int32Array(a.rows).fill(-1);
  const toA = new Int32Array(b.rows).fill(-1);
  let common = 0;
  for (let row = 0; row < a.rows; row++) {
    const other = b.row(a.id(row));
    if (other === undefined) continue;
    toB[row] = other;
    toA[other] = row;
    common++;
  }
  const [errorA, errorB] = [a.column("error"), b.column("error")];
  const judged = Boolean(errorA && errorB && common);
  const base = a.column("label") ?? a.column("cluster"); // of the colours where nobody can be right
  const names = judged ? GROUPS : (base?.names ?? []);
  // An error is 0 for right and 1 for wrong, so 2 · A + B is the place among the groups.
  const said = (row, other) => {
    if (!judged) return base?.values[row] ?? -1;
    return Math.min(errorA.values[row], errorB.values[other]) < 0 ? -1 : 2 * errorA.values[row] + errorB.values[other];
  };
  const ofA = toB.map((other, row) => (other < 0 ? -1 : said(row, other)));
  const ofB = toA.map((row) => (row < 0 ? -1 : ofA[row]));
  const counts = new Uint32Array(names.length);
  for (const value of ofA) if (value >= 0) counts[value]++;
  const column = { name: "agreement", kind: "categories", names, groups: judged ? groupColors : undefined };
  const columns = [ofA, ofB].map((values) => ({ ...column, values }));
  return { toB, toA, common, judged, columns, counts };
}
