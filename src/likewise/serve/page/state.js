// What is looked at stands in the address, so that a view can be shared, kept and gone back to.

const listeners = new Set();
let current = read();

function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

export const state = () => current;

// Change some of it; null takes a thing away. What a person did can be gone back from, how the map lies cannot.
export function set(changes, { back = true } = {}) {
  const next = { ...current };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") delete next[name];
    else next[name] = String(value);
  }
  if (new URLSearchParams(next).toString() === new URLSearchParams(current).toString()) return;
  const before = current;
  current = next;
  const hash = new URLSearchParams(next).toString();
  history[back ? "pushState" : "replaceState"](null, "", hash ? `#${hash}` : location.pathname + location.search);
  tell(before);
}

// Called with the new and the former state.
export function onChange(listener) {
  listeners.add(listener);
}

function tell(before) {
  for (const listener of listeners) listener(current, before);
}

window.addEventListener("popstate", () => {
  const before = current;
  current = read();
  tell(before);
});
