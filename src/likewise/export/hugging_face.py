"""A run as a Hugging Face folder: the model, what it was trained by, and a model card written from what was measured.

The folder can be uploaded as it is (``push``), and ``load_model`` reads it. Where stock networks compute what the model
does it holds the model a second time, as modules that ``sentence-transformers`` loads without Likewise.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from likewise.data.captions import Captions
from likewise.errors import DatasetError, ModelError, RunError
from likewise.export.carried import write_carried
from likewise.export.model_card import model_card
from likewise.export.new_folder import Exported, new_folder
from likewise.export.stock_modules import StockParity, check_stock, write_stock_modules
from likewise.models import load_model, save_model
from likewise.models.identity import model_id
from likewise.training import Run

__all__ = ["export_hugging_face"]

_COMPARED = 32


def export_hugging_face(run: Run, folder: str | os.PathLike[str], *, stock_required: bool = False) -> Exported:
    """Write ``model.safetensors``, ``config.json``, ``README.md`` and the run's recipe and numbers into a new folder.

    It can be published: of the paths that the run names only the last parts are carried along.

    Where the model can be expressed by them, ``modules.json`` and its sub-folders for ``sentence-transformers`` are
    written too, loaded again and compared on test images; the card says so, or why not.

    Args:
        run: finished.
        folder: new.
        stock_required: raise an error where ``sentence-transformers`` cannot load the model.

    Raises:
        RunError: the folder is there already or cannot be written.
        ModelError: ``stock_required``, and the model cannot be expressed by stock modules, or they are not installed.
    """
    with new_folder(folder) as beside:
        save_model(run.model, beside / "model")
        for file in (beside / "model").iterdir():
            file.rename(beside / file.name)
        (beside / "model").rmdir()
        write_carried(run, beside)
        try:
            parity = _stock(run, beside)
            said, details = _loads(parity, run), {"loads": True} | vars(parity)
        except ModelError as error:
            if stock_required:
                raise
            said, details = (
                f"It does not load with sentence-transformers: {error.got}",
                {"loads": False, "why": error.got},
            )
        card = model_card(run, Path(folder).name, stock=_in_card(said, run, Path(folder).name, bool(details["loads"])))
        (beside / "README.md").write_text(card, encoding="utf-8")
        if model_id(load_model(beside)) != model_id(run.model):
            raise RunError(f"The model in {beside} is not the one of the run.", expected="Expected the same bits.")
    return Exported(Path(folder), ("the model and its card, README.md", said), {"sentence_transformers": details})


def _stock(run: Run, beside: Path) -> StockParity:
    made = beside / "stock"
    try:
        write_stock_modules(run.model, made)
        pixels, texts = _samples(run)
        parity = check_stock(run.model, made, pixels, texts)
        for part in made.iterdir():
            part.rename(beside / part.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return parity


def _samples(run: Run) -> tuple[Tensor, list[str]]:
    """Test images and captions; noise and plain sentences where the images of the run cannot be had."""
    spec = run.model.input
    try:
        test = run.data().test
    except DatasetError:
        noise = torch.Generator().manual_seed(0)
        shape = (_COMPARED, spec.channels, spec.height, spec.width)
        return torch.randint(256, shape, dtype=torch.uint8, generator=noise), ["a dog on a lawn", "two red shoes"]
    images = spec.fitted(test.take(torch.linspace(0, len(test) - 1, min(_COMPARED, len(test))).long().unique()).cpu())
    texts = (
        Captions(test).texts[:_COMPARED]
        if test.captions is not None
        else [f"a photo of a {n}." for n in test.class_names]
    )
    return images.round().clamp(0, 255).to(torch.uint8).contiguous(), list(texts)


def _loads(parity: StockParity, run: Run) -> str:
    of = f"{parity.images} test images" + (f" and {parity.texts} texts" if parity.texts else "")
    return (
        f"It loads with sentence-transformers too: on {of} of {run.model.input.height} pixels the embeddings differ by "
        f"{parity.largest_difference:.1e} at most (least cosine {parity.least_cosine:.6f})."
    )


def _in_card(said: str, run: Run, name: str, loads: bool) -> str:
    if not loads:
        return said
    lines = [
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("{name}")',
        "model.encode([picture])  # Pillow images",
    ]
    if run.model.text is not None:
        lines.append('model.encode(["a red shoe"])')
    return f"{said}\n\n```python\n" + "\n".join(lines) + "\n```"
