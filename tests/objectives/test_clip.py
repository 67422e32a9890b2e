"""CLIP: the loss of its equations, duplicates that are no negatives, frozen encoders that cost nothing twice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from likewise.data import ImageDataset
from likewise.errors import TrainingError
from likewise.losses import clip_loss
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions
from likewise.objectives import CLIP, Batch, CLIPOptions

CAPTIONS = (("a red ring",), ("two stars", "stars, two"), ("a blue cross",), ("a red ring", "one red ring"))


def dataset(captions: tuple[tuple[str, ...], ...] = CAPTIONS) -> ImageDataset:
    images = torch.randint(0, 256, (len(captions), 1, 12, 12), generator=torch.Generator().manual_seed(3)).byte()
    ids = tuple(str(position) for position in range(len(captions)))
    return ImageDataset("toy", "train", images, None, (), captions, ids, "0" * 64, "by hand")


def build(data: ImageDataset, *, freeze_text: bool = False, **options: object) -> CLIP:
    torch.manual_seed(0)
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    words = [caption for given in data.captions or () for caption in given]
    text = SmallTransformerOptions(width=16, heads=2, layers=1).fitted(words)
    model = EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=6, text_encoder=text)
    if freeze_text and model.text is not None:
        model.text.freeze_encoder()
    objective = CLIPOptions(**options).build(model)  # type: ignore[arg-type]
    objective.attend(data)
    return objective


def one_batch(objective: CLIP, data: ImageDataset) -> tuple[torch.Tensor, Batch]:
    [batch] = objective.epoch(torch.full((len(data),), -1), len(data), torch.Generator().manual_seed(0))
    return data.take(batch.indices), batch


def test_the_loss_is_the_sheets_equations() -> None:
    data = dataset((("one",), ("two",), ("three",)))
    objective = build(data).eval()
    images, batch = one_batch(objective, data)
    assert batch.positives is None
    captions = [(data.captions or ())[position][0] for position in batch.indices.tolist()]
    image = F.normalize(objective.model(images))
    text = torch.from_numpy(objective.model.embed_text(captions))
    text = F.normalize(text)
    logits = text @ image.T / 0.07
    expected = 0.5 * (F.cross_entropy(logits, torch.arange(3)) + F.cross_entropy(logits.T, torch.arange(3)))
    torch.testing.assert_close(objective(images, batch), expected, rtol=1e-4, atol=1e-5)


def test_a_duplicate_pair_gets_no_repelling_gradient() -> None:
    """With orthonormal embeddings the gradient of image 0 along text 3 is that of their similarity alone."""
    data = dataset()
    pull = {}
    for duplicates in ("positives", "ignored"):
        _, batch = one_batch(build(data, duplicates=duplicates), data)
        first, other = ((batch.indices == position).nonzero().item() for position in (0, 3))
        images = torch.eye(4, requires_grad=True)
        clip_loss(images, torch.eye(4), temperature=0.5, positives=batch.positives).backward()
        assert images.grad is not None
        pull[duplicates] = -float(images.grad[first, other])
    assert pull["ignored"] < -0.01  # pushed away from its own words
    assert pull["positives"] > 0.01


def test_the_sigmoid_loss_counts_duplicates_as_the_objective_says() -> None:
    """Two images of one caption: with ids they are asked to agree, without to differ, and the loss says which."""
    data = dataset()
    found = {}
    for duplicates in ("positives", "ignored"):
        objective = build(data, duplicates=duplicates, loss="sigmoid", temperature=0.1).eval()
        images, batch = one_batch(objective, data)
        table = [caption for given in CAPTIONS for caption in given]
        text = objective.model.embed_text([table[position] for position in batch.captions.tolist()])
        cosines = F.normalize(objective.model(images)) @ F.normalize(torch.from_numpy(text)).T
        ids = torch.arange(4) if batch.positives is None else batch.positives
        signs = torch.where(ids[:, None] == ids, 1.0, -1.0)
        expected = -F.logsigmoid(signs * (cosines / 0.1 - 10)).sum() / 4
        found[duplicates] = float(objective(images, batch).detach())
        assert found[duplicates] == pytest.approx(float(expected.detach()), rel=1e-4)
    assert found["positives"] != pytest.approx(found["ignored"], rel=1e-2)


def test_ids_tell_where_captions_differ_and_change_nothing_where_they_are_the_same_words() -> None:
    """Rows of one same text sum up to the same with ids and without; those of two texts for one thing do not."""
    generator = torch.Generator().manual_seed(4)
    kinds = torch.tensor([0, 0, 1, 2, 2, 2])
    same, other = torch.randn(3, 4, generator=generator)[kinds], torch.randn(6, 4, generator=generator)
    start = torch.randn(6, 4, generator=generator)
    pull = {}
    for words, text in (("same", same), ("other", other)):
        for ids in (None, kinds):
            image = start.clone().requires_grad_()
            clip_loss(image, text, temperature=0.5, positives=ids).backward()
            assert image.grad is not None
            pull[words, ids is None] = image.grad
    torch.testing.assert_close(pull["same", True], pull["same", False], rtol=1e-4, atol=1e-6)
    assert (pull["other", True] - pull["other", False]).abs().max() > 0.01


def test_pairs_of_one_caption_have_one_id_unless_duplicates_are_ignored() -> None:
    data = dataset()
    _, batch = one_batch(build(data), data)
    assert batch.positives is not None
    ids = batch.positives[batch.indices.argsort()].tolist()
    assert ids[0] == ids[3]
    assert len(set(ids)) == 3
    assert one_batch(build(data, duplicates="ignored"), data)[1].positives is None
    apart = build(data, duplicates="apart")
    for batch in apart.epoch(torch.full((4,), -1), 2, torch.Generator().manual_seed(0)):
        assert set(batch.indices.tolist()) != {0, 3}


def test_soft_targets_are_the_sheets_source() -> None:
    data = dataset()
    objective = build(data, loss="soft_targets", temperature=1.0, learn_temperature=False).eval()
    images, batch = one_batch(objective, data)
    image = objective.model(images).detach()
    table = [caption for given in CAPTIONS for caption in given]
    assert batch.captions is not None
    text = torch.from_numpy(objective.model.embed_text([table[position] for position in batch.captions.tolist()]))
    total = 0.0
    target = torch.softmax((image @ image.T + text @ text.T) / 2, dim=1)
    for i in range(4):
        total -= float((target[i] * torch.log_softmax(text @ image.T, dim=1)[i]).sum()) / 8
        total -= float((target[:, i] * torch.log_softmax(text @ image.T, dim=0)[:, i]).sum()) / 8
    assert float(objective(images, batch).detach()) == pytest.approx(total, rel=1e-4)


def test_the_sigmoid_loss_starts_where_siglip_does() -> None:
    data = dataset((("one",), ("two",)))
    objective = build(data, loss="sigmoid", temperature=0.1)
    images, batch = one_batch(objective, data)
    objective(images, batch).backward()
    assert objective.bias.grad is not None
    assert objective.log_temperature.grad is not None


def test_a_frozen_text_encoder_is_not_trained_and_its_features_are_kept(private_home: Path) -> None:
    data = dataset()
    plain = build(data)
    frozen = build(data, freeze_text=True)
    plain.eval()
    frozen.eval()
    images, batch = one_batch(frozen, data)
    before = float(frozen(images, batch).detach())
    torch.testing.assert_close(frozen(images, batch), plain(images, batch), rtol=1e-4, atol=1e-5)
    frozen.train()
    frozen(images, batch).backward()
    tower = frozen.model.text
    assert tower is not None
    assert all(parameter.grad is None for parameter in tower.encoder.parameters())
    assert tower.embedding[0].weight.grad is not None
    assert len(list(private_home.rglob("features/*/*.safetensors"))) == 1

    again = build(data, freeze_text=True)
    again.eval()
    assert again.model.text is not None
    again.model.text.encoder.forward = None  # type: ignore[assignment, method-assign]
    assert float(again(images, batch).detach()) == before


def test_a_damaged_file_of_features_is_computed_again(private_home: Path) -> None:
    data = dataset()
    before = build(data, freeze_text=True).eval()
    [file] = private_home.rglob("features/*/*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    after = build(data, freeze_text=True).eval()
    images, batch = one_batch(after, data)
    assert float(after(images, batch).detach()) == float(before(images, batch).detach())


def test_the_temperature_is_learned_within_its_bounds() -> None:
    objective = build(dataset())
    with torch.no_grad():
        objective.log_temperature.fill_(-9.0)
    objective.after_step(0.5)
    assert math.exp(objective.log_temperature.item()) == pytest.approx(0.01)


def test_a_model_without_a_text_tower_is_refused() -> None:
    spec = InputSpec(channels=1, height=12, width=12, mean=(0.5,), std=(0.3,))
    with pytest.raises(TrainingError, match="text_encoder=small_transformer"):
        CLIPOptions().build(EmbeddingModel(SmallCNNOptions(), spec, embedding_dim=2))
