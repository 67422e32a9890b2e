"""The explorer page as a person uses it, in a real browser before a real server."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import torch

import likewise as lw
from likewise.serve import create_app
from likewise.serve.look import look_through

from .browser import chromium, served
from .conftest import make_model

ROWS = 400
SHOWN = '#map[data-visible="400"]'  # all points are in the window


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> tuple[lw.Index, lw.Index]:
    """Two untrained models over the same digits, with captions."""
    data = lw.load_dataset("digits").subset(torch.arange(ROWS))
    captions = tuple((f"a hand wrote {label}",) for label in data.labels.tolist())
    data = dataclasses.replace(data, captions=captions)
    folder = tmp_path_factory.mktemp("explorer")
    made = []
    for seed, name in enumerate(("first", "second")):
        made.append(lw.Index.create(folder / name, make_model(text=False, seed=seed)))
        made[-1].add(data)
        look_through(made[-1], made[-1].folder)  # as an earlier server would have
    return made[0], made[1]


@pytest.fixture(scope="module")
def address(indexes: tuple[lw.Index, lw.Index]) -> Iterator[str]:
    with served(create_app(indexes[0], others=indexes[1:])) as found:
        yield found


@pytest.fixture(scope="module")
def context(browser: Any, address: str) -> Iterator[Any]:
    made = browser.new_context(base_url=address, viewport={"width": 1000, "height": 640}, accept_downloads=True)
    made.set_default_timeout(30_000)
    yield made
    made.close()


@pytest.fixture
def page(context: Any, address: str) -> Iterator[Any]:
    """A page on which nothing is reported to the console and which asks nobody but its own server."""
    opened = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    opened.close()
    assert [text for text in said if "GPU stall" not in text and "400 (Bad Request)" not in text] == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith(("blob:", "data:"))} == {
        urlsplit(address).netloc
    }


def state(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def opened(page: Any, hash: str = "") -> Any:
    page.goto(f"/{hash}")
    page.wait_for_selector(SHOWN)
    return page


def exported(page: Any, click: Any) -> list[dict[str, str]]:
    with page.expect_download() as download:
        click()
    with Path(download.value.path()).open(newline="") as file:
        return list(csv.DictReader(file))


def focused(page: Any) -> str:
    """The words of what the keyboard acts on, or its id."""
    return page.evaluate("document.activeElement.innerText || document.activeElement.id")


def lasso(page: Any, box: dict[str, float]) -> None:
    """Around the left half of a map."""
    left, right = box["x"] + 0.02 * box["width"], box["x"] + 0.5 * box["width"]
    top, bottom = box["y"] + 0.02 * box["height"], box["y"] + 0.98 * box["height"]
    page.mouse.move(right, top)
    page.mouse.down()
    for x, y in ((left, top), (left, bottom), (right, bottom), (right, top)):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()


def test_words_find_images_and_the_address_holds_the_search(page: Any) -> None:
    opened(page)
    page.keyboard.press("/")
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    strip = page.locator("#results .strip button")
    strip.first.wait_for()
    assert strip.count() == 24
    assert set(page.locator("#results .strip .words").all_inner_texts()) == {"7"}
    assert state(page)["q"] == "7"
    page.reload()
    strip.first.wait_for()
    assert page.locator("#words").input_value() == "7"
    strip.nth(2).click()
    page.wait_for_url(re.compile("like="))
    page.locator("#results h2", has_text="Neighbours of").wait_for()
    assert focused(page) == "Neighbours of"
    page.go_back()
    page.locator("#results h2", has_text="“7”").wait_for()
    page.get_by_role("button", name="Close the results").press("Enter")
    assert focused(page) == "words"


def test_a_dropped_image_is_searched_for_and_can_be_gone_back_to(page: Any, indexes: tuple[lw.Index, lw.Index]) -> None:
    opened(page, "#image=1+mine.jpg")  # of an earlier visit
    page.locator(".refused", has_text="Drop it here again").wait_for()
    identities = next(iter(indexes[0].scan(["id"]).batches))["id"]
    first, second = identities[17].as_py(), identities[18].as_py()
    drop = """async (id) => {
      const image = await (await fetch(`thumbnail/${encodeURIComponent(id)}`)).blob();
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([image], "mine.jpg", { type: "image/jpeg" }));
      window.dispatchEvent(new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true }));
      window.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }"""
    for identity in (first, second):
        page.evaluate(drop, identity)
        page.locator(f'#results .strip li:first-child button[title="{identity}"]').wait_for()
        page.locator("#results h2", has_text="Like").wait_for()
    assert page.locator("#drop").is_hidden()
    page.go_back()
    page.locator(f'#results .strip li:first-child button[title="{first}"]').wait_for()
    page.go_forward()
    page.locator(f'#results .strip li:first-child button[title="{second}"]').wait_for()
    page.route("**/search", lambda route: None)  # a search that takes its time
    page.keyboard.press("/")
    page.keyboard.type("7")
    with page.expect_request("**/search"):
        page.keyboard.press("Enter")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/search")):
        page.locator("#words").fill("")
        page.keyboard.press("Enter")
    page.locator("#results").wait_for(state="hidden")


def test_a_lasso_selects_and_the_selection_is_exported(page: Any) -> None:
    opened(page)
    page.get_by_role("button", name="Select with a lasso").click()
    lasso(page, page.locator("#map").bounding_box())
    page.locator("#selection h2").wait_for()
    count = int(page.locator("#selection h2").inner_text().split()[0])
    assert 20 < count < ROWS - 20
    rows = exported(page, page.locator("#selection").get_by_role("button", name="Export CSV").click)
    assert len(rows) == len({row["id"] for row in rows}) == count
    assert {"label", "prediction", "error", "cluster", "anomaly"} <= set(rows[0])
    bars = page.locator("#selection .bars tr")
    assert sum(int(bar.locator(".value").first.inner_text()) for bar in bars.all()) == count
    page.reload()
    page.locator("#selection h2", has_text=f"{count} images selected").wait_for()


def test_a_colour_alone_and_close_up_points_are_images(page: Any, indexes: tuple[lw.Index, lw.Index]) -> None:
    opened(page, "#color=cluster")
    page.locator("#legend button").nth(2).press("Enter")
    assert state(page) == {"color": "cluster", "only": "cluster 3"}
    assert focused(page).startswith("cluster 3")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("cluster 4")
    page.select_option("#color", "anomaly")
    page.locator("#legend .ramp").wait_for()
    page.locator("#map").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.wait_for_function("Number(document.querySelector('#map').dataset.pictured) > 3")
    asked = (
        "performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.includes('thumbnail'))"
    )
    page.wait_for_function(f"{asked}.length > 3")
    assert all(address.endswith(f"?stamp={indexes[0].stamp}") for address in page.evaluate(asked))
    assert state(page)["at"]
    page.keyboard.press("Enter")
    page.locator("#results h2", has_text="Neighbours of").wait_for()


def test_a_filter_that_cannot_be_used_is_explained(page: Any) -> None:
    opened(page, "#q=7&filter=colour+%3D+3")
    page.locator(".refused", has_text="colour").wait_for()
    page.locator("#filter").fill("label = 7")
    page.keyboard.press("Enter")
    page.locator("#results .strip button").first.wait_for()


def test_judging_by_keyboard(page: Any, indexes: tuple[lw.Index, lw.Index]) -> None:
    opened(page)
    page.get_by_role("tab", name="Judge").click()
    page.locator(".matrix").wait_for()
    cells = page.locator(".matrix tbody td").all_inner_texts()
    assert sum(int(cell) for cell in cells if cell) == ROWS
    page.locator(".lists button", has_text="Outliers").click()
    page.locator(".film button[aria-current=true]").wait_for()
    first = page.locator(".card figcaption small").inner_text()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("o")
    page.keyboard.press("ArrowDown")
    assert page.locator(".position").inner_text() == "4 of 50"
    assert state(page) == {"view": "judge", "list": "outliers", "place": "3"}
    rows = exported(page, lambda: page.keyboard.press("e"))
    assert [row["mark"] for row in rows[:4]] == ["problem", "fine", "", ""]
    assert first.endswith(rows[0]["id"])
    page.reload()
    page.locator(".position", has_text="4 of 50").wait_for()
    assert page.locator(".film [data-mark=problem]").count() == 1
    # Another tab has marked an image of another list; this one adds to it.
    place = f"localStorage['likewise marks {indexes[0].manifest.model} first']"
    kept = f"JSON.parse({place})"
    page.evaluate(f"{place} = JSON.stringify({{ ...{kept}, leaks: {{ there: 'fine' }} }})")
    page.keyboard.press("u")
    page.locator(".position", has_text="5 of 50").wait_for()
    marks = page.evaluate(kept)
    assert (marks["leaks"], len(marks["outliers"])) == ({"there": "fine"}, 3)
    same = """async () => {
      const view = new (await import("/page/view_judge.js")).JudgeView();
      const marks = (model) => (view.setPoints({ name: "first", model }), view.marks);
      const [own, again, other] = ["a", "a", "b"].map(marks);
      return [own === again, own === other];
    }"""
    # An open walk and the lists behind it have the same marks; another run of the same name has its own.
    assert page.evaluate(same) == [True, False]
    page.get_by_role("button", name="Problem").press("Enter")
    page.locator(".position", has_text="6 of 50").wait_for()
    assert focused(page) == "Problem"
    page.keyboard.press("Escape")
    assert focused(page) == "Look at"
    page.locator(".matrix td.wrong button").first.click()
    page.locator(".walk-head h2", has_text="taken for").wait_for()


def test_two_models_side_by_side(page: Any) -> None:
    page.goto("/#view=compare")
    groups = page.locator(".groups button")
    groups.first.wait_for()
    counts = [int(text) for text in page.locator(".groups strong").all_inner_texts()]
    assert sum(counts) == ROWS
    page.wait_for_selector('.half .map[data-visible="400"]')
    groups.nth(1).press("Enter")
    page.locator("#view-compare .results h2", has_text=f"{counts[1]} images, only A right").wait_for()
    assert focused(page).startswith("only A right")
    rows = exported(page, page.locator("#view-compare").get_by_role("button", name="Export CSV").click)
    assert len(rows) == counts[1]
    assert all(row["label"] == row["prediction_a"] != row["prediction_b"] for row in rows)
    groups.nth(1).click()
    page.locator("#view-compare .results h2").wait_for(state="detached")
    page.get_by_role("button", name="Select with a lasso").first.click()
    lasso(page, page.locator(".half .map").nth(0).bounding_box())
    page.locator("#view-compare .results h2", has_text="selected").wait_for()
    assert state(page)["csel"].startswith("0,")


def test_maps_follow_a_commit_and_give_back_what_they_hold(page: Any) -> None:
    page.goto("/#view=judge")  # draws no maps of its own
    page.locator(".matrix").wait_for()
    said = page.evaluate(
        """async () => {
          const [{ CompareView }, { Points }, { getBytes }] = await Promise.all(
            ["view_compare", "points", "api"].map((name) => import(`/page/${name}.js`)),
          );
          const view = new CompareView();
          view.root.hidden = false;
          view.points = new Points(await getBytes("points?index=0"));
          const build = (version) => {
            view.indexes = ["first", "second"].map((name) => ({ name, version }));
            return view.update({ view: "compare" });
          };
          await build(1);
          const [map, other] = view.maps;
          const { points, plane, column } = map;
          const wider = { ...plane, x: plane.x.map((x) => 9 * x), y: plane.y.map((y) => 9 * y) };
          await map.set(points, wider, column); // as after a commit: the map of the same name lies elsewhere
          const seen = map.visible().length;
          map.go({ ...map.window, span: map.window.span / 9 });
          const placed = map.window;
          await map.set(points, plane, column);
          const kept = map.window === placed;
          const drawn = () => [map, other].map((one) => Boolean(one.plot.data));
          const before = drawn();
          build(2);
          return { seen, kept, before, behind: drawn() };
        }"""
    )
    assert said == {"seen": ROWS, "kept": True, "before": [True, True], "behind": [False, False]}


def test_narrow_dark_and_named(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    views = {
        "": SHOWN,
        "#view=judge": ".matrix",
        "#view=judge&list=outliers": ".film button",
        "#view=compare": ".groups button",
    }
    for view, drawn in views.items():
        page.goto("about:blank")
        page.goto(f"/{view}")
        page.wait_for_selector(drawn)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
        nameless = "e => !(e.getAttribute('aria-label') || e.innerText || e.labels?.length)"
        assert page.evaluate(f"[...document.querySelectorAll('button, input, select')].filter({nameless}).length") == 0
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 21, 25)"


def test_an_empty_index_says_how_to_fill_it_and_one_index_how_to_compare(browser: Any, tmp_path: Path) -> None:
    index = lw.Index.create(tmp_path / "shop", make_model(text=False))
    with served(create_app(index)) as found:
        opened = browser.new_page()
        opened.goto(found)
        opened.locator("text=This index has no images yet").wait_for()
        index.add(lw.load_dataset("digits").subset(torch.arange(30)))
        opened.reload()
        opened.wait_for_selector('#map[data-visible="30"]')
        opened.get_by_role("tab", name="Compare").click()
        opened.locator("text=comparing takes two").wait_for()
        opened.close()
