from __future__ import annotations

import pytest
import torch

from likewise.data import (
    ClassBalancedSampler,
    DistinctSampler,
    HierarchicalSampler,
    PairSampler,
    PKSampler,
    shuffled_batches,
)
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
    batches = PKSampler(labels, classes_per_batch, images_per_class).epoch(generator())
    assert batches.shape == (1000 // (classes_per_batch * images_per_class), classes_per_batch * images_per_class)
    for batch in batches:
        _, counts = labels[batch].unique(return_counts=True)
        assert counts.tolist() == [images_per_class] * classes_per_batch
        assert len(batch.unique()) == len(batch)


def test_a_balanced_epoch_covers_nearly_all_images_of_equal_classes() -> None:
    labels = torch.arange(1000) % 10
    batches = PKSampler(labels, 5, 4).epoch(generator())
    assert len(batches.unique()) == 1000


def test_a_small_class_repeats_its_images_only_when_it_must() -> None:
    labels = torch.tensor([0] * 3 + [1] * 97)
    batches = PKSampler(labels, 2, 4).epoch(generator())
    for batch in batches:
        images, counts = batch[labels[batch] == 0].unique(return_counts=True)
        assert len(images) == 3
        assert int(counts.max()) == 2
        assert len(batch[labels[batch] == 1].unique()) == 4


def test_balanced_epochs_differ_and_are_reproducible() -> None:
    sampler = PKSampler(torch.arange(200) % 4, 2, 5)
    same = generator(9)
    first, second = sampler.epoch(same), sampler.epoch(same)
    assert not torch.equal(first, second)
    assert torch.equal(first, sampler.epoch(generator(9)))


@pytest.mark.parametrize(("classes_per_batch", "images_per_class"), [(0, 1), (5, 1), (2, 0)])
def test_balanced_batches_that_cannot_be(classes_per_batch: int, images_per_class: int) -> None:
    with pytest.raises(DatasetError, match="Expected"):
        PKSampler(torch.arange(40) % 4, classes_per_batch, images_per_class)


def test_class_balanced_batches_give_every_class_its_share() -> None:
    labels = uneven_labels()
    batches = ClassBalancedSampler(labels, 30).epoch(generator())
    assert batches.shape == (453 // 30, 30)
    counts = torch.stack([(labels[batches] == value).sum() for value in labels.unique()])
    assert int(counts.sum()) == 450
    assert int(counts.max() - counts.min()) <= 1
    large = batches[labels[batches] == 5]
    assert len(large.unique()) == len(large)


def test_class_balanced_batches_mix_classes_at_random() -> None:
    labels = torch.arange(4000) % 4
    batches = ClassBalancedSampler(labels, 8).epoch(generator())
    in_batch = (labels[batches] == 0).sum(1).float()
    assert in_batch.mean() == 2
    assert in_batch.std() > 1


def test_a_hierarchical_batch_holds_classes_of_the_same_super_classes() -> None:
    labels = torch.arange(1200) % 12
    above = labels // 4
    batches = HierarchicalSampler(labels, above, 2, 3, 5).epoch(generator(2))
    assert batches.shape == (1200 // 30, 30)
    for batch in batches:
        classes, counts = labels[batch].unique(return_counts=True)
        assert counts.tolist() == [5] * 6
        _, counts = (classes // 4).unique(return_counts=True)
        assert counts.tolist() == [3, 3]
        assert len(batch.unique()) == 30


def test_a_super_class_with_too_few_classes_gives_more_images_of_them() -> None:
    labels = torch.arange(60) % 3
    above = torch.tensor([0, 0, 1])[labels]
    for batch in HierarchicalSampler(labels, above, 2, 2, 3).epoch(generator()):
        counts = torch.bincount(labels[batch])
        assert counts.tolist() == [3, 3, 6]
        assert len(batch.unique()) == 12


@pytest.mark.parametrize(
    ("above", "sizes", "message"),
    [
        (torch.arange(40) % 3, (1, 1, 1), "one super-class per image, the same for all images of a class"),
        (torch.arange(39) % 4, (1, 1, 1), "one super-class per image"),
        (torch.arange(40) % 4 // 2, (3, 1, 1), "Expected 1 to 2"),
        (torch.arange(40) % 4 // 2, (1, 0, 1), "Expected 1 or more of both"),
        (torch.arange(40) % 4 // 2, (1, 1, 0), "Expected 1 or more of both"),
    ],
)
def test_hierarchical_batches_that_cannot_be(above: torch.Tensor, sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        HierarchicalSampler(torch.arange(40) % 4, above, *sizes)


@pytest.mark.parametrize("seed", range(3))
def test_distinct_batches_hold_no_id_twice(seed: int) -> None:
    sizes = torch.randint(1, 9, (200,), generator=generator(seed))
    ids = torch.repeat_interleave(torch.arange(200), sizes)[torch.randperm(int(sizes.sum()), generator=generator(7))]
    batches = DistinctSampler(ids, 16).epoch(generator(seed))
    assert batches.shape == (len(ids) // 16, 16)
    assert len(batches.unique()) == batches.numel()
    for batch in batches:
        assert len(ids[batch].unique()) == 16


def test_distinct_batches_leave_out_other_images_each_epoch() -> None:
    ids = torch.tensor([0] * 100 + list(range(1, 21)))
    sampler = DistinctSampler(ids, 10)
    first, second = sampler.epoch(generator(1)), sampler.epoch(generator(2))
    assert first.shape == (12, 2)  # 12 of the 100, and the 20 others: no more than two different ids for each batch
    assert not torch.equal(first[ids[first] == 0].sort().values, second[ids[second] == 0].sort().values)


@pytest.mark.parametrize("batch_size", [0, 5])
def test_distinct_batches_that_cannot_be(batch_size: int) -> None:
    with pytest.raises(DatasetError, match="Expected 1 to 4"):
        DistinctSampler(torch.arange(40) % 4, batch_size)


@pytest.mark.parametrize(
    "sampler",
    [
        PKSampler(torch.arange(240) % 8, 2, 3),
        ClassBalancedSampler(torch.arange(240) % 8, 12),
        HierarchicalSampler(torch.arange(240) % 8, torch.arange(240) % 8 // 4, 1, 2, 3),
        DistinctSampler(torch.arange(240) // 3, 12),
    ],
)
def test_an_epoch_comes_from_the_generator_alone(sampler: PKSampler) -> None:
    torch.manual_seed(1)
    first = sampler.epoch(generator(5))
    torch.manual_seed(2)
    assert torch.equal(first, sampler.epoch(generator(5)))
    assert not torch.equal(first, sampler.epoch(generator(6)))
    assert len(sampler) == len(first)


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
