"""How soon the explorer page shows 70,000 images, and how soon a search: in Chromium, without a graphics card.

    python benchmarks/explorer.py RUN                     all 70,000 images of Fashion-MNIST by the model of RUN
    python benchmarks/explorer.py RUN --source digits --rounds 3

The server is a process of its own, as a person starts it, and has looked at the index once before, as after the first start.
Prints the median over rounds, each in a fresh browser profile: seconds from the navigation to the drawn points, and from a
click on a point to its neighbours on the page. Needs the extras ``serve`` and ``dev``, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking"]


def measured(browser: Any, address: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('first-picture').length", timeout=120_000)
    first = page.evaluate("performance.getEntriesByName('first-picture')[0].startTime")
    page.wait_for_function("document.querySelector('#map').dataset.visible")
    page.wait_for_timeout(1000)
    searches = []
    for _ in range(5):
        page.locator("#map").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(500)
        searches.append(
            page.evaluate(
                """() => new Promise((resolve) => {
                  const results = document.querySelector("#results");
                  const began = performance.now();
                  new MutationObserver((_, observer) => {
                    if (!results.querySelector(".strip")) return;
                    observer.disconnect();
                    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
                  }).observe(results, { childList: true });
                  document.querySelector("#map").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
                })"""
            )
        )
    context.close()
    return {"first picture, s": first / 1000, "search, s": statistics.median(searches) / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run or model that embeds the images")
    parser.add_argument("--source", default="fashion-mnist")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    command = [sys.executable, "-m", "likewise"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        index = Path(folder) / "index"
        subprocess.run([*command, "index", arguments.run, arguments.source, "-o", index], check=True)
        server = subprocess.Popen(
            [*command, "serve", index, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
        )
        try:
            said = ""
            while not said.endswith("}\n"):
                said += server.stdout.readline()
            address = json.loads(said)["address"]
            request = playwright.request.new_context()
            began = time.monotonic()
            while (state := request.get(f"{address}/explorer").json()[0])["stage"] != "done" and not state["failed"]:
                time.sleep(1)
            print(f"{state['total']:,} images; analysis and t-SNE: {time.monotonic() - began:.0f} s")
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            rounds = [measured(browser, address) for _ in range(arguments.rounds)]
            browser.close()
        finally:
            server.terminate()
            server.wait()
    print("| | median | worst |\n| --- | --- | --- |")
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"| {name} | {statistics.median(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
