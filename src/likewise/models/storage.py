"""Models on disk: ``model.safetensors`` for the weights and ``config.json`` for everything else. No pickle.

A model that embeds texts has its text encoder, vocabulary or tokenizer included, in ``text_encoder.json``. All are
written beside and then renamed, so that a model folder is either whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from likewise.errors import ModelError
from likewise.models._options import find_encoder
from likewise.models._text_options import TextEncoderOptions, find_text_encoder
from likewise.models.embedding_model import EmbeddingModel
from likewise.models.input_spec import InputSpec

__all__ = ["load_model", "model_config", "save_model"]

FORMAT = 1
TEXT_ENCODER = "text_encoder.json"


def model_config(model: EmbeddingModel) -> dict[str, Any]:
    """Everything but the weights, as it stands in ``config.json``."""
    return {
        "format": FORMAT,
        "encoder": model.encoder_options.stored().model_dump(),
        "input": model.input.model_dump(),
        "embedding_dim": model.embedding_dim,
        "normalize": model.normalize,
        "batch_norm": model.batch_norm,
        "hidden": model.hidden,
        "dropout": model.dropout,
        "class_names": list(model.class_names),
        "class_scores": model.class_scores,
        "head": model.head,
    }


def save_model(model: EmbeddingModel, folder: str | os.PathLike[str]) -> Path:
    """Write ``model`` to ``folder``; a model that is there already is replaced in one step.

    Raises:
        ModelError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
            save_file(weights, beside / "model.safetensors")
            (beside / "config.json").write_text(json.dumps(model_config(model), indent=2) + "\n", encoding="utf-8")
            if model.text is not None:
                (beside / TEXT_ENCODER).write_text(json.dumps(model.text.options.model_dump()), encoding="utf-8")
            beside.chmod(0o755)
            _replace_folder(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The model could not be written to {folder} ({error}).",
            expected="Expected a folder that can be written, with room for the weights.",
            advice="Free some space or choose another folder.",
        ) from error
    return folder


def _replace_folder(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    old = folder.with_name(f".{folder.name}-old-{os.getpid()}")
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _text_encoder(file: Path) -> TextEncoderOptions | None:
    if not file.exists():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    return find_text_encoder(values["name"]).model_validate(values)


def load_model(folder: str | os.PathLike[str]) -> EmbeddingModel:
    """Read a model from a run folder or a model folder, in evaluation mode, on the CPU.

    Args:
        folder: a run folder (its ``model/`` is taken) or a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        ModelError: there is no model, or it does not fit its configuration.
    """
    folder = Path(folder)
    root = folder / "model" if (folder / "model" / "config.json").exists() else folder
    if not (root / "config.json").exists():
        raise ModelError(
            f"{folder} holds no model.",
            expected="Expected config.json and model.safetensors, or a run folder with model/.",
            advice="Give the folder of a finished run (likewise train … --out FOLDER).",
        )
    try:
        config = json.loads((root / "config.json").read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise ModelError(
                f"{root} has model format {config['format']}.",
                expected=f"This version reads format {FORMAT}.",
                advice="Update Likewise to read it.",
            )
        encoder = find_encoder(config["encoder"]["name"]).model_validate(config["encoder"])
        model = EmbeddingModel(
            encoder,
            InputSpec.model_validate(config["input"]),
            embedding_dim=config["embedding_dim"],
            normalize=config["normalize"],
            batch_norm=config["batch_norm"],
            hidden=config.get("hidden"),
            dropout=config.get("dropout", 0.0),
            class_names=config["class_names"],
            class_scores=config["class_scores"],
            head=config.get("head", "linear"),
            text_encoder=_text_encoder(root / TEXT_ENCODER),
        )
        model.load_state_dict(load_file(root / "model.safetensors"))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The model in {root} cannot be read ({type(error).__name__}: {error}).",
            expected="Expected the two files that save_model wrote together.",
            advice="Copy the folder again, or train the model again.",
        ) from error
    return model.eval()
