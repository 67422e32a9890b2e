// Making elements: element("button", { class: "main", onclick }, "Search").

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

// For those who do not see what changed.
export function say(text) {
  byId("said").textContent = text;
}

// An image of the index; its words stand in where there is no picture.
export function picture(address, words, { lazy = true } = {}) {
  const image = element("img", {
    src: address,
    alt: words,
    decoding: "async",
    loading: lazy ? "lazy" : null,
    draggable: "false",
  });
  image.addEventListener("error", () => image.replaceWith(element("span", { class: "no-picture" }, words)));
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 64));
  return image;
}

// Draw a part of the page anew; where one of its buttons or choices had the focus, the one in its place has it again.
export function redrawn(root, draw) {
  const entries = () => [...root.querySelectorAll("button, select")];
  const place = entries().indexOf(document.activeElement);
  draw();
  if (place < 0) return;
  const now = entries();
  now[Math.min(place, now.length - 1)]?.focus();
}

// Arrow keys go through the buttons of a row, as in a toolbar: one stop for Tab.
export function roving(container, selector) {
  const items = () => [...container.querySelectorAll(selector)];
  const stop = (chosen) => items().forEach((item) => item.setAttribute("tabindex", item === chosen ? "0" : "-1"));
  stop(items()[0]);
  container.addEventListener("focusin", ({ target }) => items().includes(target) && stop(target));
  container.addEventListener("keydown", (event) => {
    const all = items();
    const place = all.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : place + (step ?? NaN);
    if (place < 0 || !(next in all)) return;
    event.preventDefault();
    all[next].focus();
  });
}
