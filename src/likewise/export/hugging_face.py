"""A run as a Hugging Face folder: the model, what it was trained by, and a model card written from what was measured.

The folder can be uploaded as it is, and ``load_model`` reads it. The card says nothing that the run does not know: a
licence, for one, is for the person to choose who knows the images.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from likewise.errors import RunError
from likewise.models import load_model, save_model
from likewise.models.identity import model_id
from likewise.report.run_summary import Row, sentences, table
from likewise.report.words import COST, VALIDATION
from likewise.training import Run

__all__ = ["export_hugging_face", "model_card"]

CARRIED = ("recipe.yaml", "metrics.json", "evaluation.json")


def export_hugging_face(run: Run, folder: str | os.PathLike[str]) -> Path:
    """Write ``model.safetensors``, ``config.json``, ``README.md`` and the run's recipe and numbers into a new folder.

    Raises:
        RunError: the folder is there already or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise RunError(
            f"{folder} is there already.", expected="Expected a new folder.", advice="Choose another -o, or remove it."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            save_model(run.model, beside / "model")
            for file in (beside / "model").iterdir():
                file.rename(beside / file.name)
            (beside / "model").rmdir()
            for name in CARRIED:
                shutil.copyfile(run.folder / name, beside / name)
            (beside / "README.md").write_text(model_card(run, folder.name), encoding="utf-8")
            if model_id(load_model(beside)) != model_id(run.model):
                raise RunError(f"The model in {beside} is not the one of the run.", expected="Expected the same bits.")
            beside.chmod(0o755)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror or error}).",
            expected="Expected a folder that can be written, with room for the weights.",
            advice="Free some space or choose another -o.",
        ) from error
    return folder


def model_card(run: Run, name: str) -> str:
    """The model card, as Markdown with its front matter.

    Args:
        run: what was trained and measured.
        name: of the model.
    """
    spec = run.model.input
    shown = table(run)
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(run, name), sort_keys=False, allow_unicode=True)}---",
        f"# {run.recipe.title or name}",
        " ".join(sentences(run)),
        "## Use",
        "```python\nimport likewise as lw\n\n"
        f'model = lw.load_model("{name}")  # this folder\n'
        f"model.embed(images)  # pictures, or (N, C, H, W) uint8 -> (N, {run.recipe.embedding_dim}) float32\n```",
        f"Images are brought to {spec.height} × {spec.width} pixels, {'grey' if spec.channels == 1 else 'RGB'}, and "
        "normalised inside the model. Compare embeddings by "
        f"{'Euclidean distance' if run.model.normalize == 'never' else 'cosine similarity'}.",
        "## Numbers",
        "On the test split unless the name says otherwise, with 95 % intervals where the number is a share of images.",
        *[_table(*section) for section in shown.groups if section[0] not in (COST, VALIDATION)],
        "## Data",
        _data(run),
        "## Limits",
        _limits(run),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(run: Run, name: str) -> dict[str, Any]:
    source = str(run.evaluation.get("source") or run.recipe.data.source)
    measured = [key for key in ("knn1_accuracy", "recall_at_1", "linear_probe_accuracy") if key in run.metrics]
    return {
        "library_name": "likewise",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["likewise", "embeddings", "image-similarity", run.recipe.objective.name],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-feature-extraction"},
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


def _limits(run: Run) -> str:
    lines = [
        "- The numbers are of images from the same source as those it learned from; on others it may do worse.",
        "- The intervals say how sure the numbers are for this one training; another seed gives another model.",
        "- What the training images lack or have wrong, the embedding lacks or has wrong too.",
    ]
    return "\n".join([*lines, *(f"- {warning}" for warning in run.warnings)])
