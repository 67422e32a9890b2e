// A person's verdicts on the images of the lists, kept in this browser, for each index.

export const VERDICTS = [
  { key: "x", name: "problem", title: "Problem" },
  { key: "o", name: "fine", title: "Fine" },
  { key: "u", name: "unsure", title: "Unsure" },
];

export class Marks {
  constructor(index) {
    this.index = index;
    this.place = `likewise marks ${index}`;
    this.all = {};
    this._read();
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
