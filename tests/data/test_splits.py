from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data import Splits, load_dataset, load_splits, stratified_order
from likewise.errors import DatasetError

from .files import encoded, first_rows, pixels, write_class_folders, write_idx


def test_any_prefix_is_stratified() -> None:
    labels = torch.tensor([0] * 500 + [1] * 300 + [2] * 200)
    order = stratified_order(labels, 1000, torch.Generator().manual_seed(0))
    assert torch.equal(order.sort().values, torch.arange(1000))
    for size in (10, 37, 100, 641, 999):
        counts = torch.bincount(labels[order[:size]], minlength=3)
        expected = torch.tensor([0.5, 0.3, 0.2]) * size
        assert float((counts - expected).abs().max()) <= 1


def ids(splits: Splits) -> tuple[set[str], set[str], set[str]]:
    return set(splits.train.ids), set(splits.validation.ids), set(splits.test.ids)


def test_splits_are_disjoint_and_complete() -> None:
    train, validation, test = ids(load_splits("digits", validation=100))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert train | validation | test == set(load_dataset("digits").ids)


def test_the_same_seed_gives_the_same_splits_and_another_gives_others() -> None:
    first, again, other = (load_splits("digits", seed=seed, train_size=100) for seed in (1, 1, 2))
    assert first.train.ids == again.train.ids
    assert first.train.fingerprint == again.train.fingerprint
    assert first.validation.ids == again.validation.ids
    assert set(first.validation.ids) != set(other.validation.ids)
    assert set(first.train.ids) != set(other.train.ids)


def test_a_drawn_test_split_does_not_depend_on_the_seed() -> None:
    first, other = load_splits("digits", seed=1), load_splits("digits", seed=2, validation=0.3, train_size=50)
    assert first.test.ids == other.test.ids
    assert len(first.test) == 359
    assert any("20 %" in note for note in first.notes)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_training_sizes_are_nested_and_stratified(seed: int) -> None:
    previous: set[str] = set()
    validation = None
    for size in (10, 100, 0.3, 1000, 1.0):
        splits = load_splits("digits", seed=seed, train_size=size)
        assert previous <= set(splits.train.ids)
        assert validation in (None, splits.validation.ids)
        previous, validation = set(splits.train.ids), splits.validation.ids
        assert splits.train.labels is not None
        shares = torch.bincount(splits.train.labels, minlength=10) / len(splits.train)
        assert float((shares - 0.1).abs().max()) < 0.02 + 1 / len(splits.train)
    assert len(previous) == 1797 - 359 - 144


