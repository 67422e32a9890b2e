// The part of the plane that a map shows: its middle and its width; the height follows from the element's shape.

const MARGIN = 1.08;

export function fitted(xs, ys, { width, height }) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let row = 0; row < xs.length; row++) {
    left = Math.min(left, xs[row]);
    right = Math.max(right, xs[row]);
    bottom = Math.min(bottom, ys[row]);
    top = Math.max(top, ys[row]);
  }
  if (!(right >= left)) return { x: 0, y: 0, span: 2 };
  const shape = width / Math.max(1, height);
  const span = Math.max(right - left, (top - bottom) * shape) * MARGIN;
  return { x: (left + right) / 2, y: (bottom + top) / 2, span: span || 2 };
}

export const zoomed = ({ x, y, span }, factor) => ({ x, y, span: span * factor });

export const moved = ({ x, y, span }, right, up) => ({ x: x + 0.15 * span * right, y: y + 0.15 * span * up, span });

export const asText = ({ x, y, span }) => [x, y, span].map((value) => Number(value.toPrecision(5))).join(",");

export function fromText(text) {
  const [x, y, span] = (text ?? "").split(",").map(Number);
  return span > 0 && Number.isFinite(x) && Number.isFinite(y) ? { x, y, span } : null;
}

// Rows inside a polygon [[x, y], …], by the even-odd rule.
export function inside(polygon, xs, ys) {
  const [left, right] = [Math.min(...polygon.map(([x]) => x)), Math.max(...polygon.map(([x]) => x))];
  const [bottom, top] = [Math.min(...polygon.map(([, y]) => y)), Math.max(...polygon.map(([, y]) => y))];
  const rows = [];
  for (let row = 0; row < xs.length; row++) {
    const [x, y] = [xs[row], ys[row]];
    if (x < left || x > right || y < bottom || y > top) continue;
    let odd = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
    }
    if (odd) rows.push(row);
  }
  return rows;
}

// A polygon short enough for an address: corners that the line can do without are left out.
export function shortened(polygon, most = 40) {
  const step = Math.max(1, polygon.length / most);
  const kept = [];
  for (let at = 0; at < polygon.length; at += step) kept.push(polygon[Math.floor(at)]);
  return kept.map((point) => point.map((value) => Number(value.toPrecision(4))));
}
