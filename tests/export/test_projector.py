"""The files of TensorBoard's projector: read back as its plugin reads them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from command_line import Cli
from likewise.export import export_projector
from likewise.export.projector import LARGEST_SPRITE
from likewise.index import feed_of_dataset
from likewise.models import EmbeddingModel, InputSpec, MLPOptions


def test_a_folder_of_the_test_split(run: lw.Run, tmp_path: Path, run_cli: Cli) -> None:
    ended = run_cli("export", run.folder, "--format", "projector", "-o", tmp_path / "p")
    assert ended.code == 0, ended.err
    assert f"tensorboard --logdir {tmp_path / 'p'}" in ended.out
    test = run.data().test
    config = (tmp_path / "p" / "projector_config.pbtxt").read_text()
    named = dict(re.findall(r'(\w+_path): "(.*)"', config))
    assert named == {"tensor_path": "tensors.tsv", "metadata_path": "metadata.tsv", "image_path": "sprite.png"}
    shape = [int(number) for number in re.findall(r"tensor_shape: (\d+)", config)]
    lines = (tmp_path / "p" / "tensors.tsv").read_text().splitlines()
    tensors = np.array([[float(cell) for cell in line.split("\t")] for line in lines], np.float32)
    assert list(tensors.shape) == shape == [len(test), run.model.embedding_dim]
    np.testing.assert_allclose(tensors, run.model.embed(test.images), rtol=1e-5, atol=1e-6)
    header, *rows = [line.split("\t") for line in (tmp_path / "p" / "metadata.tsv").read_text().splitlines()]
    assert header == ["id", "class", "split", "caption"]
    assert [row[0] for row in rows] == list(test.ids)
    assert [row[1] for row in rows] == [test.class_names[label] for label in test.labels.tolist()]
    side = [int(number) for number in re.findall(r"single_image_dim: (\d+)", config)]
    assert side == [8, 8]
    sprite = np.asarray(Image.open(tmp_path / "p" / "sprite.png"))
    columns = int(np.ceil(np.sqrt(len(test))))
    assert sprite.shape == (8 * columns, 8 * columns)
    for number in (0, columns, len(test) - 1):
        row, column = divmod(number, columns)
        cut = sprite[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.array_equal(cut, test.images[number, 0].numpy())
    assert (sprite[-8:, -8:] == 255).all() or columns**2 == len(test)


def test_more_images_than_it_shows_are_drawn_from(run: lw.Run, tmp_path: Path) -> None:
    data = lw.load_dataset("digits")
    made = export_projector(run.model, feed_of_dataset(data), tmp_path / "p", most=50, batch_size=32, quiet=True)
    rows = (tmp_path / "p" / "metadata.tsv").read_text().splitlines()[1:]
    ids = [row.split("\t")[0] for row in rows]
    assert len(ids) == len(set(ids)) == 50 == made.details["images"]
    assert set(ids) < set(data.ids)
    assert ids != list(data.ids[:50])
    assert "50 images of 1,797, drawn at random" in made.lines[0]
    known = dict(zip(data.ids, run.model.embed(data.images), strict=True))
    first = [float(cell) for cell in (tmp_path / "p" / "tensors.tsv").read_text().splitlines()[0].split("\t")]
    np.testing.assert_allclose(first, known[ids[0]], rtol=1e-5, atol=1e-6)


def test_pictures_are_as_small_as_the_sprite_asks_and_stay_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("likewise.export.projector.LARGEST_SPRITE", 30)
    assert LARGEST_SPRITE == 8192  # what vz_projector/data-provider.ts refuses to go beyond
    spec = InputSpec(channels=3, height=16, width=32, mean=(0.5,) * 3, std=(0.2,) * 3)
    model = EmbeddingModel(MLPOptions(widths=(2,)), spec, embedding_dim=2)
    images = torch.zeros(4, 3, 16, 32, dtype=torch.uint8)
    images[1] = 90
    ids = tuple("abcd")
    data = lw.ImageDataset("toy", "test", images, None, (), (("a\tb\nc",),) * 4, ids, "0" * 64, "made")
    export_projector(model, feed_of_dataset(data), tmp_path / "p", quiet=True)
    sprite = np.asarray(Image.open(tmp_path / "p" / "sprite.png"))
    assert sprite.shape == (30, 30, 3)
    assert (sprite[4:11, 15:] == 90).all()
    assert (sprite[:3] == 255).all()
    assert (tmp_path / "p" / "metadata.tsv").read_text().splitlines()[1] == "a\t\ttest\ta b c"
