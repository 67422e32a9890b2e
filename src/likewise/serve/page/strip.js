// A row of images: what a search found, what a lasso holds. One stop for Tab, arrows go along it.

import { thumbnail } from "./api.js";
import { element, picture, roving } from "./dom.js";
import { number } from "./points.js";

// items: { id, row, words, value }; on: { pick(item), point(row or null) }
export function strip(items, { label, on, numbered = true }) {
  const list = element(
    "ol",
    { class: "strip", "aria-label": label },
    items.map((item, place) => {
      const value = item.value === null || item.value === undefined ? "" : number(item.value);
      const name = [
        numbered ? `${place + 1}.` : "",
        item.words,
        value && `, ${item.unit ?? "distance"} ${value}`,
        item.query ? ", the image asked for" : "",
      ];
      return element(
        "li",
        { class: item.query ? "query" : null },
        element(
          "button",
          {
            type: "button",
            title: item.id,
            "aria-label": name.filter(Boolean).join(" ").replace(" ,", ","),
            onclick: () => on.pick?.(item),
            onpointerenter: () => on.point?.(item.row ?? null),
            onpointerleave: () => on.point?.(null),
            onfocus: () => on.point?.(item.row ?? null),
            onblur: () => on.point?.(null),
          },
          picture(thumbnail(item.id), item.words, { lazy: place > 20 }),
          element("span", { class: "words" }, item.words),
          element("span", { class: "value" }, item.query ? "asked for" : value),
        ),
      );
    }),
  );
  roving(list, "button");
  return list;
}
