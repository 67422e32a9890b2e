// The answer of /points: a length, a JSON header, typed arrays.

const TYPES = { float32: Float32Array, int16: Int16Array, int32: Int32Array, uint32: Uint32Array, uint8: Uint8Array };

export class Points {
  constructor(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const arrays = {};
    let at = 4 + length;
    for (const { name, type, length: count } of header.arrays) {
      arrays[name] = new TYPES[type](buffer, at, count);
      at += Math.ceil(arrays[name].byteLength / 4) * 4;
    }
    Object.assign(this, { name: header.index, version: header.version, rows: header.rows, total: header.total });
    Object.assign(this, { model: header.model, stamp: header.stamp });
    Object.assign(this, { dimension: header.dimension, found: header.found, captions: header.captions });
    this.planes = header.planes.map((plane) => ({
      ...plane,
      x: arrays[`${plane.name}.x`],
      y: arrays[`${plane.name}.y`],
    }));
    this.columns = header.columns.map((column) => ({ ...column, values: arrays[column.name] }));
    this._offsets = arrays["id.offsets"];
    this._letters = arrays["id.letters"];
    this._decoder = new TextDecoder();
  }

  id(row) {
    return this._decoder.decode(this._letters.subarray(this._offsets[row], this._offsets[row + 1]));
  }

  // Row of an id, or undefined: an index with more images than are drawn has some that are not on the map.
  row(id) {
    this.prepare();
    return this._rows.get(id);
  }

  // What the first search would wait for otherwise.
  prepare() {
    if (this._rows) return;
    this._rows = new Map();
    for (let row = 0; row < this.rows; row++) this._rows.set(this.id(row), row);
  }

  plane(name) {
    return this.planes.find((plane) => plane.name === name) ?? this.planes[0];
  }

  column(name) {
    return this.columns.find((column) => column.name === name);
  }

  // What a row says in a column, for people; "" where it is not known.
  text(column, row) {
    const value = column?.values[row];
    if (column === undefined) return "";
    if (column.kind === "categories") return value < 0 ? "" : column.names[value];
    return Number.isFinite(value) ? number(value) : "";
  }

  // One line about a row, as a name for screen readers and as a caption.
  describe(row) {
    const label = this.text(this.column("label"), row);
    const prediction = this.text(this.column("prediction"), row);
    if (!label) return this.id(row);
    return prediction && prediction !== label ? `${label}, taken for ${prediction}` : label;
  }
}

export function number(value) {
  if (!Number.isFinite(value)) return "";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}

export const percent = (share) => (Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "");

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
