"""The report of a comparison: what the intervals support in words, plots, tables, and the way to every run.

Pictures cost about two seconds; the maps of the objectives come from the coordinates that the runs' own reports left
in ``embeddings/projection.parquet``, or cost one projection each (16 s by t-SNE).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from likewise.comparison.equal import equal_words
from likewise.report.chosen_settings import chosen_settings, search_words
from likewise.report.comparison_pictures import comparison_pictures
from likewise.report.comparison_tables import (
    capital,
    cell_rows,
    cell_warnings,
    condition_tables,
    difference_methods,
    differences,
)
from likewise.report.comparison_view import ComparisonView
from likewise.report.page import render
from likewise.report.picture import save_pictures
from likewise.report.wording import count, flat

MOST_BAD_IMAGES = 200


def write_comparison_report(folder: str | os.PathLike[str]) -> Path:
    """Draw the pictures of a comparison and write its ``report.html``.

    Cells that failed are shown as failed, cells that are still to come as pending: it may be called at any time.

    Args:
        folder: of a comparison, with ``comparison.json`` and the runs under ``cells/``.

    Returns:
        The path of ``report.html`` in the folder: one self-contained file under 3 MB.

    Raises:
        RunError: ``comparison.json`` is missing or damaged.

    Example:
        >>> from likewise.report import write_comparison_report
        >>> write_comparison_report("runs/comparison")  # doctest: +SKIP
        PosixPath('runs/comparison/report.html')
    """
    view = ComparisonView.load(Path(folder))
    pictures = save_pictures(view.folder, comparison_pictures(view))
    cells = cell_rows(view)
    data = view.content.get("data") or {}
    bad = data.get("bad_images") or []
    listed = [
        (str(row.get("item", "")), str(row.get("reason", ""))) if isinstance(row, dict) else (str(row), "")
        for row in bad
    ]
    return render(
        "comparison.html.j2",
        pictures,
        view.folder,
        view.folder / "report.html",
        title=_title([view.labels[recipe] for recipe in view.recipes]),
        facts=_facts(view),
        answers=_answers(view),
        notes=[str(note) for note in view.rows("notes")],
        warnings=cell_warnings(view),
        failed=[cell for cell in cells if cell.status == "failed"],
        pending=sum(cell.status == "pending" for cell in cells),
        bad_images={"rows": listed[:MOST_BAD_IMAGES], "total": len(bad), "more": len(bad) - MOST_BAD_IMAGES},
        tables=condition_tables(view),
        differences=differences(view, main=True),
        more_differences=differences(view, main=False),
        difference_methods=difference_methods(view),
        chosen=chosen_settings(view),
        search_words=search_words(view),
        cells=cells,
        main_label=str(view.main.get("label") or view.main["name"]),
        environment=flat(view.content.get("environment") or {}),
        overrides=flat(view.content.get("overrides") or {}),
        commands=[("Do it again (finished runs are kept with --out FOLDER)", str(view.content["command"]))]
        if view.content.get("command")
        else [],
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _title(labels: list[str]) -> str:
    if len(labels) == 1:
        return capital(f"{labels[0]} over conditions and seeds")
    return capital(f"{', '.join(labels[:-1])} and {labels[-1]} compared")


def _facts(view: ComparisonView) -> list[tuple[str, str]]:
    content, data = view.content, view.content.get("data") or {}
    facts = [("data", data.get("source")), ("budget", content.get("budget"))]
    seeds = content.get("seeds") or []
    if content.get("equal"):
        facts.append(("every run", equal_words(str(content["equal"]))))
    facts += [
        ("seed" if len(seeds) == 1 else "seeds", ", ".join(str(seed) for seed in seeds)),
        ("runs", str(len(view.rows("cells")))),
    ]
    if content.get("trials"):
        facts.append(("chosen on validation", f"{count(int(content['trials']), 'trial')} each"))
    tested = sorted({it.test for it in view.conditions if it.test})
    if tested:
        facts.append(("measured on", " or ".join(count(images, "test image") for images in tested)))
    facts.append(("origin", data.get("origin")))
    return [(name, str(value)) for name, value in facts if value]


def _answers(view: ComparisonView) -> list[tuple[str, list[str]]]:
    answers = [(str(row["question"]), [str(text) for text in row["statements"]]) for row in view.rows("answers")]
    statements = [str(text) for text in view.rows("statements")]
    told = {text for _, texts in answers for text in texts}
    rest = [text for text in statements if text not in told]
    return [*answers, *([("", rest)] if rest else [])]
