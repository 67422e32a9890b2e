// What went wrong, above everything else, with what to do about it.

import { byId, element } from "./dom.js";

export function problem(error, retry) {
  const box = byId("problem");
  box.hidden = !error;
  box.replaceChildren();
  if (!error) return;
  box.append(
    element(
      "p",
      {},
      element("strong", {}, error.got || error.message),
      " ",
      [error.expected, error.advice].filter(Boolean).join(" "),
    ),
  );
  if (error.status === 401) box.append(token());
  else if (retry) box.append(element("button", { type: "button", onclick: retry }, "Try again"));
}

// The server leaves a cookie that only it gets back.
function token() {
  const input = element("input", { type: "password", "aria-label": "Token", autocomplete: "off", required: true });
  const open = (event) => {
    event.preventDefault();
    location.replace(`${location.pathname}?${new URLSearchParams({ token: input.value })}${location.hash}`);
  };
  return element("form", { onsubmit: open }, input, element("button", { type: "submit" }, "Open"));
}