def test_the_sources_own_test_split_is_taken_whole(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", 100)
    write_idx(tmp_path, "t10k", 20, seed=1)
    splits = load_splits(tmp_path, validation=0.25)
    assert splits.test.ids == load_dataset(tmp_path, "test").ids
    assert torch.equal(splits.test.images[:], load_dataset(tmp_path, "test").images[:])
    assert len(splits.train) == 75
    assert splits.notes == ()


def test_the_order_of_the_source_is_kept() -> None:
    splits = load_splits("digits", train_size=100)
    assert list(splits.train.ids) == sorted(splits.train.ids)
    assert list(splits.validation.ids) == sorted(splits.validation.ids)


def test_an_own_validation_split_is_used_beside_a_test_split(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        write_class_folders(tmp_path / split, count)
    splits = load_splits(tmp_path)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [12, 4, 6]
    assert "own split of 4 images" in splits.notes[0]


def test_an_own_validation_split_without_a_test_split_is_the_test(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("val", 3)):
        write_class_folders(tmp_path / split, count)
    splits = load_splits(tmp_path, validation=4)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [16, 4, 6]
    assert splits.test.split == "test"
    assert all(name.startswith("val/") for name in splits.test.ids)
    assert "no test split" in splits.notes[0]


def test_all_splits_get_the_shape_of_train(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train", 4, side=20)
    write_class_folders(tmp_path / "test", 2, side=31)
    (tmp_path / "test" / "cat" / "grey.png").write_bytes(encoded(pixels(1, 1, 31)[0]))
    splits = load_splits(tmp_path, validation=2)
    assert splits.train.image_shape == splits.test.image_shape == splits.validation.image_shape == (3, 20, 20)


def test_a_test_split_without_labels_becomes_unlabeled(tmp_path: Path) -> None:
    for name, count in (("train", 40), ("test", 10)):
        rows = pixels(count, 1, 6).reshape(count, 36)
        labels = (np.arange(count) % 2)[:, None]
        table = np.hstack([labels, rows]) if name == "train" else rows
        header = ",".join([*(["label"] if name == "train" else []), *[f"pixel{i}" for i in range(36)]])
        np.savetxt(tmp_path / f"{name}.csv", table, "%d", ",", header=header, comments="")
    splits = load_splits(tmp_path, validation=4)
    assert splits.unlabeled is not None
    assert len(splits.unlabeled) == 10
    assert len(splits.test) == 8
    assert splits.test.labels is not None
    assert any("no labels" in note for note in splits.notes)


def test_a_small_subset_says_which_classes_it_misses(tmp_path: Path) -> None:
    write_idx(tmp_path, count=90, classes=9)
    assert any("no image of" in note for note in load_splits(tmp_path, train_size=3).notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": 0}, "validation asks for 0"),
        ({"validation": 5000}, "validation asks for 5000"),
        ({"validation": 1.5}, "share in"),
        ({"validation": 1.0}, "validation asks for 1.0"),
        ({"train_size": 0}, "train_size asks for 0"),
        ({"train_size": 100_000}, "Expected 1 to 1,294"),
        ({"train_size": -0.5}, "share in"),
        ({"train_size": True}, "train_size"),
    ],
)
def test_impossible_sizes(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load_splits("digits", **arguments)  # type: ignore[arg-type]


def test_omniglots_unseen_classes_do_not_share_labels(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Both of its files number their classes from 0: loaded together, label 3 must mean one thing."""
    for split in ("background", "evaluation"):
        first_rows(real_data("omniglot") / f"{split}.parquet", 100, tmp_path / f"{split}.parquet")
    train, test = (load_dataset(tmp_path, split) for split in ("background", "evaluation"))
    assert train.class_names == test.class_names
    assert train.num_classes == 964 + 659
    assert train.labels is not None
    assert test.labels is not None
    assert train.labels.unique().tolist() == [0, 1, 2, 3, 4]
    assert test.labels.unique().tolist() == [964, 965, 966, 967, 968]
    assert test.class_names[964] == "Angelic/character01"


def test_what_train_size_leaves_over_can_be_learned_from_without_labels() -> None:
    plain = load_splits("digits", validation=100, train_size=300)
    assert plain.unlabeled is None
    splits = load_splits("digits", validation=100, train_size=300, unlabeled=True)
    assert splits.train.ids == plain.train.ids
    left = splits.to_learn_from("unlabeled")
    assert left.labels is None
    assert left.class_names == ()
    everyone = set(load_dataset("digits").ids)
    parts = [set(part.ids) for part in (splits.train, splits.validation, splits.test, left)]
    assert set.union(*parts) == everyone
    assert sum(map(len, parts)) == len(everyone)
    assert any("without their labels" in note for note in splits.notes)
    both = splits.to_learn_from("both")
    assert set(both.ids) == parts[0] | parts[3]
    assert both.labels is None
    assert both.fingerprint not in (left.fingerprint, splits.train.fingerprint)
    assert splits.to_learn_from("train") is splits.train


def test_unlabeled_images_can_be_fewer_and_are_drawn_by_seed() -> None:
    first, again, other = (
        load_splits("digits", validation=100, train_size=300, seed=seed, unlabeled=True, unlabeled_size=50)
        for seed in (1, 1, 2)
    )
    assert len(first.to_learn_from("unlabeled")) == 50
    assert first.to_learn_from("unlabeled").ids == again.to_learn_from("unlabeled").ids
    assert first.to_learn_from("unlabeled").ids != other.to_learn_from("unlabeled").ids
    with pytest.raises(DatasetError, match="unlabeled_size asks for 5000"):
        load_splits("digits", validation=100, train_size=300, unlabeled=True, unlabeled_size=5000)


def test_without_unlabeled_images_learning_from_them_is_named() -> None:
    splits = load_splits("digits", validation=100, unlabeled=True)
    assert splits.to_learn_from("train") is splits.train
    for which in ("unlabeled", "both"):
        with pytest.raises(DatasetError, match=r"no images without labels.*train_size"):
            splits.to_learn_from(which)


def test_so_many_of_each_class_are_nested_and_the_rest_of_a_small_class_is_told(tmp_path: Path) -> None:
    few, more = (load_splits("digits", seed=3, train_size=size) for size in ("5/class", "20/class"))
    assert torch.bincount(few.train.labels).tolist() == [5] * 10
    assert torch.bincount(more.train.labels).tolist() == [20] * 10
    assert set(few.train.ids) < set(more.train.ids) < set(load_splits("digits", seed=3).train.ids)
    most = load_splits("digits", seed=3, train_size="130/class")
    sizes = torch.bincount(load_splits("digits", seed=3).train.labels)
    assert torch.bincount(most.train.labels).tolist() == sizes.clamp(max=130).tolist()
    short = int((sizes < 130).sum())
    assert any(f"{short} of the classes have fewer than 130 training images" in note for note in most.notes)


@pytest.mark.parametrize("size", ["0/class", "10 / class", "ten"])
def test_a_size_that_cannot_be_read_is_refused(size: str) -> None:
    with pytest.raises(DatasetError, match=f"train_size is '{size}'"):
        load_splits("digits", train_size=size)
