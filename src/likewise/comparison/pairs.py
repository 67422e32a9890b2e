"""Differences of finished runs in pairs: the same seeds on both sides and, where there are records, the same test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from likewise.comparison.metrics import per_image
from likewise.comparison.rows import Metric
from likewise.comparison.statistics import Interval, intervals_of_means, student
from likewise.training import Run

__all__ = ["Pairs", "Place"]

#: A recipe and the key of a condition.
Place = tuple[str, str]
#: Of the differences on each seed and image: (N,) over the seeds and (S,) over the images, all that an interval reads.
Means = tuple[NDArray[np.float64], NDArray[np.float64]]


class Pairs:
    """Collects pairs of places, then gives the interval of each difference.

    All pairs and metrics with as many seeds and test images share the resamples of the test images: 0.2 s for all of them
    instead of each.

    Args:
        runs: finished runs by recipe, condition and seed.
        metrics: what is compared.
    """

    def __init__(self, runs: Mapping[tuple[str, str, int], Run], metrics: Sequence[Metric]) -> None:
        self._runs, self._metrics = runs, metrics
        self._records: dict[tuple[str, str, int], pa.Table] = {}
        self._rows: list[tuple[Place, Place, str, Interval, int]] = []
        self._each: dict[tuple[int, ...], list[tuple[int, Means]]] = {}

    def add(self, a: Place, b: Place, seeds: Sequence[int]) -> None:
        """``a`` minus ``b`` in every metric that both have, on the seeds that both have."""
        shared = [seed for seed in seeds if (*a, seed) in self._runs and (*b, seed) in self._runs]
        for metric in self._metrics if shared else ():
            one, two = ([self._runs[*at, seed].metrics.get(metric.name) for seed in shared] for at in (a, b))
            gaps = [x - y for x, y in zip(one, two, strict=True) if x is not None and y is not None]
            if len(gaps) < len(shared):
                continue
            each = self._each_image(a, b, shared, metric.name)
            if each is not None:
                means = each.mean(axis=0), each.mean(axis=1)
                self._each.setdefault(each.shape, []).append((len(self._rows), means))
            self._rows.append((a, b, metric.name, student(gaps), len(shared)))

    def intervals(self) -> Iterator[tuple[Place, Place, str, Interval, int]]:
        """Each pair and metric with its interval and the number of seeds, in the order in which they were added."""
        found: dict[int, Interval] = {}
        for group in self._each.values():
            per_image, per_seed = (np.stack(means) for means in zip(*(means for _, means in group), strict=True))
            resampled = intervals_of_means(per_image, per_seed)
            found |= {place: interval for (place, _), interval in zip(group, resampled, strict=True)}
        for place, (a, b, metric, over_seeds, n) in enumerate(self._rows):
            yield a, b, metric, found.get(place, over_seeds), n

    def _each_image(self, a: Place, b: Place, seeds: Sequence[int], metric: str) -> NDArray[np.float64] | None:
        """(S, N): value of a minus that of b on each test image, or ``None`` where there is none or the images differ."""
        ids = self._table(a, seeds[0])["id"]
        rows = []
        for seed in seeds:
            if not all(self._table(place, seed)["id"].equals(ids) for place in (a, b)):
                return None
            one, two = (per_image(self._table(place, seed), metric) for place in (a, b))
            if one is None or two is None:
                return None
            rows.append(one - two)
        stacked = np.stack(rows)
        asked = ~np.isnan(stacked).any(axis=0)  # an image that is alone in its class has no one to find
        return np.ascontiguousarray(stacked[:, asked]) if asked.any() else None

    def _table(self, place: Place, seed: int) -> pa.Table:
        key = (*place, seed)
        if key not in self._records:
            self._records[key] = self._runs[key].records()
        return self._records[key]
