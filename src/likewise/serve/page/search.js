// Search by words, or by an image that is chosen, dropped or pasted. What a person sends in is shown beside what was found.

import { neighbors, search } from "./api.js";
import { byId } from "./dom.js";
import { set, state } from "./state.js";

const COUNT = 24;
let asking;

// A search, or the neighbours of an image; a newer question ends an older one.
async function ask(call) {
  asking?.abort();
  asking = new AbortController();
  const own = asking;
  const answer = await call({ k: COUNT, filter: state().filter, signal: own.signal });
  if (own.signal.aborted) throw new DOMException("a newer search", "AbortError");
  return answer;
}

// What was asked is not wanted any more.
export const stop = () => asking?.abort();

export const byWords = (text) => ask((options) => search({ text }, options));
export const byImage = (image) => ask((options) => search({ image }, options));
export const byNeighbors = (id) => ask((options) => neighbors(id, options));

// words: whether this index can be searched by words; found(file) is called with an image
export function listen({ words, found }) {
  const [form, input, filter, file, drop] = ["search", "words", "filter", "image", "drop"].map(byId);
  input.disabled = !words;
  form.querySelector("[type=submit]").disabled = !words;
  input.placeholder = words ? "Search by words, such as: a red shoe" : "No words here: search by an image";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    set({ q: text || null, like: null, image: null, filter: filter.value.trim() || null });
  });
  byId("choose-image").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files.length) found(file.files[0]);
    file.value = "";
  });
  const imageOf = (transfer) =>
    [...(transfer?.files ?? [])].find((item) => item.type.startsWith("image/")) ?? transfer?.files?.[0];
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.hidden = true;
  });
  window.addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!carries(event)) return;
    event.preventDefault();
    const image = imageOf(event.dataTransfer);
    if (image) found(image);
  });
  window.addEventListener("paste", (event) => {
    const image = imageOf(event.clipboardData);
    if (image) found(image);
  });
  window.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea") || byId("view-map").hidden) return;
    event.preventDefault();
    focusSearch();
  });
}

export function focusSearch() {
  byId(byId("words").disabled ? "choose-image" : "words").focus();
}

// The form says what the address says.
export function fill({ q, filter }) {
  byId("words").value = q ?? "";
  byId("filter").value = filter ?? "";
  if (filter) byId("filter-box").open = true;
}
