// A person's verdicts on the images of the lists, kept in this browser, for each index.

export const VERDICTS = [
  { key: "x", name: "problem", title: "Problem" },
  { key: "o", name: "fine", title: "Fine" },
  { key: "u", name: "unsure", title: "Unsure" },
];

export class Marks {
  constructor(index) {
    this.place = `likewise marks ${index}`;
    this.all = {};
    try {
      this.all = JSON.parse(localStorage.getItem(this.place)) ?? {};
    } catch {
      // A browser that keeps nothing forgets them with the page; they are still exported.
    }
  }

  get(list, id) {
    return this.all[list]?.[id] ?? "";
  }

  put(list, id, verdict) {
    const marks = (this.all[list] ??= {});
    if (verdict) marks[id] = verdict;
    else delete marks[id];
    try {
      localStorage.setItem(this.place, JSON.stringify(this.all));
    } catch {
      // As above.
    }
  }

  count(list, ids) {
    return ids.filter((id) => this.get(list, id)).length;
  }
}
