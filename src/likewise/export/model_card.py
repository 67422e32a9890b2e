"""The model card of a run: what was trained on what, how to use it, every test number with its interval, and its limits.

The card says nothing that the run does not know: a licence, for one, is for the person to choose who knows the images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from likewise.export.carried import Places
from likewise.report.run_summary import Row, sentences, table
from likewise.report.words import COST, VALIDATION
from likewise.training import Run

__all__ = ["model_card"]


_HEADLINES = (
    "knn1_accuracy",
    "recall_at_1",
    "map_at_r",
    "linear_probe_accuracy",
    "zero_shot_accuracy",
    "text_to_image_recall_at_1",
    "text_to_image_recall_at_10",
    "image_to_text_recall_at_1",
)
_TOLD_APART_WORST = 3  # classes that the limits name


def model_card(run: Run, name: str, *, use: str = "", stock: str = "") -> str:
    """The model card, as Markdown with its front matter.

    Args:
        run: what was trained and measured.
        name: of the model.
        use: how what lies beside the card is used, as Markdown; by default by ``likewise.load_model``.
        stock: how it loads, or why it does not load, with ``sentence-transformers``.
    """
    spec, places = run.model.input, Places(run)
    shown = table(run)
    parts = [
        f"---\n{yaml.safe_dump(places.without(_front_matter(run, name)), sort_keys=False, allow_unicode=True)}---",
        f"# {run.recipe.title or name}",
        " ".join(sentences(run)),
        "## Use",
        use or _likewise(run, name),
        f"Images are brought to {spec.height} × {spec.width} pixels, {'grey' if spec.channels == 1 else 'RGB'}, and "
        "normalised inside the model. Compare embeddings by "
        f"{'Euclidean distance' if run.model.normalize == 'never' else 'cosine similarity'}.",
        *([stock] if stock else []),
        "## Numbers",
        "On the test split unless the name says otherwise, with 95 % intervals where the number is a share of images.",
        *[_table(*section) for section in shown.groups if section[0] not in (COST, VALIDATION)],
        "## Data",
        _data(run),
        "## Limits",
        _limits(run),
        "## How it was made",
        _made(run),
    ]
    card: str = places.without("\n\n".join(parts))
    return card + "\n"


def _front_matter(run: Run, name: str) -> dict[str, Any]:
    source = str(run.evaluation.get("source") or run.recipe.data.source)
    measured = [key for key in _HEADLINES if key in run.metrics]
    task = "image-feature-extraction" if run.model.text is None else "zero-shot-image-classification"
    return {
        "library_name": "likewise",
        "pipeline_tag": task,
        "tags": ["likewise", "embeddings", "image-similarity", run.recipe.objective.name],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"name": source, "type": source, "split": "test"},
                        "metrics": [{"type": key, "value": round(run.metrics[key], 6)} for key in measured],
                    }
                ],
            }
        ],
    }


def _table(group: str, rows: list[Row], baselines: list[str]) -> str:
    lines = [
        f"| {' | '.join((group, 'value', 'interval', *baselines))} |",
        f"|{' --- |' * (3 + len(baselines))}",
    ]
    for row in rows:
        cells = (row.label, row.value, row.interval, *(row.baselines.get(label, "") for label in baselines))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _data(run: Run) -> str:
    known = run.evaluation
    sizes = ", ".join(f"{count:,} {split}" for split, count in (known.get("sizes") or {}).items())
    names = [str(name) for name in known.get("class_names") or ()]
    lines = [f"- Source: {known.get('source') or run.recipe.data.source} ({known.get('origin')})"]
    lines += [f"- Images: {sizes}"] if sizes else []
    lines += [f"- Classes: {', '.join(names[:50])}{' …' if len(names) > 50 else ''}"] if names else []
    lines += [f"- {note}" for note in known.get("notes") or ()]
    return "\n".join(lines)


def _likewise(run: Run, name: str) -> str:
    dimension = run.model.embedding_dim
    lines = [
        "import likewise as lw",
        "",
        f'model = lw.load_model("{name}")  # this folder',
        f"model.embed(images)  # pictures, or (N, C, H, W) uint8 -> (N, {dimension}) float32",
    ]
    if run.model.text is not None:
        lines.append(f'model.embed_text(["a red shoe"])  # (1, {dimension}) float32, in the same space')
    return "```python\n" + "\n".join(lines) + "\n```"


def _limits(run: Run) -> str:
    lines = [
        "- The numbers are of images from the same source as those it learned from; on others it may do worse.",
        "- The intervals say how sure the numbers are for this one training; another seed gives another model.",
        "- What the training images lack or have wrong, the embedding lacks or has wrong too.",
    ]
    if run.model.text is not None:
        longest = getattr(run.model.text.options, "max_tokens")  # noqa: B009  every text encoder has it
        lines.append(f"- Of a text the first {longest} tokens are read.")
    lines += [f"- {worst}" for worst in _worst_classes(run)]
    return "\n".join([*lines, *(f"- {warning}" for warning in run.warnings)])


def _worst_classes(run: Run) -> list[str]:
    """The classes whose test images are least often next to a training image of their own."""
    names = [str(name) for name in run.evaluation.get("class_names") or ()]
    if not (run.folder / "records" / "test.parquet").is_file() or len(names) <= _TOLD_APART_WORST:
        return []
    records = run.records()
    if not {"label", "knn1_prediction"} <= set(records.column_names):
        return []
    labels = records["label"].to_numpy()
    right = labels == records["knn1_prediction"].to_numpy()
    shares = {label: float(right[labels == label].mean()) for label in np.unique(labels).tolist()}
    worst = sorted(shares, key=lambda label: shares[label])[:_TOLD_APART_WORST]
    said = ", ".join(f"{names[label]} ({100 * shares[label]:.1f} %)" for label in worst)
    return [f"Classes that it tells apart worst, by 1-NN accuracy: {said}."]


def _made(run: Run) -> str:
    text = "" if run.model.text is None else f" and {run.model.text.options.name} for the texts"
    versions = ", ".join(
        f"{name} {run.environment[name]}" for name in ("likewise", "python", "torch") if run.environment.get(name)
    )
    return "\n".join(
        [
            f"- Encoder: {run.model.encoder_options.name}{text}, {run.model.embedding_dim} dimensions.",
            f"- Objective: {run.recipe.objective.label}.",
            "- All settings stand in `recipe.yaml`: `likewise train recipe.yaml` trains it again.",
            *([f"- Versions: {versions}."] if versions else []),
        ]
    )
