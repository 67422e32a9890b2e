"""Wrong labels and unseen classes are planted exactly as asked, reproducibly, and never in the test."""

from __future__ import annotations

import pytest
import torch

from likewise.data import Splits, load_splits, with_label_noise, with_unseen_classes
from likewise.errors import DatasetError


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_splits("digits", validation=100)


def test_as_many_labels_are_wrong_as_asked_and_a_smaller_share_lies_in_a_larger(splits: Splits) -> None:
    assert splits.train.labels is not None
    wrong = {}
    for share in (0.2, 0.4):
        noisy = with_label_noise(splits, share, seed=3)
        assert noisy.train.labels is not None
        wrong[share] = noisy.train.labels != splits.train.labels
        assert int(wrong[share].sum()) == round(share * len(splits.train))
        assert noisy.test is splits.test
        assert noisy.validation is splits.validation
        assert noisy.train.ids == splits.train.ids
        assert noisy.train.fingerprint != splits.train.fingerprint
        assert f"{share:.0%}" in noisy.notes[-1]
    assert bool((wrong[0.4] | ~wrong[0.2]).all())
    again, other = (with_label_noise(splits, 0.4, seed=seed).train.labels for seed in (3, 4))
    assert again is not None
    assert torch.equal(again != splits.train.labels, wrong[0.4])
    assert not torch.equal(again, other)


def test_a_wrong_label_may_be_any_other_class(splits: Splits) -> None:
    noisy = with_label_noise(splits, 0.9, seed=0).train
    assert noisy.labels is not None
    assert splits.train.labels is not None
    steps = (noisy.labels - splits.train.labels) % 10
    assert set(steps.tolist()) == set(range(10))
    assert noisy.labels.min() == 0
    assert noisy.labels.max() == 9


def test_unseen_classes_are_in_the_test_alone(splits: Splits) -> None:
    held = with_unseen_classes(splits, 0.3)
    assert held.train.class_names == held.validation.class_names == held.test.class_names[:7]
    assert sorted(held.test.class_names) == sorted(splits.test.class_names)
    for part, labels in ((held.train, range(7)), (held.validation, range(7)), (held.test, range(7, 10))):
        assert part.labels is not None
        assert set(part.labels.tolist()) == set(labels)
    known = dict(zip(splits.test.ids, splits.test.labels.tolist(), strict=True))  # type: ignore[union-attr]
    for name, label in zip(held.test.ids, held.test.labels.tolist(), strict=True):  # type: ignore[union-attr]
        assert held.test.class_names[label] == splits.test.class_names[known[name]]
    other_seed = with_unseen_classes(load_splits("digits", validation=100, seed=5), 0.3)
    assert other_seed.test.ids == held.test.ids
    assert "3 of 10 classes are unseen" in held.notes[-1]


@pytest.mark.parametrize("share", [0.1, 0.9, 1.5])
def test_too_few_classes_on_one_side_are_refused(splits: Splits, share: float) -> None:
    with pytest.raises(DatasetError, match="at least two classes on each side"):
        with_unseen_classes(splits, share)


def test_noise_needs_labels_and_a_share(splits: Splits) -> None:
    with pytest.raises(DatasetError, match="share between 0 and 1"):
        with_label_noise(splits, 1.0, seed=0)
