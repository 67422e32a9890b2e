"""How soon the explorer page shows 70,000 images, and how soon a search: in Chromium, without a graphics card.

    python benchmarks/explorer.py RUN                     all 70,000 images of Fashion-MNIST by the model of RUN
    python benchmarks/explorer.py RUN --source digits --rounds 3
    python benchmarks/explorer.py RUN --index DIR         keep the index, and what was found in it, for the next time

The server is a process of its own, as a person starts it, and has looked at the index once before, as after the first start.
Each round is a browser of its own with an empty profile, which opens the page with nobody watching: a debugger that is
attached meanwhile makes V8 read Plotly's 4.8 MB again for the place of every exception, three seconds on two cores. Prints
the median over rounds of the seconds from the navigation to

- the scripts of the page, and the points, having arrived;
- the first picture: all points in their colours;
- the map that can be moved, drawn by Plotly in WebGL;

and from choosing a point to its neighbours on the page. Writes ``benchmarks/results/explorer.json``. Needs the extras
``serve`` and ``dev``, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import Playwright, sync_playwright

RESULTS = Path(__file__).parent / "results" / "explorer.json"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--no-first-run"),
    *("--disable-background-networking", "--window-size=1280,900", "--remote-debugging-port=0"),
]
SETTLED = 2.0  # seconds that a browser gets to start before it is asked for the page
UNWATCHED = 8.0  # seconds before anybody looks how far the page is
WALK = ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown")  # another image in the middle after each

PARTS = """() => {
  const there = (part) => Math.max(...performance.getEntriesByType("resource")
    .filter(({ name }) => name.includes(part)).map((entry) => entry.responseEnd));
  const mark = (name) => performance.getEntriesByName(name)[0].startTime;
  const scripts = performance.getEntriesByType("resource")
    .filter(({ name }) => name.endsWith(".js") && !name.includes("plotly")).map((entry) => entry.responseEnd);
  return {
    "scripts there, s": Math.max(...scripts) / 1000, "points there, s": there("points?") / 1000,
    "first picture, s": mark("first-picture") / 1000, "Plotly there, s": there("plotly") / 1000,
    "map can be moved, s": mark("ready") / 1000,
  };
}"""
SEARCH = """() => new Promise((resolve) => {
  const results = document.querySelector("#results");
  const began = performance.now();
  new MutationObserver((_, observer) => {
    if (!results.querySelector(".strip")) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
  }).observe(results, { childList: true });
  document.querySelector("#map").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
})"""


def measured(playwright: Playwright, browser: str, address: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            said = Path(profile) / "DevToolsActivePort"
            while not (said.exists() and "\n" in said.read_text()):
                time.sleep(0.1)
            debugger = f"http://127.0.0.1:{said.read_text().split()[0]}"
            time.sleep(SETTLED)
            urlopen(Request(f"{debugger}/json/new?{address}", method="PUT")).read()
            time.sleep(UNWATCHED)
            watched = playwright.chromium.connect_over_cdp(debugger)
            page = next(page for context in watched.contexts for page in context.pages if address in page.url)
            page.wait_for_function("performance.getEntriesByName('ready').length", timeout=120_000)
            found: dict[str, float] = page.evaluate(PARTS)
            searches = []
            for key in WALK:
                page.locator("#map").focus()
                page.keyboard.press(key)
                page.wait_for_timeout(500)
                searches.append(page.evaluate(SEARCH))
            watched.close()
        finally:
            process.terminate()
            process.wait()
    return found | {"search, s": statistics.median(searches) / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run or model that embeds the images")
    parser.add_argument("--source", default="fashion-mnist")
    parser.add_argument("--index", type=Path, help="made where it is not there")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    browser = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    command = [sys.executable, "-m", "likewise"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        index = arguments.index or Path(folder) / "index"
        if not index.exists():
            subprocess.run([*command, "index", arguments.run, arguments.source, "-o", index], check=True)
        server = subprocess.Popen(
            [*command, "serve", index, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            address = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["address"]
            began = time.monotonic()
            while (state := json.load(urlopen(f"{address}/explorer"))[0])["stage"] != "done":
                time.sleep(1)
            assert not state["failed"], state["failed"]
            images = json.load(urlopen(f"{address}/health"))["rows"]
            print(f"{images:,} images; analysis and t-SNE: {time.monotonic() - began:.0f} s")
            rounds = [measured(playwright, browser, address) for _ in range(arguments.rounds)]
        finally:
            server.terminate()
            server.wait()
    print("| | median | worst |\n| --- | --- | --- |")
    table: dict[str, Any] = {}
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        table[name] = {"median": statistics.median(values), "worst": max(values)}
        print(f"| {name} | {table[name]['median']:.2f} | {table[name]['worst']:.2f} |")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "images": images,
        "rounds": arguments.rounds,
        "browser": subprocess.run([browser, "--version"], capture_output=True, text=True).stdout.strip(),
        "versions": {package: version(package) for package in ("plotly", "uvicorn", "fastapi")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "measured": table}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
