"""A finished run measured again: on its own data anew, or on another source beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from likewise.models import load_model, place
from likewise.training.build import freeze
from likewise.training.files import read_json, write_json, writing_to
from likewise.training.frozen import frozen_view
from likewise.training.measure import measure
from likewise.training.run import Run, data_of
from likewise.training.run_folder import logging_to, working_in
from likewise.training.text_baselines import linear_baselines

__all__ = ["remeasure"]


def remeasure(
    run: Run, *, data: str | None = None, overrides: Mapping[str, Any] | None = None, device: str = "auto"
) -> dict[str, float]:
    """Measure a finished run again, on its own data or on another source.

    Images of another size or colour are brought to what the model takes. Where the classes are others, the model's own class
    scores say nothing about them and are left out; neighbours and probe learn the new ones from that source's train split.

    On its own data the run's files are replaced, its timings kept, and features of a frozen encoder are those that training
    kept. On another source everything is written to
    ``evaluations/<source>/`` in the run folder and the run itself stays as it is. Shares of images that the recipe asks for
    are taken of it too; counts belong to the run's own source: of another one all training images count, and a tenth of
    them as validation. Labels are taken as they are there, and people's ratings, which are of the run's own images, are left
    out.

    Args:
        run: finished.
        data: another source.
        overrides: settings of the recipe that are different this time, such as ``data.on_bad_image``.
        device: where the model computes: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The new numbers.

    Raises:
        RunError: another process works in the run, or it cannot be written.
        ModelError: there is no such device here.
        DatasetError: the images cannot be had.
    """
    recipe = run.recipe.with_overrides(dict(overrides or {}))
    model = place(load_model(run.folder), device)
    with working_in(run.folder), logging_to(run.folder / "log.txt"):
        if data is None:
            timings = (
                *("collapsed", "train_steps", "train_images", "train_seconds", "total_seconds"),
                *("images_per_second", "peak_memory_mb"),
            )
            options = recipe.evaluation
            freeze(model, recipe.training)
            splits = data_of(recipe) if overrides else run.data()
            with writing_to(run.folder):
                metrics = measure(
                    model,
                    splits.each(frozen_view(recipe, model)),
                    run.folder,
                    protocols=options.protocols,
                    seed=recipe.seed,
                    options=options,
                    reached=linear_baselines(run.evaluation.get("baselines") or {}),
                )
                metrics |= {name: run.metrics[name] for name in timings if name in run.metrics}
                write_json(run.folder / "metrics.json", metrics)
            return metrics
        asked = recipe.data
        counts = {"validation": 0.1, "train_size": None, "unlabeled_size": None}
        changed: dict[str, Any] = {
            f"data.{name}": other for name, other in counts.items() if isinstance(getattr(asked, name), int)
        }
        changed |= {"data.source": data, "data.label_noise": 0.0, "evaluation.ratings": None}
        there = recipe.with_overrides(changed)
        splits = data_of(there)
        with writing_to(run.folder):
            folder = _folder_for(data, run.folder / "evaluations")
            options = there.evaluation
            metrics = measure(model, splits, folder, protocols=options.protocols, seed=there.seed, options=options)
            write_json(folder / "metrics.json", metrics)
        return metrics


def _folder_for(source: str, evaluations: Path) -> Path:
    """The folder of what is measured on ``source``, made: by its name, and a digest where another source has that name."""
    path = Path(source).expanduser()
    identity = str(path.resolve()) if path.exists() else source
    name = re.sub(r"[^\w.-]+", "-", Path(identity).name).lstrip(".") or "data"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    folder = evaluations / name
    if folder.exists() and _source_of(folder) != identity:
        folder = evaluations / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "source.json", {"source": identity})
    return folder


def _source_of(folder: Path) -> str | None:
    """What the numbers in ``folder`` are of, where that is known."""
    written = folder / "source.json"
    return str(read_json(written)["source"]) if written.is_file() else None
