"""The page of one run: it stands alone, holds every number and warning, and takes no orders from the data."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from likewise.data import Splits
from likewise.errors import RunError
from likewise.report import page
from likewise.report.run_report import write_run_report
from likewise.report.words import describe_metric
from likewise.training.run import Run

Make = Callable[..., tuple[Run, Splits]]


class Page(HTMLParser):
    """What a browser would make of a page: its tags, its words, and what it would ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.anchors: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.asked += [str(given[name]) for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag == "img":
            self.images.append(given)
        if given.get("id"):
            self.anchors.add(str(given["id"]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(run: Run) -> tuple[str, Page]:
    html = (run.folder / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_stands_alone(make_run: Make) -> None:
    run, data = make_run()
    path = write_run_report(run, data)
    assert path == run.folder / "report.html"
    assert path.stat().st_size < 3_000_000
    html, seen = read(run)
    assert {"script", "link", "iframe", "object"}.isdisjoint(seen.tags)
    for target in seen.asked:
        assert target.startswith("data:image/png;base64,") or target.removeprefix("#") in seen.anchors, target[:80]
    assert re.search(r"url\(|@import|https?://", html) is None
    names = {path.stem for path in (run.folder / "figures").glob("*.png")}
    assert names == {
        "embedding", "similarities", "neighbors", "recall_at_k", "confusion", "worst_errors", "training",
        "training_images", "pairs",
    }  # fmt: skip
    assert names <= seen.anchors
    assert len(seen.images) == len(names)
    assert all(len(str(image["alt"])) > 20 for image in seen.images)
    for image in seen.images:
        assert base64.b64decode(str(image["src"]).partition(",")[2]).startswith(b"\x89PNG")


@pytest.mark.usefixtures("without_drawing")
def test_the_page_holds_every_metric_interval_and_baseline(make_run: Make) -> None:
    run, data = make_run()
    write_run_report(run, data)
    _, seen = read(run)
    for name, value in run.metrics.items():
        assert name in seen.text
        assert describe_metric(name).format(value) in seen.text, name
    assert "86.00 to 89.00 %" in seen.text
    assert "55.5 %" in seen.text.replace("\u00a0", " ")
    assert "44.44 %" in seen.text
    for key in ("PCA to 2", "Raw pixels", "batch_size: 256", "projection_points: 500", "2.13.0", "made by hand"):
        assert key in seen.text


@pytest.mark.usefixtures("without_drawing")
def test_a_number_that_was_not_measured_is_nowhere(make_run: Make) -> None:
    run, data = make_run(metrics={}, baselines={}, intervals={}, recall_curve={})
    del run.metrics["map_at_r"]
    write_run_report(run, data)
    _, seen = read(run)
    assert "zero_shot_accuracy" not in seen.text
    assert "map_at_r" not in seen.text
    assert "Raw pixels" not in seen.text
    assert "95 % interval" not in seen.text
    assert not re.search(r"\b(None|nan|Undefined)\b", seen.text)


@pytest.mark.usefixtures("without_drawing")
@pytest.mark.parametrize(
    ("accuracy", "words"),
    [(0.70, "lies above that"), (0.40, "made the images harder"), (0.55, "does not show a gain")],
)
def test_the_verdict_says_what_the_interval_supports(make_run: Make, accuracy: float, words: str) -> None:
    run, _ = make_run(
        metrics={"knn1_accuracy": accuracy}, intervals={"knn1_accuracy": [accuracy - 0.02, accuracy + 0.02]}
    )
    write_run_report(run)
    assert words in read(run)[1].text


@pytest.mark.usefixtures("without_drawing")
def test_every_warning_and_bad_image_is_shown(make_run: Make) -> None:
    bad = [{"split": "train", "position": i, "item": f"cat_{i}.jpg", "reason": "cut <off>"} for i in range(250)]
    history = [{"epoch": e, "train_loss": 1.0, "collapsed": e in (2, 3)} for e in (1, 2, 3)]
    run, data = make_run(warnings=["first & last", "no test split"], bad_images=bad, history=history)
    write_run_report(run, data)
    _, seen = read(run)
    for words in ("first & last", "no test split", "250 bad images", "cat_0.jpg", "cut <off>", "And 50 more"):
        assert words in seen.text
    assert "alarm rang after epochs 2 to 3 (2 times)" in seen.text


@pytest.mark.usefixtures("without_drawing")
def test_hostile_texts_are_texts(make_run: Make) -> None:
    attack = "<script>alert(1)</script>"
    names = [f"{attack}{i}" for i in range(5)] + ['"><img src=x onerror=alert(1)>'] + ["{{ 7 * 7 }}"] * 4
    run, data = make_run(names=names, warnings=[attack], origin=attack)
    object.__setattr__(run.recipe, "description", attack)
    write_run_report(run, data)
    html, seen = read(run)
    assert "script" not in seen.tags
    assert "<script" not in html
    assert "onerror" not in re.sub(r"&#34;&gt;&lt;img src=x onerror=alert\(1\)&gt;", "", html)
    assert seen.text.count(attack) >= 7
    assert "{{ 7 * 7 }}" in seen.text


@pytest.mark.parametrize(("channels", "classes"), [(3, 2), (1, 120)])
def test_other_shapes_of_data(make_run: Make, channels: int, classes: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(720, dtype=np.int64) % classes
    images = generator.integers(0, 255, (720, channels, 12, 10), dtype=np.uint8)
    names = [f"a class with quite a long name, number {i}" for i in range(classes)]
    run, data = make_run(images=images, labels=labels, names=names, dimension=3, objective="cross_entropy")
    write_run_report(run, data)
    _, seen = read(run)
    assert "pairs" not in seen.anchors, "cross-entropy is not told pairs"
    assert "training_images" in seen.anchors
    assert f"{classes} classes" in seen.text
    assert "PCA of the 3-D embedding" in seen.text


@pytest.mark.usefixtures("without_drawing")
def test_without_data_the_pictures_of_images_are_kept_or_named_as_missing(make_run: Make) -> None:
    run, data = make_run()
    write_run_report(run)
    _, seen = read(run)
    assert "neighbors" not in seen.anchors
    assert "Not drawn, because the images were not at hand: What is found" in seen.text
    write_run_report(run, data)
    before = (run.folder / "figures" / "neighbors.png").read_bytes()
    write_run_report(run, None)
    assert (run.folder / "figures" / "neighbors.png").read_bytes() == before
    _, seen = read(run)
    assert {"neighbors", "worst_errors", "training_images", "pairs"} <= seen.anchors
    assert "Not drawn" not in seen.text
    (run.folder / "report.html").unlink()
    (run.folder / "report.html").mkdir()  # in the way, as a full disk would be
    with pytest.raises(RunError, match=r"cannot be written .* Change its permissions"):
        write_run_report(run, None)
    shutil.rmtree(run.folder / "figures")
    (run.folder / "figures").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot be written .*figures"):
        write_run_report(run, None)
    assert not [*run.folder.glob(".*.part")]


@pytest.mark.usefixtures("without_drawing")
def test_data_that_is_not_the_runs_own_is_not_passed_off_as_it(make_run: Make) -> None:
    run, _ = make_run()
    _, other = make_run(folder="other")
    renamed = {name: _with_ids(getattr(other, name), f"{name}/x") for name in ("train", "validation", "test")}
    write_run_report(run, Splits(**renamed))
    assert "neighbors" not in read(run)[1].anchors


def _with_ids(dataset: Any, prefix: str) -> Any:
    import dataclasses

    return dataclasses.replace(dataset, ids=tuple(f"{prefix}{i}" for i in range(len(dataset))))


@pytest.mark.usefixtures("without_drawing")
def test_pictures_shrink_until_the_page_fits(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = make_run()
    full = write_run_report(run, data).stat().st_size
    limit = full // 2
    assert full > 500_000
    monkeypatch.setattr(page, "LIMIT", limit)
    assert write_run_report(run, data).stat().st_size <= limit
    assert len(read(run)[1].images) == 9
    monkeypatch.setattr(page, "LIMIT", 5000)
    with pytest.raises(RunError, match=r"text of the report.*5,000 bytes"):
        write_run_report(run, data)


def test_the_projection_is_kept_and_made_again_when_the_embeddings_change(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from likewise.report import projection

    calls: list[int] = []
    real = projection.project

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(projection, "project", counted)
    run, _ = make_run(dimension=5)
    split = run.embeddings("test")
    first = projection.projected(run.folder, split, method="pca", most=100)
    again = projection.projected(run.folder, split, method="pca", most=100)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.points, again.points)
    assert first.points.shape == (100, 2)
    assert first.total == len(split)
    changed = type(split)(split.embeddings * 2, split.labels, split.ids)
    projection.projected(run.folder, changed, method="pca", most=100)
    assert len(calls) == 2
