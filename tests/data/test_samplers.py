from __future__ import annotations

import pytest
import torch

from likewise.data import BalancedSampler, PairSampler, shuffled_batches
from likewise.errors import DatasetError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uneven_labels() -> torch.Tensor:
    """Classes of 1, 2, 50 and 400 images, mixed, with values that are not 0..K-1."""
    labels = torch.tensor([7] + [-3] * 2 + [100] * 50 + [5] * 400)
    return labels[torch.randperm(len(labels), generator=generator(3))]


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_what_they_say(seed: int) -> None:
    labels = uneven_labels()
    anchors = torch.arange(len(labels)).repeat(20)
    partners, different = PairSampler(labels).draw(anchors, generator(seed))
    assert partners.dtype == torch.int64
    assert different.dtype == torch.float32
    assert bool((partners != anchors).all())
    assert torch.equal((labels[partners] != labels[anchors]).float(), different)


def test_pairs_are_same_or_different_with_probability_one_half() -> None:
    labels = torch.arange(57_000) % 10
    _, different = PairSampler(labels).draw(torch.arange(57_000), generator())
    # 57,000 fair coins: standard deviation 0.0021; five of them.
    assert abs(float(different.mean()) - 0.5) < 0.0105


def test_partners_are_uniform_within_and_outside_the_class() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    draws = 60_000
    partners, _ = PairSampler(labels).draw(torch.zeros(draws, dtype=torch.int64), generator(1))
    counts = torch.bincount(partners, minlength=7).float() / draws
    assert counts[0] == 0
    assert torch.allclose(counts[1:4], torch.full((3,), 1 / 6), atol=0.008)
    assert torch.allclose(counts[4:], torch.full((3,), 1 / 6), atol=0.008)


def test_a_class_of_one_is_always_in_a_different_pair() -> None:
    labels = torch.tensor([0, 1, 1, 1])
    _, different = PairSampler(labels).draw(torch.zeros(100, dtype=torch.int64), generator())
    assert bool((different == 1).all())


def test_one_class_gives_only_same_pairs() -> None:
    _, different = PairSampler(torch.zeros(5, dtype=torch.int64)).draw(torch.arange(5).repeat(10), generator())
    assert float(different.sum()) == 0


def test_pairs_come_from_the_generator_alone() -> None:
    sampler, anchors = PairSampler(uneven_labels()), torch.arange(400)
    torch.manual_seed(1)
    first = sampler.draw(anchors, generator(5))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = sampler.draw(anchors, generator(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first[0], sampler.draw(anchors, generator(6))[0])


@pytest.mark.parametrize("labels", [torch.tensor([1]), torch.empty(0, dtype=torch.int64), torch.rand(4)])
def test_pairs_need_two_images_and_integer_labels(labels: torch.Tensor) -> None:
    with pytest.raises(DatasetError):
        PairSampler(labels)


@pytest.mark.parametrize(("classes_per_batch", "images_per_class"), [(1, 5), (3, 4), (7, 2), (10, 8)])
def test_balanced_batches_hold_p_classes_and_k_images(classes_per_batch: int, images_per_class: int) -> None:
    labels = torch.arange(1000) % 10
    batches = BalancedSampler(labels, classes_per_batch, images_per_class).epoch(generator())
    assert batches.shape == (1000 // (classes_per_batch * images_per_class), classes_per_batch * images_per_class)
    for batch in batches:
        _, counts = labels[batch].unique(return_counts=True)
        assert counts.tolist() == [images_per_class] * classes_per_batch
        assert len(batch.unique()) == len(batch)


def test_a_balanced_epoch_covers_nearly_all_images_of_equal_classes() -> None:
    labels = torch.arange(1000) % 10
    batches = BalancedSampler(labels, 5, 4).epoch(generator())
    assert len(batches.unique()) == 1000


def test_a_small_class_repeats_its_images_only_when_it_must() -> None:
    labels = torch.tensor([0] * 3 + [1] * 97)
    batches = BalancedSampler(labels, 2, 4).epoch(generator())
    for batch in batches:
        images, counts = batch[labels[batch] == 0].unique(return_counts=True)
        assert len(images) == 3
        assert int(counts.max()) == 2
        assert len(batch[labels[batch] == 1].unique()) == 4


def test_balanced_epochs_differ_and_are_reproducible() -> None:
    sampler = BalancedSampler(torch.arange(200) % 4, 2, 5)
    same = generator(9)
    first, second = sampler.epoch(same), sampler.epoch(same)
    assert not torch.equal(first, second)
    assert torch.equal(first, sampler.epoch(generator(9)))


@pytest.mark.parametrize(("classes_per_batch", "images_per_class"), [(0, 1), (5, 1), (2, 0)])
def test_balanced_batches_that_cannot_be(classes_per_batch: int, images_per_class: int) -> None:
    with pytest.raises(DatasetError, match="Expected"):
        BalancedSampler(torch.arange(40) % 4, classes_per_batch, images_per_class)


@pytest.mark.parametrize(
    ("n", "size", "drop", "lengths"),
    [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (8, 4, True, [4, 4]), (3, 4, True, [3]), (0, 4, False, [])],
)
def test_shuffled_batches_hold_each_index_once(n: int, size: int, drop: bool, lengths: list[int]) -> None:
    batches = shuffled_batches(n, size, generator(), drop_last=drop)
    assert [len(batch) for batch in batches] == lengths
    joined = torch.cat(batches) if batches else torch.empty(0, dtype=torch.int64)
    assert len(joined.unique()) == sum(lengths)
    assert bool((joined < n).all())


def test_shuffled_batches_need_a_batch_size() -> None:
    with pytest.raises(DatasetError, match="batch_size"):
        shuffled_batches(10, 0, generator())
