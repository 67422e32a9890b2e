"""Threads that work on different tiles change nothing but the time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
import torch
from loss_cases import CASES, Case
from test_contract import value_and_grads

from likewise import losses
from likewise.losses import _lanes
from likewise.losses._layout import Layout


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Three threads, for batches of any size."""
    before = torch.get_num_threads()
    monkeypatch.setattr(_lanes, "LANE_ROWS", 1)
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", [c for c in CASES if c.has("tile")], ids=lambda c: c.id)
def test_lanes_change_nothing(case: Case, lanes: int) -> None:
    tensors = case.inputs(13, seed=3)
    found = [value_and_grads(case, tensors, tile_size=2) for _ in range(2)]
    assert torch.get_num_threads() == lanes
    torch.set_num_threads(1)
    value, grads = value_and_grads(case, tensors, tile_size=2)
    for again, others in found:
        assert again == pytest.approx(value, rel=1e-12)
        for a, b in zip(grads, others, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("over", ["negative", "positive", "both"])
def test_lanes_of_one_turn_have_nothing_in_common(symmetric: bool, over: str) -> None:
    labels = torch.arange(23) // 5
    layout = Layout(labels, None if symmetric else labels[:17], tile_size=2)
    seen = torch.zeros(layout.shape, dtype=torch.int64)
    for turn in layout.turns(over, 3):
        touched: list[set[tuple[str, int]]] = []
        for lane, tiles in enumerate(turn):
            mine = set()
            for tile in tiles:
                assert tile.lane == lane
                seen[tile.rows, tile.cols] += 1
                if tile.mirrored:
                    seen[tile.cols, tile.rows] += 1
                mine |= {("row", i) for i in range(tile.rows.start, tile.rows.stop)}
                side = "row" if symmetric else "column"
                mine |= {(side, i) for i in range(tile.cols.start, tile.cols.stop)}
            touched.append(mine)
        assert all(not a & b for a, b in combinations(touched, 2))
    same = labels[:, None] == (labels if symmetric else labels[:17])
    counts = {"negative": ~same, "positive": same, "both": torch.ones_like(same)}[over]
    # each pair once; what does not count may be visited or not
    assert bool((seen[counts] == 1).all())
    assert int(seen.max()) == 1


def test_lanes_belong_to_the_inference_mode_of_their_caller(lanes: int) -> None:
    x, y = torch.randn(30, 4), torch.arange(30) % 4
    right = float(losses.supcon_loss(x, y, tile_size=5))
    with torch.inference_mode():
        assert float(losses.supcon_loss(x, y, tile_size=5)) == right


def test_an_error_in_a_lane_is_raised_and_threads_are_given_back(lanes: int) -> None:
    def broken() -> None:
        raise RuntimeError("in a lane")

    with pytest.raises(RuntimeError, match="in a lane"), _lanes.Lanes(lanes) as some:
        some.run([broken, lambda: None])
    assert torch.get_num_threads() == lanes
