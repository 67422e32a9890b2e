// Points as Plotly takes them: one trace for each colour. A colour for each point would cost a second at 70,000 points.

import { css } from "./colors.js";

export const WITHOUT_WEBGL = 3_000; // points that a browser without WebGL draws smoothly

export const webgl = (() => {
  const context = document.createElement("canvas").getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
})();

// shown: Uint8Array of the rows that keep their colour, or null. Returns the traces, and of each the rows of its points.
export function tracesOf(count, plane, { groups, of }, shown, size) {
  const step = webgl ? 1 : Math.max(1, Math.ceil(count / WITHOUT_WEBGL));
  const dim = groups.length;
  const slot = new Uint8Array(count);
  const sizes = new Uint32Array(dim + 1);
  for (let row = 0; row < count; row += step) {
    const group = shown && !shown[row] ? -1 : of(row);
    slot[row] = group < 0 ? dim : group;
    sizes[slot[row]]++;
  }
  const parts = Array.from(sizes, (length) => ({
    x: new Float32Array(length),
    y: new Float32Array(length),
    rows: new Uint32Array(length),
  }));
  const filled = new Uint32Array(dim + 1);
  for (let row = 0; row < count; row += step) {
    const part = parts[slot[row]];
    const at = filled[slot[row]]++;
    part.x[at] = plane.x[row];
    part.y[at] = plane.y[row];
    part.rows[at] = row;
  }
  // What is not meant lies below.
  const order = [dim, ...groups.keys()].filter((group) => sizes[group] > 0);
  const styles = [...groups, { color: css("--dim"), symbol: "circle", quiet: true, opacity: 0.35 }];
  const diameter = diameterOf(count, size);
  return {
    traces: order.map((group) => trace(parts[group], styles[group], diameter)),
    rows: order.map((group) => parts[group].rows),
  };
}

function trace({ x, y }, { color, symbol, quiet, opacity }, diameter) {
  return {
    type: webgl ? "scattergl" : "scatter",
    mode: "markers",
    x,
    y,
    hoverinfo: "none",
    marker: {
      color,
      symbol,
      size: quiet ? Math.max(2, diameter - 1) : diameter,
      opacity: opacity ?? (quiet ? 0.55 : 0.8),
      line: { width: 0 },
    },
  };
}

function diameterOf(count, { width, height }) {
  return Math.max(3, Math.min(9, Math.sqrt((width * height) / Math.max(1, count)) / 2.2));
}
