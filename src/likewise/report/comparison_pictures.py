"""Which pictures a comparison has: under its easiest condition, over training sizes, over wrong labels, on unseen classes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial

from likewise.comparison.metrics import MAIN_METRIC
from likewise.errors import LikewiseError
from likewise.evaluation import pair_similarities
from likewise.report.comparison_view import ComparisonView
from likewise.report.figures.accuracy_intervals import Estimate, draw_accuracy_intervals
from likewise.report.figures.alignment_uniformity import Shape, draw_alignment_uniformity
from likewise.report.figures.embedding_panels import Panel, draw_embedding_panels
from likewise.report.figures.label_noise import draw_label_noise
from likewise.report.figures.objective_recall import draw_objective_recall
from likewise.report.figures.sample_efficiency import draw_sample_efficiency
from likewise.report.figures.similarities import SimilarityPanel, draw_similarities
from likewise.report.figures.training_time import draw_training_time
from likewise.report.picture import Picture
from likewise.report.projection import projected
from likewise.report.run_pictures import IN_ORDER
from likewise.report.wording import duration, percent
from likewise.report.words import describe_metric

logger = logging.getLogger("likewise")

ACCURACIES = ("knn1_accuracy", "knn200_accuracy", "linear_probe_accuracy", "classifier_accuracy")
BANDS = "Bands and bars are 95 % intervals; without one there was a single seed. "
RAW, PCA = "Dashed: raw pixels without any training", ", dotted: PCA"


def comparison_pictures(view: ComparisonView) -> list[Picture]:
    """The pictures, most telling first; none for a comparison without a finished cell."""
    if view.easiest is None:
        return []
    key = view.easiest.key
    return [
        *_accuracies(view, key),
        *_efficiency(view),
        *_noise(view),
        *_unseen(view),
        *_recall(view, key),
        *_spaces(view, key),
        *_shapes(view, key),
        *_time(view, key),
    ]


def _untrained(metric: str, baselines: Collection[str]) -> str:
    """What the lines are that take no training, as far as they are drawn; with a space behind it."""
    if not baselines:
        return ""
    how = "; by 1-NN with the same training images" if metric == MAIN_METRIC else ""
    return f"{RAW}{PCA if len(baselines) > 1 else ''}{how}. "


def _accuracies(view: ComparisonView, condition: str) -> list[Picture]:
    panels = {describe_metric(name).label: view.estimates(condition, name) for name in ACCURACIES}
    panels = {name: estimates for name, estimates in panels.items() if estimates}
    if not panels:
        return []
    baselines = view.baseline_lines(condition)
    said = [f"{name}: " + ", ".join(f"{e.label} {percent(e.mean)}" for e in panel) for name, panel in panels.items()]
    return [
        Picture(
            "accuracy",
            "Accuracy by objective",
            "Points are means over seeds, thick bars their 95 % intervals, ticks the seeds. "
            f"{_untrained(MAIN_METRIC, baselines)}Intervals that "
            "overlap may still differ: the seeds and test images are shared, so the paired differences below decide.",
            f"Accuracies with intervals at {view.words(condition)}. {'; '.join(said)}; "
            + "; ".join(f"{name} {percent(value)}" for name, value in baselines.items())
            + ".",
            partial(draw_accuracy_intervals, panels, baselines, subtitle=view.words(condition)),
        )
    ]


def _efficiency(view: ComparisonView) -> list[Picture]:
    if view.main.get("unit") != "fraction":
        return []
    lines, baselines = view.by_size(view.main["name"])
    counts = sorted({x for line in lines for x in line.x})
    if len(counts) < 2:
        return []
    said = [
        f"{line.label} from {percent(line.mean[0])} with {line.x[0]:,} images to {percent(line.mean[-1])} with "
        f"{line.x[-1]:,}"
        for line in [*lines, *baselines]
    ]
    return [
        Picture(
            "sample_efficiency",
            "How many labelled images it takes",
            f"{BANDS}{_untrained(view.main['name'], [line.label for line in baselines])}"
            + (
                "The thin level line is what raw pixels reach with the most images here: left of where a curve crosses it, "
                "labels have been saved."
                if baselines
                else ""
            ),
            f"{view.main['label']} against the number of training images. {'; '.join(said)}.",
            partial(draw_sample_efficiency, lines, baselines, measure=str(view.main["label"])),
        )
    ]


def _noise(view: ComparisonView) -> list[Picture]:
    if view.main.get("unit") != "fraction":
        return []
    lines, baselines = view.by_noise(view.main["name"])
    if view.easiest is None or len({x for line in lines for x in line.x}) < 2:
        return []
    said = [
        f"{line.label} from {percent(line.mean[0])} with {percent(line.x[0], 0)} wrong labels to "
        f"{percent(line.mean[-1])} with {percent(line.x[-1], 0)}"
        for line in [*lines, *baselines]
    ]
    return [
        Picture(
            "label_noise",
            "How much wrong labels cost",
            f"That share of the training images has the label of another class, drawn at random; the test labels are "
            f"untouched. {BANDS}{_untrained(view.main['name'], [line.label for line in baselines])}".rstrip(),
            f"{view.main['label']} against the share of wrong training labels. {'; '.join(said)}.",
            partial(draw_label_noise, lines, baselines, measure=str(view.main["label"]), subtitle=view.easiest.images),
        )
    ]


def _unseen(view: ComparisonView) -> list[Picture]:
    """Retrieval among classes that training has not seen, under the easiest condition that has some."""
    condition = max((it for it in view.conditions if it.unseen_classes), key=lambda it: it.ease, default=None)
    if condition is None:
        return []
    panels = {
        describe_metric(name).label: [
            *view.estimates(condition.key, name),
            *(
                Estimate(
                    row["label"], len(view.recipes), float(row["mean"]), row.get("low"), row.get("high"), row["values"]
                )
                for row in view.baselines(condition.key, name)
            ),
        ]
        for name in ("recall_at_1", "map_at_r")
    }
    panels = {name: estimates for name, estimates in panels.items() if estimates}
    if not panels:  # every unseen class has one test image: nothing to find
        return []
    said = [f"{name}: " + ", ".join(f"{e.label} {percent(e.mean)}" for e in panel) for name, panel in panels.items()]
    return [
        Picture(
            "unseen_classes",
            "Retrieval among classes that training never saw",
            "Each test image looks for others of its class among the test images, none of whose classes were in training. "
            "Points are means over seeds, thick bars their 95 % intervals, ticks the seeds.",
            f"Retrieval among unseen classes with {condition.words}. {'; '.join(said)}.",
            partial(
                draw_accuracy_intervals,
                panels,
                {},
                title="Retrieval among unseen classes",
                measure="share",
                subtitle=condition.words,
            ),
        )
    ]


def _recall(view: ComparisonView, condition: str) -> list[Picture]:
    lines, baselines = view.recall_lines(condition), view.baseline_lines(condition)
    if not lines:
        return []
    said = [f"{line.label} from {percent(line.mean[0])} to {percent(line.mean[-1])}" for line in lines]
    return [
        Picture(
            "recall_at_k",
            "recall@k by objective",
            "The share of test images with at least one of their class among the k nearest. "
            f"{BANDS}{_untrained(MAIN_METRIC, baselines)}".rstrip(),
            f"recall at k = {lines[0].x[0]} to {lines[0].x[-1]}: {'; '.join(said)}.",
            partial(draw_objective_recall, lines, baselines, subtitle=view.words(condition)),
        )
    ]


def _spaces(view: ComparisonView, condition: str) -> list[Picture]:
    """The embedding of one run of each objective, and what it calls alike."""
    from likewise.training.run import Run

    maps: list[Panel] = []
    alike: list[SimilarityPanel] = []
    names = tuple((view.content.get("data") or {}).get("class_names") or ())
    for recipe, folder in view.showcase(condition).items():
        try:
            run = Run.load(folder)
            options, test = run.recipe.evaluation, run.embeddings("test")
            found = pair_similarities(test.embeddings, test.labels) if test.labeled else None
            if found is not None:
                alike.append(SimilarityPanel(view.labels[recipe], f"in order: {percent(found.auroc)}", found))
            seen = projected(folder, test, method=options.projection, most=options.projection_points)
        except LikewiseError as error:
            logger.warning("the embedding of %s is left out of the picture: %s", recipe, error)
            continue
        names = names or tuple(run.evaluation.get("class_names") or ())
        value = run.metrics.get("knn1_accuracy")
        words = seen.words if value is None else f"{seen.words} · 1-NN {percent(value)}"
        maps.append(Panel(view.labels[recipe], words, seen.points, seen.labels))
    which = f"({view.words(condition)}, first finished seed)"
    return [*_maps(maps, names, which), *_similarities(alike, which)]


def _maps(panels: Sequence[Panel], names: Sequence[str], which: str) -> list[Picture]:
    if not panels:
        return []
    title = "Embeddings of the objectives"
    return [
        Picture(
            "embeddings",
            "The spaces side by side",
            f"One run of each objective {which}, test images only, the same "
            "colours in every panel. In a projection only neighbourhoods mean something: neither axes nor "
            "distances between groups do.",
            f"Scatter plots of test images, one per objective: {'; '.join(f'{p.label}, {p.words}' for p in panels)}.",
            partial(draw_embedding_panels, panels, names, title=title),
        )
    ]


def _similarities(panels: Sequence[SimilarityPanel], which: str) -> list[Picture]:
    if not panels:
        return []
    return [
        Picture(
            "similarities",
            "What each objective calls alike",
            f"Cosines of all pairs of up to {panels[0].found.images:,} test images, of one run of each objective {which}. "
            f"{IN_ORDER}",
            f"Histograms of the cosine of two test images: {'; '.join(f'{p.label}, {p.words}' for p in panels)}.",
            partial(draw_similarities, panels, title="What each objective calls alike"),
        )
    ]


def _shapes(view: ComparisonView, condition: str) -> list[Picture]:
    """Alignment against uniformity; a single point says nothing that the table does not."""
    alignments = {item.place: item for item in view.estimates(condition, "alignment")}
    shapes = [
        Shape(
            item.label, item.place, item.mean, alignments[item.place].mean,
            tuple(zip(item.values, alignments[item.place].values, strict=False)),
        )
        for item in view.estimates(condition, "uniformity")
        if item.place in alignments
    ]  # fmt: skip
    if len(shapes) < 2:
        return []
    said = "; ".join(f"{shape.label} {shape.alignment:.2f} and {shape.uniformity:.2f}" for shape in shapes)
    return [
        Picture(
            "alignment_uniformity",
            "Tight classes against an even space",
            "Of the normalised embeddings of the test images. Alignment is the mean squared distance of two images of a class, "
            "uniformity the log of the mean Gaussian potential of two images (Wang & Isola 2020). Contrastive objectives look "
            "for both to be low; large points are means over seeds, small ones the seeds.",
            f"Alignment and uniformity: {said}.",
            partial(draw_alignment_uniformity, shapes, subtitle=view.words(condition)),
        )
    ]


def _time(view: ComparisonView, condition: str) -> list[Picture]:
    estimates = view.estimates(condition, "train_seconds")
    if not estimates:
        return []
    said = ", ".join(f"{item.label} {duration(item.mean)}" for item in estimates)
    return [
        Picture(
            "training_time",
            "What it cost",
            "Wall-clock time of the training loop, mean over seeds, with a line from the quickest seed to "
            "the slowest. Machine and threads are listed under Environment; on a busy machine these numbers wander.",
            f"Training time: {said}.",
            partial(draw_training_time, estimates, subtitle=view.words(condition)),
        )
    ]
