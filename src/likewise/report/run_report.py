"""The report of one run: pictures into ``figures/``, then ``report.html``, which explains the run to a stranger.

Besides the projection (16 s by t-SNE for 3,000 points, and as much for each stage before the run; nothing where it is kept
from before or the embedding has two dimensions) all pictures and the page take about two seconds on one core.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.report.downstream_pictures import downstream_pictures
from likewise.report.image_pictures import image_pictures
from likewise.report.page import render
from likewise.report.picture import Picture, save_pictures
from likewise.report.run_pictures import numeric_pictures, test_records
from likewise.report.run_summary import chart, sentences, table
from likewise.report.stage_pictures import stage_pictures
from likewise.report.stages import MEASURES, stage_rows, stages_of
from likewise.report.task_pictures import task_pictures
from likewise.report.text_pictures import text_pictures
from likewise.report.wording import flat

if TYPE_CHECKING:
    from likewise.data import Splits
    from likewise.training.run import Run

ORDER = (
    "text_search",
    "worst_texts",
    "similarity_matrix",
    "modalities",
    "embedding",
    "similarities",
    "stage_spaces",
    "task_examples",
    "neighbors",
    "recall_at_k",
    "confusion",
    "stage_confusion",
    "worst_errors",
    "few_labels",
    "clusters",
    "anomalies",
    "components",
    "label_issues",
    "leaks",
    "training",
    "training_images",
    "pairs",
)
MOST_BAD_IMAGES = 200


def write_run_report(run: Run, data: Splits | None = None) -> Path:
    """Draw the pictures of a run and write its ``report.html``.

    Args:
        run: a finished run.
        data: the images it was trained on. Without them, pictures that show images are kept from an earlier report if
            there are any, else left out with a note.

    Returns:
        The path of ``report.html`` in the run folder: one self-contained file under 3 MB.

    Raises:
        RunError: a file of the run is missing or damaged, or its texts alone exceed 3 MB.

    Example:
        >>> from likewise.report import write_run_report
        >>> from likewise import Run
        >>> write_run_report(Run.load("runs/a"))  # doctest: +SKIP
        PosixPath('runs/a/report.html')
    """
    records, stages = test_records(run), stages_of(run)
    asked = [*numeric_pictures(run, records), *image_pictures(run, data, records), *task_pictures(run)]
    asked += [*downstream_pictures(run, data), *text_pictures(run, data), *stage_pictures(stages)]
    asked.sort(key=lambda picture: ORDER.index(picture.name))
    pictures = save_pictures(run.folder, asked)
    return render(
        "run.html.j2",
        pictures,
        run.folder,
        run.folder / "report.html",
        title=run.recipe.title or run.recipe.name,
        name=run.recipe.name,
        description=run.recipe.description,
        facts=_facts(run),
        sentences=sentences(run),
        chart=chart(run),
        table=table(run),
        stages=stage_rows(stages),
        stage_measures=list(MEASURES.values()),
        intervals_known=bool(run.evaluation.get("intervals")),
        warnings=list(dict.fromkeys([*run.warnings, *(run.evaluation.get("notes") or ())])),
        collapsed=[row["epoch"] for row in run.history if row.get("collapsed")],
        bad_images=_bad_images(run),
        class_names=list(run.evaluation.get("class_names") or ()),
        missing=_missing(asked, pictures),
        recipe=(run.folder / "recipe.yaml").read_text(encoding="utf-8"),
        environment=flat(run.environment),
        commands=_commands(run),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _facts(run: Run) -> list[tuple[str, str]]:
    recipe = run.recipe
    origin = run.evaluation.get("origin")
    facts = [
        ("data", recipe.data.source),
        ("objective", recipe.objective.label),
        ("encoder", recipe.encoder.name),
        ("budget", recipe.budget),
        ("seed", str(recipe.seed)),
    ]
    return [*facts, ("origin", str(origin))] if origin else facts


def _bad_images(run: Run) -> dict[str, Any]:
    listed = run.evaluation.get("bad_images") or []
    rows = [
        (str(bad.get("item", "")), str(bad.get("reason", ""))) if isinstance(bad, dict) else (str(bad), "")
        for bad in listed[:MOST_BAD_IMAGES]
    ]
    return {"rows": rows, "total": len(listed), "more": len(listed) - len(rows)}


def _missing(asked: list[Picture], there: list[Picture]) -> list[str]:
    names = {picture.name for picture in there}
    return [picture.title for picture in asked if picture.name not in names]


def _commands(run: Run) -> list[tuple[str, str]]:
    folder = shlex.quote(str(run.folder))
    return [
        (
            "Train it again, the same",
            f"likewise train {folder}/recipe.yaml --out {shlex.quote(run.folder.name + '-again')}",
        ),
        ("Measure it again", f"likewise evaluate {folder}"),
        ("Write this page again", f"likewise report {folder}"),
    ]
