// Talking to the server. Addresses are relative, so that the page also works behind a prefix of a proxy.

export class Problem extends Error {
  constructor({ got = "", expected = "", advice = "" }, status) {
    super([got, expected, advice].filter(Boolean).join(" "));
    Object.assign(this, { got, expected, advice, status });
  }
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ got: "The server does not answer.", advice: "Start it again: likewise serve INDEX." }, 0);
  }
  if (response.ok) return response;
  let said = {};
  try {
    said = await response.json();
  } catch {
    said = { got: `The server answered ${response.status} ${response.statusText}.` };
  }
  throw new Problem(said, response.status);
}

export async function getJson(address, options) {
  return (await ask(address, options)).json();
}

export async function getBytes(address) {
  return (await ask(address)).arrayBuffer();
}

export async function search(query, { k, filter, signal }) {
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...query, k, filter })) if (value) form.append(name, value);
  return getJson("search", { method: "POST", body: form, signal });
}

export function neighbors(id, { k, filter, signal }) {
  const asked = new URLSearchParams({ k, ...(filter ? { filter } : {}) });
  return getJson(`neighbors/${encodeURIComponent(id)}?${asked}`, { signal });
}

// Ids are the same in many indexes and after a commit, so the address names the state of the index: the browser keeps a
// picture as long as nothing has changed.
let stamp = "";
export const setStamp = (now) => void (stamp = now);
export const thumbnail = (id) => `thumbnail/${encodeURIComponent(id)}?${new URLSearchParams({ stamp })}`;

let plotly;
// Plotly is a classic script of 4.8 MB, fetched beside the points. To run it takes a second, so the points are sketched first.
export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "page/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () =>
      reject(new Problem({ got: "The drawing library could not be loaded.", advice: "Load the page again." }, 0));
    document.head.append(script);
  });
  return plotly;
}
