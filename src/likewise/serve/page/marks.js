// A person's verdicts on the images of the lists, kept in this browser, for each index: by its model too, since many runs
// have the same name, and their images the same ids.

export const VERDICTS = [
  { key: "x", name: "problem", title: "Problem" },
  { key: "o", name: "fine", title: "Fine" },
  { key: "u", name: "unsure", title: "Unsure" },
];

const placeOf = ({ model, name }) => `likewise marks ${model} ${name}`;

export class Marks {
  constructor(points) {
    this.place = placeOf(points);
    this.all = {};
    this._read();
  }

  areOf(points) {
    return this.place === placeOf(points);
  }

  // What was marked meanwhile, in another tab, is not written over. A browser that keeps nothing forgets the marks with the
  // page; they are still exported.
  _read() {
    try {
      this.all = JSON.parse(localStorage.getItem(this.place)) ?? {};
    } catch {
      this.forgets = true;
    }
  }

  get(list, id) {
    return this.all[list]?.[id] ?? "";
  }

  put(list, id, verdict) {
    if (!this.forgets) this._read();
    const marks = (this.all[list] ??= {});
    if (verdict) marks[id] = verdict;
    else delete marks[id];
    try {
      localStorage.setItem(this.place, JSON.stringify(this.all));
    } catch {
      this.forgets = true;
    }
  }

  count(list, ids) {
    return ids.filter((id) => this.get(list, id)).length;
  }
}
