"""``likewise export --format onnx``: what the folder holds, what the check finds, and what 8 bits cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import likewise as lw
from command_line import Cli
from likewise.errors import ModelError
from likewise.evaluation import nearest, retrieval
from likewise.export import export_onnx, onnx_folder, onnx_run
from likewise.export.int8 import Both, loss_of_precision
from likewise.models.identity import model_id

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.fixture(scope="module")
def folder(run: lw.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(run, tmp_path_factory.mktemp("out") / "digits", int8=True).path


def test_the_folder_needs_nothing_of_ours(run: lw.Run, folder: Path) -> None:
    """As the card says: onnxruntime and numpy."""
    assert [path.name for path in folder.parent.iterdir()] == ["digits"]
    names = {"image.onnx", "image.int8.onnx", "config.json", "quantization.json", "README.md"}
    assert {file.name for file in folder.iterdir()} == names
    session = onnxruntime.InferenceSession(folder / "image.onnx")
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape[1:]) == ("pixels", "tensor(uint8)", [1, 8, 8])
    images = run.data().test.images[:5]
    found = session.run(None, {"pixels": images.numpy()})[0]
    np.testing.assert_allclose(found, run.model.embed(images), atol=1e-4)
    assert 'onnxruntime.InferenceSession("image.onnx")' in (folder / "README.md").read_text()


def test_the_file_says_what_it_is(run: lw.Run, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    metadata = onnxruntime.InferenceSession(folder / "image.onnx").get_modelmeta().custom_metadata_map
    for said in (config, {key: json.loads(value) if key not in TEXTS else value for key, value in metadata.items()}):
        assert said["likewise_model"] == model_id(run.model)
        assert said["opset"] == 18
        assert said["distance"] == ("euclidean" if run.model.normalize == "never" else "cosine")
        assert said["class_names"] == [str(digit) for digit in range(10)]
        assert said["input"] == run.model.input.model_dump(mode="json")
    (parity,) = config["parity"]
    assert parity["batch_sizes"][:2] == [1, 7]
    assert parity["batch_sizes"][2] > 100
    assert 0 <= parity["largest_difference"] <= parity["bound"]
    import onnx

    (opset,) = [one.version for one in onnx.load(folder / "image.onnx").opset_import if one.domain in ("", "ai.onnx")]
    assert opset == 18


TEXTS = ("likewise_model", "recipe", "distance")


def test_what_eight_bits_cost_is_measured_on_the_test_split(run: lw.Run, folder: Path) -> None:
    measured = json.loads((folder / "quantization.json").read_text())
    test = run.data().test
    assert test.labels is not None
    vectors = []
    for name in ("image.onnx", "image.int8.onnx"):
        session = onnxruntime.InferenceSession(folder / name)
        vectors.append(session.run(None, {"pixels": test.images.numpy()})[0])
    distance = measured["distance"]
    for kind, found in zip(("float", "int8"), vectors, strict=True):
        result = retrieval(found, test.labels.numpy(), ks=(1,), distance=distance)
        assert measured["retrieval"]["recall_at_1"][kind] == pytest.approx(result.recall[1], abs=0.01)
        assert measured["retrieval"]["map_at_r"][kind] == pytest.approx(result.map_at_r, abs=0.01)
    assert measured["retrieval"]["recall_at_1"]["float"] == pytest.approx(run.metrics["recall_at_1"], abs=0.01)
    near = [nearest(part, part, 1, distance=distance, exclude_self=True)[1] for part in vectors]
    assert measured["neighbours"]["same_nearest_neighbour"] == pytest.approx((near[0] == near[1]).mean(), abs=0.02)
    assert 0.3 < measured["neighbours"]["same_nearest_neighbour"] < 1  # 8 bits are not 32, and not noise
    low, high = measured["retrieval"]["recall_at_1"]["difference_interval_95"]
    assert low <= high
    for kind, name in (("float", "image.onnx"), ("int8", "image.int8.onnx")):
        assert measured["image"][kind]["bytes"] == (folder / name).stat().st_size
        assert measured["image"][kind]["per_second"] > 0


def test_images_and_texts(captioned: lw.Run, tmp_path: Path, run_cli: Cli) -> None:
    ended = run_cli("export", captioned.folder, "--format", "onnx", "--int8", "-o", tmp_path / "shapes", "--json")
    assert ended.code == 0, ended.err
    made = ended.json()
    assert {"text.onnx", "text.int8.onnx", "tokenizer.json", "image.onnx"} < set(made["files"])
    assert [one["graph"] for one in made["parity"]] == ["image", "text"]
    lost = made["quantization"]["retrieval"]["text_to_image_recall_at_1"]
    assert lost["float"] == pytest.approx(captioned.metrics["text_to_image_recall_at_1"], abs=0.005)
    assert made["max_tokens"] == 48


def test_nothing_is_written_where_the_check_fails(
    run: lw.Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_folder, "write_graph", lambda _, path, **__: shutil.copy(folder / "image.onnx", path))
    monkeypatch.setattr(onnx_run, "BOUND", -1.0)
    with pytest.raises(ModelError, match="Nothing was written"):
        export_onnx(run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("images", [1, 3])
def test_what_a_test_split_cannot_measure_of_eight_bits_is_absent(images: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(images, 4)).astype(np.float32)
    both = Both(vectors, vectors, {}, [])
    lost, agreement = loss_of_precision(both, np.arange(images), None, None, distance="cosine")
    assert lost == []
    assert agreement == ({} if images == 1 else {"same_nearest_neighbour": 1.0, "shared_of_2_nearest": 1.0})
