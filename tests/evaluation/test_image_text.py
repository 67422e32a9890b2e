"""Image-text retrieval against a naive count, ties included."""

from __future__ import annotations

import numpy as np
import pytest

import likewise.evaluation.image_text as module
from likewise.errors import EvaluationError
from likewise.evaluation import image_text_retrieval, modality_geometry


def naive_ranks(queries: np.ndarray, gallery: np.ndarray, right: list[set[int]]) -> list[int]:
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, gallery)]
    similarity = unit[0] @ unit[1].T
    ranks = []
    for row, own in zip(similarity, right, strict=True):
        best = max(row[position] for position in own)
        ranks.append(1 + sum(row[position] >= best - 1e-12 for position in range(len(row)) if position not in own))
    return ranks


@pytest.mark.parametrize("tile_bytes", [64 * 2**20, 400])
def test_ranks_are_those_of_a_naive_count(tile_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE_BYTES", tile_bytes)
    draws = np.random.default_rng(0)
    images = draws.normal(size=(17, 5))
    owner = draws.permutation(np.repeat(np.arange(17), 3))
    texts = images[owner] + draws.normal(size=(51, 5))
    images[4] = 2 * images[3]  # a tie, counted against the query
    result = image_text_retrieval(images, texts, owner, ks=(1, 5))
    to_image = naive_ranks(texts, images, [{int(own)} for own in owner])
    to_text = naive_ranks(images, texts, [set(np.flatnonzero(owner == image)) for image in range(17)])
    assert result.text_to_image.ranks.tolist() == to_image
    assert result.image_to_text.ranks.tolist() == to_text
    assert result.text_to_image.recall[5] == np.mean([rank <= 5 for rank in to_image])
    assert result.image_to_text.median_rank == np.median(to_text)


def test_captions_of_the_same_words_are_one_text_for_the_images_to_find() -> None:
    draws = np.random.default_rng(2)
    classes = np.arange(12) % 3
    words = np.stack([classes, 3 + classes], axis=1).ravel()  # two templates
    owner, sentences = np.repeat(np.arange(12), 2), np.eye(3)[np.arange(6) % 3] + 0.1 * draws.normal(size=(6, 3))
    perfect = image_text_retrieval(np.eye(3)[classes], sentences[words], owner, wording=words)
    assert perfect.image_to_text.recall[1] == 1
    images = draws.normal(size=(12, 3))
    found = image_text_retrieval(images, sentences[words], owner, wording=words)
    right = [{int(of), 3 + int(of)} for of in classes]
    assert found.image_to_text.ranks.tolist() == naive_ranks(images, sentences, right)
    apart = image_text_retrieval(images, sentences[words], owner)
    assert found.text_to_image.ranks.tolist() == apart.text_to_image.ranks.tolist()
    assert (apart.image_to_text.ranks >= 4).all()  # as many captions of the class as it has other images


def test_captions_of_different_words_count_as_the_papers_count_them() -> None:
    draws = np.random.default_rng(3)
    owner = np.repeat(np.arange(20), 5)
    images, texts = draws.normal(size=(20, 4)), draws.normal(size=(100, 4))
    plain = image_text_retrieval(images, texts, owner).image_to_text.ranks
    assert image_text_retrieval(images, texts, owner, wording=draws.permutation(100)).image_to_text.ranks.tolist() == (
        plain.tolist()
    )


def test_the_gallery_is_made_ready_once_however_many_queries_float32_leaves_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TILE_BYTES", 2**12)
    unit, rows = module._unit, []

    def counted(part: np.ndarray, norms: np.ndarray) -> np.ndarray:
        rows.append(len(part))
        return unit(part, norms)

    monkeypatch.setattr(module, "_unit", counted)
    texts = np.eye(4)[np.arange(200) % 4]
    result = image_text_retrieval(np.eye(4)[np.arange(100) % 4], texts, np.arange(200) % 100)
    assert set(result.text_to_image.ranks.tolist()) == {25}
    assert set(result.image_to_text.ranks.tolist()) == {49}
    assert sum(rows) < 20 * 300


def test_a_collapsed_model_ranks_last() -> None:
    result = image_text_retrieval(np.ones((30, 4), np.float32), np.ones((60, 4), np.float32), np.arange(60) // 2)
    assert set(result.text_to_image.ranks.tolist()) == {30}
    assert set(result.image_to_text.ranks.tolist()) == {59}
    assert result.text_to_image.recall[10] == 0


def test_what_float32_cannot_tell_apart_is_decided_in_float64() -> None:
    angle = 3e-7
    images = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    texts = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    assert image_text_retrieval(images, texts, np.array([0, 1])).text_to_image.ranks.tolist() == [2, 2]  # cos < 1e-13
    angle = 3e-4
    images[1] = texts[1] = np.cos(angle), np.sin(angle)
    assert image_text_retrieval(images, texts, np.array([0, 1])).text_to_image.ranks.tolist() == [1, 1]


def test_bad_input_is_named() -> None:
    with pytest.raises(EvaluationError, match="image 1 has no caption"):
        image_text_retrieval(np.eye(2), np.eye(2), np.array([0, 0]))
    with pytest.raises(EvaluationError, match="value 2 with 2 images"):
        image_text_retrieval(np.eye(2), np.eye(2), np.array([0, 2]))
    with pytest.raises(EvaluationError, match="same dimension"):
        image_text_retrieval(np.eye(2), np.eye(3), np.array([0, 1, 1]))


def test_the_geometry_of_two_modalities_by_its_equations() -> None:
    draws = np.random.default_rng(1)
    images, texts, owner = draws.normal(size=(40, 3)), draws.normal(size=(90, 3)), draws.integers(0, 40, 90)
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    found = modality_geometry(images, texts, owner)
    assert found.gap == pytest.approx(np.linalg.norm(x.mean(0) - y.mean(0)), rel=1e-5)
    assert found.alignment == pytest.approx(np.square(x[owner] - y).sum(1).mean(), rel=1e-5)
    squared = np.square(x[:, None] - y[None]).sum(2)
    assert found.uniformity == pytest.approx(np.log(np.exp(-2 * squared).mean()), rel=1e-5)
