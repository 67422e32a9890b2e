"""Every address, asked in this process: what it answers is what the index and the model say, and mistakes are named."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from scipy.special import softmax

import likewise as lw
from likewise.index import Hit
from likewise.serve import Limits, create_app
from likewise.serve.answers import as_found

from .conftest import Ask, calling, png


def ids_in(answer: Any) -> list[str]:
    return [hit["id"] for hit in answer.json()["hits"]]


def refused(answer: Any, status: int, *said: str) -> None:
    """The three parts, of which none is empty but the last, and each text somewhere in them."""
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert set(problem) == {"got", "expected", "advice"}
    assert problem["got"]
    assert problem["expected"]
    for text in said:
        assert text in " ".join(problem.values())


def test_an_image_finds_itself(ask: Ask, index: lw.Index, digits: lw.ImageDataset) -> None:
    answer = ask("POST", "/search", files={"image": ("seven.png", png(digits.images[17]))}, data={"k": "4"})
    assert answer.status_code == 200
    hits = answer.json()["hits"]
    assert [hit["id"] for hit in hits] == [hit.id for hit in index.search(image=digits.images[17], k=4)]
    assert hits[0]["distance"] == pytest.approx(0, abs=1e-6)
    known = {"id": digits.ids[17], "label": 7, "class_name": "7", "split": "train", "caption": "the digit 7"}
    known |= {"source": "digits", "price": 17.0, "shop": "south's", "Sold": None, "score": None}
    assert known.items() <= hits[0].items()
    assert hits[0]["thumbnail"] == f"/thumbnail/{digits.ids[17]}"
    assert answer.json()["seconds"] > 0


def test_words_find_what_the_index_finds(ask: Ask, index: lw.Index) -> None:
    answer = ask("POST", "/search", data={"text": "the digit 7", "k": "12", "filter": "price < 60"})
    expected = index.search(text="the digit 7", k=12, filter="price < 60")
    assert ids_in(answer) == [hit.id for hit in expected]
    assert [hit["score"] for hit in answer.json()["hits"]] == [hit.score for hit in expected]


def test_an_id_finds_itself_and_neighbours_leave_it_out(ask: Ask, digits: lw.ImageDataset) -> None:
    with_itself = ask("POST", "/search", data={"id": digits.ids[3], "k": "6"})
    without = ask("GET", f"/neighbors/{quote(digits.ids[3])}?k=5")
    assert ids_in(with_itself) == [digits.ids[3], *ids_in(without)]
    elsewhere = ask("GET", f"/neighbors/{quote(digits.ids[3])}", params={"k": 5, "filter": "label = 7"})
    assert {hit["label"] for hit in elsewhere.json()["hits"]} == {7}
    assert len(elsewhere.json()["hits"]) == 5


def test_thumbnails_come_from_the_table_and_are_sent_once(ask: Ask, index: lw.Index, digits: lw.ImageDataset) -> None:
    address = ask("POST", "/search", data={"id": digits.ids[3], "k": "1"}).json()["hits"][0]["thumbnail"]
    answer = ask("GET", address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content == index.search(image=digits.images[3], k=1)[0].thumbnail
    assert Image.open(io.BytesIO(answer.content)).size == (8, 8)
    assert answer.headers["cache-control"] == "private, no-cache"
    again = ask("GET", address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_browser_keeps_a_picture_of_one_commit_and_health_follows_who_builds(
    images_only: lw.Index, digits: lw.ImageDataset, tmp_path: Path
) -> None:
    image = digits.subset(torch.tensor([3]))
    another = dataclasses.replace(image, images=255 - image.images)
    index, other = (lw.Index.create(tmp_path / name, images_only.model) for name in ("one", "other"))
    index.add(image)
    other.add(another)
    assert index.version == other.version
    assert index.stamp != other.stamp
    assert lw.Index.open(index.folder).stamp == index.stamp
    ask, before = calling(create_app(index)), index.stamp

    def asked(stamp: str) -> tuple[bool, bytes]:
        answer = ask("GET", f"/thumbnail/{quote(image.ids[0])}", params={"stamp": stamp})
        return "immutable" in answer.headers["cache-control"], answer.content

    first = asked(before)
    assert first[0]
    assert asked(other.stamp) == (False, first[1])
    index.upsert(another)
    second = asked(index.stamp)
    assert second[0]
    assert second[1] != first[1]
    assert asked(before) == (False, second[1])
    assert ask("GET", "/health").json()["approximate_recall"] is None
    index.build(1.0)
    assert ask("GET", "/health").json()["approximate_recall"] == 1.0


def test_embeddings_are_the_models(ask: Ask, index: lw.Index, digits: lw.ImageDataset) -> None:
    files = [("images", ("a.png", png(image))) for image in digits.images[:3]]
    answer = ask("POST", "/embed", files=files, data={"texts": ["a seven", "nine"]})
    expected = np.concatenate([index.model.embed(digits.images[:3]), index.model.embed_text(["a seven", "nine"])])
    np.testing.assert_allclose(answer.json()["embeddings"], expected, atol=1e-6)
    assert answer.json()["model"] == index.manifest.model
    raw = ask("POST", "/embed", files=files, headers={"Accept": "application/octet-stream"})
    assert raw.headers["content-type"] == "application/octet-stream"
    numbers = np.frombuffer(raw.content, "<f4").reshape(-1, int(raw.headers["x-embedding-dim"]))
    np.testing.assert_allclose(numbers, expected[:3], atol=1e-6)


def test_classes_are_those_of_the_nearest_sentences(ask: Ask, index: lw.Index, digits: lw.ImageDataset) -> None:
    names = ["seven", "nine", "red shoe"]
    options = {"names": names, "template": "a photo of a {}", "temperature": "0.5"}
    by_image = ask("POST", "/classify", files={"image": png(digits.images[9])}, data=options)
    by_id = ask("POST", "/classify", data=options | {"id": digits.ids[9]})
    texts = index.model.embed_text([f"a photo of a {name}" for name in names])
    cosines = index.model.embed(digits.images[9:10])[0] @ texts.T
    expected = dict(zip(names, softmax(cosines / 0.5), strict=True))
    for answer in (by_image, by_id):
        classes = answer.json()["classes"]
        assert {it["name"]: it["probability"] for it in classes} == pytest.approx(expected, abs=1e-5)
        assert [it["name"] for it in classes] == sorted(names, key=lambda name: -expected[name])


def test_health_and_metrics_say_what_is_served(ask: Ask, index: lw.Index) -> None:
    health = ask("GET", "/health").json()
    assert {
        "status": "ok",
        "rows": len(index),
        "model": index.manifest.model,
        "embedding_dim": 6,
    }.items() <= health.items()
    assert {"distance": "cosine", "has_text": True, "columns": index.manifest.columns}.items() <= health.items()
    for number in range(3):
        ask("GET", f"/thumbnail/nothing-{number}")
    families = {it.name: it for it in text_string_to_metric_families(ask("GET", "/metrics").text)}
    counted = {
        (it.labels["route"], it.labels["method"], it.labels["status"]): it.value
        for it in families["likewise_requests"].samples
        if "total" in it.name
    }
    # By route: an address of its own for each id would grow without end.
    assert counted["/thumbnail/{id:path}", "GET", "404"] >= 3
    assert not any("nothing" in name for key in counted for name in key)
    assert {"likewise_batch_size", "likewise_request_seconds", "process_resident_memory_bytes"} <= set(families)


def test_the_page_of_the_addresses_needs_no_network(ask: Ask) -> None:
    page = ask("GET", "/docs").text
    for path in ask("GET", "/openapi.json").json()["paths"]:
        assert f"<code>{path}</code>" in page
    assert "curl -F image=@photo.jpg http://127.0.0.1:8000/search" in page
    assert "<script" not in page
    assert [part for part in page.split('"') if part.startswith(("http:", "https:", "//"))] == []


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (("POST", "/search", {}), 400, "no query"),
        (("POST", "/search", {"data": {"text": "a", "id": "b"}}), 400, "text and id"),
        (("POST", "/search", {"data": {"text": " "}}), 400, "empty"),
        (("POST", "/search", {"data": {"text": "a", "k": "0"}}), 400, "k is 0"),
        (("POST", "/search", {"data": {"text": "a", "k": "1001"}}), 400, "Expected 1 to 1,000"),
        (("POST", "/search", {"data": {"text": "a", "k": "many"}}), 400, "k cannot be used"),
        (("POST", "/search", {"data": {"text": "a", "filter": "1=1"}}), 400, "position 0"),
        (("POST", "/search", {"data": {"text": "a", "filter": "Sold OR " * 2000 + "Sold"}}), 413, "characters"),
        (("POST", "/search", {"data": {"text": "word " * 10_000}}), 413, "10,000 words"),
        (("POST", "/search", {"data": {"text": "x" * 10_000}}), 413, "10,000 characters"),
        (("POST", "/search", {"data": {"id": "' OR ''='"}}), 404, "no image"),
        (("POST", "/search", {"files": {"image": ("a.png", b"GIF89a")}}), 400, "a.png is not a readable image"),
        (("POST", "/search", {"files": {"image": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n")}}), 400, "no known format"),
        (
            ("POST", "/search", {"files": {"image": ("a.png", png(np.arange(900).reshape(30, 30) % 256)[:-60])}}),
            400,
            "truncated",
        ),
        (("POST", "/search", {"data": {"image": "no file"}}), 400, "image cannot be used"),
        (("GET", "/neighbors/nobody", {}), 404, "'nobody'"),
        (("GET", "/thumbnail/..%2f..%2fetc%2fpasswd", {}), 404, "no image"),
        (("GET", "/thumbnail/%00", {}), 404, "no image"),
        (("GET", "/nowhere", {}), 404, "GET /nowhere"),
        (("GET", "/search", {}), 405, "GET /search"),
        (("POST", "/embed", {}), 400, "0 images and texts"),
        (("POST", "/embed", {"data": {"texts": ["a"] * 65}}), 413, "65 images and texts"),
        (("POST", "/embed", {"data": {"texts": ["a", " "]}}), 400, "empty"),
        (("POST", "/classify", {"data": {"names": "a"}}), 400, "one of image and id"),
        (("POST", "/classify", {"data": {"id": "train/00003"}}), 400, "names cannot be used"),
        (("POST", "/classify", {"data": {"id": "nobody", "names": "a"}}), 404, "no image"),
        (("POST", "/classify", {"data": {"id": "x", "names": "a", "template": "no place"}}), 400, "no single place"),
        (("POST", "/classify", {"data": {"id": "x", "names": "a", "temperature": "nan"}}), 400, "temperature is nan"),
        (("POST", "/classify", {"data": {"id": "x", "names": ["a"] * 257}}), 413, "257 names"),
    ],
)
def test_a_mistake_is_named(ask: Ask, request_: tuple[str, str, Any], status: int, said: str) -> None:
    method, address, options = request_
    refused(ask(method, address, **options), status, said)


def test_a_damaged_index_is_the_servers_fault_and_its_place_stays_there(
    images_only: lw.Index, digits: lw.ImageDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = lw.Index.create(tmp_path / "index", images_only.model)
    index.add(digits)
    ask = calling(create_app(index))
    shutil.rmtree(index.folder / "items.lance" / "data")
    answer = ask("GET", f"/neighbors/{quote(digits.ids[3])}")
    refused(answer, 500, "The index of the server cannot be read", "not the request's fault")
    assert str(tmp_path) not in answer.text
    assert "items.lance" not in answer.text
    assert f"The index {index.folder} is damaged" in caplog.text


def test_a_model_without_texts_says_so(images_only: lw.Index) -> None:
    ask = calling(create_app(images_only))
    refused(ask("POST", "/classify", data={"id": "train/00003", "names": ["a", "b"]}), 400, "knows no texts")
    refused(ask("POST", "/embed", data={"texts": "a"}), 400, "knows no texts")
    refused(ask("POST", "/search", data={"text": "a"}), 400, "have no captions")
    refused(ask("GET", "/thumbnail/train/00003"), 404, "keeps no picture")
    assert ask("GET", "/health").json()["has_text"] is False


def test_captions_answer_where_the_model_knows_no_texts(
    images_only: lw.Index, digits: lw.ImageDataset, tmp_path: Path
) -> None:
    captioned = lw.Index.create(tmp_path / "index", images_only.model)
    captioned.add(digits)
    found = calling(create_app(captioned))("POST", "/search", data={"text": "7", "k": "3"}).json()["hits"]
    assert [hit["label"] for hit in found] == [7, 7, 7]
    assert all(hit["distance"] is None and hit["score"] > 0 for hit in found)


def test_pixels_are_counted_before_they_are_decoded(index: lw.Index) -> None:
    ask = calling(create_app(index, limits=Limits(pixels=99)))
    assert ask("POST", "/search", files={"image": png(np.zeros((9, 11)))}).status_code == 200
    refused(ask("POST", "/search", files={"image": png(np.zeros((10, 10)))}), 413, "10 × 10 pixels")


def test_where_the_images_lie_is_not_told() -> None:
    hit = Hit(
        "a/b c.png", 0.5, None, None, None, None, None, "/srv/secret/photos", "/srv/secret/photos/a/b c.png", None, {}
    )
    found = as_found(hit)
    assert (found["source"], found["item"], found["thumbnail"]) == ("photos", "a/b c.png", "/thumbnail/a/b%20c.png")
    assert "secret" not in json.dumps(found)
    named = as_found(
        Hit("a", 0.5, None, None, None, None, None, "photos.csv", "/srv/secret/a.png", None, {"x": math.nan})
    )
    assert (named["source"], named["item"], named["x"]) == ("photos.csv", "a.png", None)
