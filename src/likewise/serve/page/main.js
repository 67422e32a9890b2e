// The page begins here: points are asked for and drawn, the views follow the address.

import { getBytes, getJson, loadPlotly, setStamp } from "./api.js";
import { byId, element, roving } from "./dom.js";
import { WITHOUT_WEBGL, webgl } from "./traces.js";
import { Points, plural } from "./points.js";
import { problem } from "./problem.js";
import { onChange, set, state } from "./state.js";
import { CompareView } from "./view_compare.js";
import { JudgeView } from "./view_judge.js";
import { MapView } from "./view_map.js";

const VIEWS = ["map", "judge", "compare"];
const STAGES = {
  reading: "Reading the index",
  neighbors: "Searching the neighbours of every image",
  map: "Drawing a better map (t-SNE)",
};
const EVERY = { busy: 1_000, idle: 5_000 }; // milliseconds between questions how far the server is

let views;
let points;

async function load() {
  points = new Points(await getBytes("points?index=0"));
  setStamp(points.stamp);
  byId("index-name").textContent = points.name;
  document.title = `${points.name} · Likewise`;
  byId("summary").textContent =
    points.total > points.rows
      ? `${points.rows.toLocaleString("en")} of ${plural(points.total, "image")} shown`
      : plural(points.total, "image");
  if (!webgl && points.rows > WITHOUT_WEBGL)
    byId("summary").textContent += `, about ${WITHOUT_WEBGL.toLocaleString("en")} drawn: this browser has no WebGL`;
}

function empty(yes) {
  byId("search").hidden = byId("board").hidden = yes;
  byId("nothing").hidden = !yes;
  byId("nothing").replaceChildren(
    element("h2", {}, "This index has no images yet"),
    element("p", {}, "Add some, then come back: this page notices."),
    element("pre", {}, `likewise index RUN SOURCE -o ${points.name}`),
  );
}

async function start() {
  try {
    const [{ has_text: words }] = await Promise.all([getJson("health"), load()]);
    views ??= [new MapView({ words: words || points.captions }), new JudgeView(), new CompareView()];
    await draw();
    problem(null);
  } catch (error) {
    if (error.status === 503) return void setTimeout(start, EVERY.busy);
    if (!error.got) throw error;
    problem(error, () => location.reload());
    return;
  }
  watch();
}

async function draw() {
  empty(!points.rows);
  const [map, judge, compare] = views;
  judge.setPoints(points);
  compare.setPoints(points);
  showView();
  if (!points.rows) return;
  await map.setPoints(points);
  if (!performance.getEntriesByName("ready").length) performance.mark("ready");
  loadPlotly().catch(problem); // where another view is open, the map is the next
  await Promise.all([judge.update(state(), {}), compare.update(state(), {})]);
  points.prepare();
}

function follow(now, before) {
  showView();
  for (const view of views ?? []) view.update(now, before);
}

function showView() {
  const view = VIEWS.includes(state().view) ? state().view : "map";
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view;
    byId(`tab-${name}`).setAttribute("aria-selected", String(name === view));
    byId(`tab-${name}`).setAttribute("tabindex", name === view ? "0" : "-1");
  }
}

function tabs() {
  for (const name of VIEWS)
    byId(`tab-${name}`).addEventListener("click", () => set({ view: name === "map" ? null : name }));
  roving(document.querySelector("[role=tablist]"), "[role=tab]");
}

// Ask how far the server is, and take what is new.
async function watch() {
  let rest = EVERY.idle;
  try {
    const indexes = await getJson("explorer");
    const [first] = indexes;
    const busy = indexes.find((index) => index.stage in STAGES && !index.failed);
    views[1].setLists(first.lists);
    const changed =
      first.version !== points.version ||
      first.found !== points.found ||
      first.tsne !== points.planes.some(({ name }) => name === "tsne");
    if (changed && first.version !== null) {
      await load();
      await draw();
    }
    await views[1].update(state());
    views[2].setIndexes(indexes);
    progress(
      busy,
      indexes.find((index) => index.failed),
    );
    if (busy) rest = EVERY.busy;
    problem(null);
  } catch (error) {
    problem(error, watch);
    return;
  }
  setTimeout(watch, rest);
}

function progress(busy, failed) {
  const line = byId("progress");
  line.hidden = !busy && !failed;
  line.textContent = failed ? `${failed.name}: ${failed.failed}` : busy ? `${STAGES[busy.stage]} …` : "";
}

tabs();
onChange(follow);
start();
