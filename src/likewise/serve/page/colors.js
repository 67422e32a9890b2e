// Colours of points. Names get ten colours that can be told apart (on light ground those of the reports, whose distances were
// measured for four kinds of vision; on dark ground lighter relatives), then the same ten with another mark. Numbers get a ramp.

const LIGHT = [
  "#2a14c8",
  "#f27115",
  "#4f94fa",
  "#82025c",
  "#dba400",
  "#b64639",
  "#0fb88a",
  "#825899",
  "#b0728f",
  "#cb01ff",
];
const DARK = [
  "#8f7dff",
  "#ff9142",
  "#79baff",
  "#ff4fa3",
  "#ffd84a",
  "#e8705f",
  "#2ee8b0",
  "#bd93e0",
  "#e8bfd0",
  "#e05cff",
];
const SYMBOLS = ["circle", "diamond"];
export const STEPS = 12;

export const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function mix(from, to, share) {
  const parts = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const [a, b] = [parts(from), parts(to)];
  return `#${a
    .map((value, i) =>
      Math.round(value + (b[i] - value) * share)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

// How a column is drawn: groups of one colour each, and which group a row is in (-1: not known).
export function paint(column) {
  if (!column) return { groups: [{ color: css("--accent"), symbol: "circle" }], of: () => 0 };
  if (column.kind === "numbers") {
    const [from, to] = dark() ? ["#24415a", "#ffe27a"] : ["#dfe6cf", "#7a0f4f"];
    const groups = Array.from({ length: STEPS }, (_, step) => ({
      color: mix(from, to, step / (STEPS - 1)),
      symbol: "circle",
    }));
    const width = column.high - column.low || 1;
    const of = (row) => {
      const value = column.values[row];
      if (!Number.isFinite(value)) return -1;
      return Math.max(0, Math.min(STEPS - 1, Math.floor(((value - column.low) / width) * STEPS)));
    };
    return { groups, of };
  }
  if (column.name === "error") {
    const groups = [
      { color: css("--right"), symbol: "circle", quiet: true },
      { color: css("--wrong"), symbol: "circle" },
    ];
    return { groups, of: (row) => column.values[row] };
  }
  if (column.groups) return { groups: column.groups(), of: (row) => column.values[row] };
  const colors = dark() ? DARK : LIGHT;
  const count = Math.min(column.names.length, colors.length * SYMBOLS.length);
  const groups = Array.from({ length: count }, (_, place) => ({
    color: colors[place % colors.length],
    symbol: SYMBOLS[Math.floor(place / colors.length)],
  }));
  return { groups, of: (row) => (column.values[row] < 0 ? -1 : column.values[row] % count) };
}
