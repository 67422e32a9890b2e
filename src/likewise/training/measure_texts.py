"""What a model that knows texts is measured by: retrieval both ways, zero-shot, and the shape of the shared space.

Test captions are the queries of text-to-image retrieval; a truncated one stays a query, and how many there are is said.
Where some test captions occur word for word among the training captions and others do not, both kinds are also reported
apart: the difference is what the model understands beyond sentences that it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from likewise.data import ImageDataset, Splits
from likewise.data.captions import Captions
from likewise.data.feature_store import FrozenTexts
from likewise.data.prompts import class_prompts
from likewise.data.ratings import read_ratings
from likewise.errors import ModelError
from likewise.evaluation import (
    EmbeddedSplit,
    ImageTextResult,
    calibration_error,
    chance_recall,
    clustered_wilson,
    fit_temperature,
    image_text_retrieval,
    modality_geometry,
    nearest,
    prompt_ensemble,
    rating_agreement,
    zero_shot,
)
from likewise.models import EmbeddingModel
from likewise.recipe import EvaluationOptions
from likewise.training.files import replacing

__all__ = ["TextMeasurement", "caption_recall", "measure_texts", "zero_shot_accuracy"]

KS = (1, 5, 10)
SHOWN = 5
LEAST_SHARE = 0.05  # of the captions that a group of them needs to be reported apart


class TextMeasurement:
    """Numbers by their names in ``metrics.json``, their intervals, and what else ``evaluation.json`` keeps of them.

    ``baselines`` are numbers that take no training, ``chance_`` before the name of the metric; ``columns`` are for the
    records of the test images, a row each.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.intervals: dict[str, tuple[float, float]] = {}
        self.baselines: dict[str, float] = {}
        self.context: dict[str, Any] = {}
        self.columns: dict[str, pa.Array] = {}

    def share(self, name: str, hits: NDArray[np.bool_], images: NDArray[np.int64]) -> None:
        """The share of queries that hit, with its 95 % interval; ``images`` says of which image each query is."""
        self.metrics[name] = float(hits.mean())
        self.intervals[name] = clustered_wilson(hits, images)


def measure_texts(
    model: EmbeddingModel,
    splits: Splits,
    embedded: dict[str, EmbeddedSplit],
    folder: Path,
    options: EvaluationOptions,
) -> TextMeasurement:
    """Measure a model with a text tower, and write ``embeddings/texts.parquet`` and ``records/texts.parquet``.

    Args:
        model: with a text tower.
        splits: with captions, or with labels, or both: what they have not is not measured.
        embedded: image embeddings of validation and test.
        folder: the run folder.
        options: the sentences of zero-shot classification, and queries to show.
    """
    found = TextMeasurement()
    test = embedded["test"]
    if splits.test.captions is not None and splits.validation.captions is not None:
        captions, texts = Captions(splits.test), _embed(model, splits.test)
        words, owner = captions.text.numpy(), captions.image.numpy()
        result = image_text_retrieval(test.embeddings, texts[words], owner, KS, wording=words)
        _add_recall(found, "", result, captions)
        found.columns |= _ranks(result, captions)
        for way, shares in chance_recall(owner, len(test), KS, wording=words).items():
            found.baselines |= {f"chance_{way}_recall_at_{k}": share for k, share in shares.items()}
        checked = Captions(splits.validation)
        said = checked.text.numpy()
        rows, images = _embed(model, splits.validation)[said], embedded["validation"].embeddings
        checked_result = image_text_retrieval(images, rows, checked.image.numpy(), KS, wording=said)
        _add_recall(found, "val_", checked_result, checked)
        shape = modality_geometry(test.embeddings, texts[words], owner)
        found.metrics |= {
            "modality_gap": shape.gap,
            "image_text_alignment": shape.alignment,
            "image_text_uniformity": shape.uniformity,
        }
        _add_seen_and_unseen(found, captions, splits.train, result)
        _write_texts(folder, captions, texts, test, result)
        if options.ratings:
            _add_ratings(found, options.ratings, splits.test, test, texts[words])
    if test.labeled and splits.test.class_names:
        _add_zero_shot(found, model, embedded, splits.test.class_names, options.templates)
    if options.queries:
        _write_queries(folder, model, options.queries, test)
    found.context["truncated_captions"] = _truncated(model, splits)
    return found


def caption_recall(model: EmbeddingModel, data: ImageDataset, images: NDArray[np.float32]) -> float:
    """Text-to-image recall@1 of a split with these image embeddings."""
    captions = Captions(data)
    texts = _embed(model, data)[captions.text.numpy()]
    return image_text_retrieval(images, texts, captions.image.numpy(), (1,)).text_to_image.recall[1]


def zero_shot_accuracy(
    model: EmbeddingModel, embedded: EmbeddedSplit, class_names: Sequence[str], templates: Sequence[str]
) -> float:
    """Share of the images whose class has the nearest of the texts that the templates make of the class names."""
    return zero_shot(embedded.embeddings, _class_texts(model, class_names, templates), embedded.labels).accuracy


def _class_texts(model: EmbeddingModel, class_names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """(K, D), a vector for each class."""
    prompts = class_prompts(class_names, templates)
    flat = model.embed_text([sentence for sentences in prompts for sentence in sentences])
    return prompt_ensemble(flat.reshape(len(prompts), len(templates), -1))


def _embed(model: EmbeddingModel, data: ImageDataset) -> NDArray[np.float32]:
    """Embeddings of a split's different captions; from kept features where the text encoder was not trained."""
    texts = Captions(data).texts
    tower = model.text
    if tower is None:
        raise ModelError("This model has no text tower.", expected="Expected one: texts are to be measured.")
    if tower.encoder_frozen:
        return tower.embed_frozen(FrozenTexts.of_model(model).of(texts), normalize=model.normalize != "never")
    return model.embed_text(texts)


def _add_recall(found: TextMeasurement, prefix: str, result: ImageTextResult, captions: Captions) -> None:
    for name, side, images in (
        ("text_to_image", result.text_to_image, captions.image.numpy()),
        ("image_to_text", result.image_to_text, np.arange(len(captions))),
    ):
        for k in side.recall:
            found.share(f"{prefix}{name}_recall_at_{k}", side.ranks <= k, images)
        found.metrics[f"{prefix}{name}_median_rank"] = side.median_rank


def _ranks(result: ImageTextResult, captions: Captions) -> dict[str, pa.Array]:
    """What stands behind both recalls, by image: the ranks of its captions' searches, and of its own."""
    of_captions = pa.ListArray.from_arrays(
        pa.array(captions.first.numpy(), pa.int32()), pa.array(result.text_to_image.ranks)
    )
    return {"text_to_image_ranks": of_captions, "image_to_text_rank": pa.array(result.image_to_text.ranks)}


def _add_ratings(
    found: TextMeasurement, file: str, data: ImageDataset, test: EmbeddedSplit, texts: NDArray[np.float32]
) -> None:
    """Agreement with what people said of pairs of a test image and another image's caption."""
    ratings = read_ratings(file, data)
    others = ~ratings.own
    rows, columns = test.embeddings[ratings.image[others]], texts[ratings.text[others]]
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(columns, axis=1)
    cosines = (rows * columns).sum(axis=1) / np.where(norms > 0, norms, 1)
    agreement = rating_agreement(cosines, ratings.mean[others], ratings.image[others])
    found.metrics["rating_spearman"] = agreement.spearman
    found.intervals["rating_spearman"] = agreement.interval
    found.context["ratings"] = {
        "pairs": agreement.pairs,
        "own": int(ratings.own.sum()),
        "missing": ratings.missing,
        "file": Path(file).name,
    }


def _add_seen_and_unseen(
    found: TextMeasurement, captions: Captions, train: ImageDataset, result: ImageTextResult
) -> None:
    """Recall of captions that training held word for word, and of those that it did not."""
    known = {caption for given in train.captions or () for caption in given}
    seen = np.array([text in known for text in captions.texts])[captions.text.numpy()]
    if not LEAST_SHARE < seen.mean() < 1 - LEAST_SHARE:
        return
    # an image counts as seen where one of its captions is
    image_seen = np.bincount(captions.image.numpy(), weights=seen, minlength=len(captions)) > 0
    for name, ranks, images, mask in (
        ("text_to_image", result.text_to_image.ranks, captions.image.numpy(), seen),
        ("image_to_text", result.image_to_text.ranks, np.arange(len(captions)), image_seen),
    ):
        for group, chosen in (("seen", mask), ("unseen", ~mask)):
            if chosen.any():
                found.share(f"{name}_recall_at_1_{group}", ranks[chosen] == 1, images[chosen])


def _add_zero_shot(
    found: TextMeasurement,
    model: EmbeddingModel,
    embedded: dict[str, EmbeddedSplit],
    class_names: tuple[str, ...],
    templates: tuple[str, ...],
) -> None:
    classes = _class_texts(model, class_names, templates)
    test, validation = embedded["test"], embedded["validation"]
    result = zero_shot(test.embeddings, classes, test.labels)
    chosen = zero_shot(validation.embeddings, classes, validation.labels)
    temperature = fit_temperature(chosen.similarities, validation.labels)
    for prefix, said, asked in (("", result, test), ("val_", chosen, validation)):
        found.share(f"{prefix}zero_shot_accuracy", said.predictions == asked.labels, np.arange(len(asked)))
    found.columns["zero_shot_prediction"] = pa.array(result.predictions)
    found.metrics["zero_shot_calibration_error"] = calibration_error(result.similarities, test.labels, temperature)
    found.context["zero_shot"] = {
        "templates": list(templates),
        "temperature": temperature,
        "per_class_accuracy": {
            name: float(value) for name, value in zip(class_names, result.per_class, strict=True) if np.isfinite(value)
        },
    }


def _truncated(model: EmbeddingModel, splits: Splits) -> dict[str, int]:
    """How many different captions of each split are longer than the text encoder reads, where there are any."""
    if model.text is None:
        return {}
    counts = {}
    for name in ("train", "validation", "test"):
        data: ImageDataset = getattr(splits, name)
        if data.captions is not None:
            counts[name] = int(model.text.encoder.tokenize(Captions(data).texts).truncated.sum())
    return {name: count for name, count in counts.items() if count}


def _write_queries(folder: Path, model: EmbeddingModel, queries: tuple[str, ...], test: EmbeddedSplit) -> None:
    """What the recipe's own queries find."""
    scores, places = nearest(model.embed_text(queries), test.embeddings, min(SHOWN, len(test)), distance="cosine")
    ids = np.asarray(test.ids, dtype=object)
    columns = {
        "caption": pa.array(queries, pa.string()),
        "found": pa.array(ids[places].tolist(), pa.list_(pa.string())),
        "similarities": pa.array((1 - scores).tolist(), pa.list_(pa.float32())),
    }
    path = folder / "records" / "queries.parquet"
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as beside:
        pq.write_table(pa.table(columns), beside)


def _write_texts(
    folder: Path, captions: Captions, texts: NDArray[np.float32], test: EmbeddedSplit, result: ImageTextResult
) -> None:
    """Every test caption: its image, its rank, and the images found first."""
    own = captions.image.numpy()
    rows = texts[captions.text.numpy()]
    scores, places = nearest(rows, test.embeddings, min(SHOWN, len(test)), distance="cosine")
    ids = np.asarray(test.ids, dtype=object)
    written = [captions.texts[place] for place in captions.text.tolist()]
    table = pa.table(
        {
            "caption": pa.array(written, pa.string()),
            "image": pa.array(ids[own].tolist(), pa.string()),
            "rank": pa.array(result.text_to_image.ranks),
            "found": pa.array(ids[places].tolist(), pa.list_(pa.string())),
            "similarities": pa.array((1 - scores).tolist(), pa.list_(pa.float32())),
        }
    )
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).ravel()), rows.shape[1])
    embeddings = pa.table({"caption": table["caption"], "image": table["image"], "embedding": vectors})
    for path, content in (
        (folder / "records" / "texts.parquet", table),
        (folder / "embeddings" / "texts.parquet", embeddings),
    ):
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as beside:
            pq.write_table(content, beside)
