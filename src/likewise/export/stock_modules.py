"""A model as modules of ``sentence-transformers``, so that people who have never heard of Likewise load it, without our code.

    SentenceTransformer("folder").encode([picture, …])  or  .encode(["a red shoe", …])

A router leads pictures and texts to their towers. A tower is a network of ``transformers`` (``stock_encoders``), the
pooling of its last layer, the head as dense layers, and scaling to length 1. Batch normalisation in a head is folded into
its last layer. The projection head, LayerNorm(h + W GELU(h) + b) with h = V x + c, becomes two dense layers by GELU(h) -
GELU(-h) = h:

    [GELU(h), GELU(-h)],   then   [W + I, -I] · that + b.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.export.silence import silent
from likewise.export.stock_encoders import image_size_of, stock_encoder
from likewise.export.tokenizer_file import write_tokenizer
from likewise.models import EmbeddingModel, PretrainedText, ProjectionHead, TextTower
from likewise.models.pretrained_text import quietly

__all__ = ["BOUND", "StockParity", "check_stock", "write_stock_modules"]

BOUND = 1e-3  # largest difference that is let pass, for embeddings of length 1; in proportion to the length for others
_MADE_WITH_RESIZING = (
    0.05  # the same where an image processor enlarges pictures: it rounds to whole grey levels, we do not
)


@dataclass(frozen=True)
class StockParity:
    """How far ``sentence-transformers`` is from Likewise.

    Args:
        images, texts: how many were compared.
        largest_difference: between two numbers of an embedding.
        least_cosine: between two embeddings of the same thing.
    """

    images: int
    texts: int
    largest_difference: float
    least_cosine: float


def write_stock_modules(model: EmbeddingModel, folder: Path) -> None:
    """Write ``modules.json`` and what it names into a folder.

    Raises:
        ModelError: a package is missing, or the model cannot be expressed by stock modules.
    """
    _require()
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    with tempfile.TemporaryDirectory() as made, silent("sentence_transformers", "transformers"), quietly(transformers):
        towers: dict[str, Any] = {"image": _image_tower(model, Path(made) / "image")}
        if model.text is not None:
            towers["text"] = _text_tower(model.text, Path(made) / "text")
        if model.normalize != "never":
            from sentence_transformers.base.modules import Normalize

            for tower in towers.values():
                tower.append(Normalize())
        router = Router(towers, default_route="image", route_mappings={(None, name): name for name in towers})
        distance: Any = "euclidean" if model.normalize == "never" else "cosine"
        whole = SentenceTransformer(modules=[router], similarity_fn_name=distance, device="cpu")
        whole.save_pretrained(str(folder), create_model_card=False)


def check_stock(model: EmbeddingModel, folder: Path, pixels: Tensor, texts: list[str]) -> StockParity:
    """Load what was written with ``sentence-transformers`` and compare it with the model.

    Args:
        model: what it was made of.
        folder: what was written.
        pixels: (N, C, H, W) uint8, of the model's size.
        texts: sentences, where the model knows texts.

    Raises:
        ModelError: they are not the same embeddings.
    """
    import transformers
    from sentence_transformers import SentenceTransformer

    with silent("sentence_transformers", "transformers"), quietly(transformers):
        stock = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        pictures = [Image.fromarray(_channels_last(image)) for image in pixels.numpy()]
        pairs = [(model.embed(pixels), stock.encode(pictures, show_progress_bar=False))]
        if model.text is not None and texts:
            pairs.append((model.embed_text(texts), stock.encode(texts, show_progress_bar=False)))
    ours, theirs = (np.concatenate(part) for part in zip(*pairs, strict=True))
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = (ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)
    found = StockParity(
        len(pixels),
        len(texts) if model.text is not None else 0,
        float(np.abs(ours - theirs).max()),
        float(cosine.min()),
    )
    resized = image_size_of(model) != model.input.height
    bound = (_MADE_WITH_RESIZING if resized else BOUND) * float(np.linalg.norm(ours, axis=1).mean())
    if not found.largest_difference <= bound:
        raise ModelError(
            f"sentence-transformers gives other embeddings: they differ by {found.largest_difference:.2e}.",
            expected=f"Expected {bound:.1e} at most.",
        )
    return found


def _require() -> None:
    missing = [name for name in ("transformers", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed.",
            expected="Expected both, to write what they load and to check that they load it.",
            advice='Install them with `pip install "likewise[hub]"`.',
        )


def _channels_last(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))


def _image_tower(model: EmbeddingModel, folder: Path) -> list[nn.Module]:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    network, pooling = stock_encoder(model)
    network.save_pretrained(folder)
    side, spec = image_size_of(model), model.input
    processor = {
        "image_processor_type": "CLIPImageProcessor",  # shorter side, middle, mean and deviation: the one that does just that
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": int(Image.Resampling.BILINEAR),
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(spec.mean) * (3 // spec.channels),
        "image_std": list(spec.std) * (3 // spec.channels),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2), encoding="utf-8")
    reads = {"image": {"method": "forward", "method_output_name": "last_hidden_state"}}
    transformer = Transformer(str(folder), modality_config=reads, module_output_name="token_embeddings")
    return [transformer, Pooling(model.encoder.out_features, pooling), *_dense(model.embedding)]


def _text_tower(tower: TextTower, folder: Path) -> list[nn.Module]:
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    encoder = tower.encoder
    if not isinstance(encoder, PretrainedText):
        raise ModelError(
            f"transformers has no network that computes what the text encoder {tower.options.name} does.",
            expected="Expected text_encoder=transformers.",
        )
    encoder.network.save_pretrained(folder)
    tokenizer = Tokenizer.from_str(write_tokenizer(encoder))
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer, model_max_length=encoder.options.max_tokens, pad_token=tokenizer.id_to_token(0)
    ).save_pretrained(folder)
    pooling = {"mean": "mean", "first": "cls", "last": "lasttoken"}[encoder.options.pooling or "mean"]
    reads = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    transformer = Transformer(str(folder), modality_config=reads, module_output_name="token_embeddings")
    return [transformer, Pooling(encoder.out_features, pooling), *_dense(tower.embedding)]


def _dense(head: nn.Module) -> list[nn.Module]:
    """A head (see ``build_head``) as dense layers."""
    from sentence_transformers.sentence_transformer.modules import LayerNorm

    found: list[nn.Module] = []
    layers = [layer for layer in head.children() if not isinstance(layer, nn.Dropout)]
    for position, layer in enumerate(layers):
        following = layers[position + 1] if position + 1 < len(layers) else None
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.detach(), _bias(layer)
            if isinstance(following, nn.BatchNorm1d):
                weight, bias = _folded(weight, bias, following)
            found.append(_layer(weight, bias, nn.ReLU() if isinstance(following, nn.ReLU) else nn.Identity()))
        elif isinstance(layer, ProjectionHead):
            weight, bias = layer.projection.weight.detach(), _bias(layer.projection)
            found.append(_layer(torch.cat([weight, -weight]), torch.cat([bias, -bias]), nn.GELU()))
            one = torch.eye(len(weight))
            found.append(
                _layer(torch.cat([layer.fc.weight.detach() + one, -one], dim=1), _bias(layer.fc), nn.Identity())
            )
            normed = LayerNorm(len(weight))
            normed.norm.load_state_dict(layer.layer_norm.state_dict())
            found.append(normed)
            if isinstance(following, nn.BatchNorm1d):
                found.append(_layer(*_folded(one, torch.zeros(len(weight)), following), nn.Identity()))
    return found


def _bias(layer: nn.Linear) -> Tensor:
    given: Tensor | None = layer.bias
    return torch.zeros(layer.out_features) if given is None else given.detach()


def _folded(weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    state: Any = norm
    scale = state.weight.detach() / (state.running_var + norm.eps).sqrt()
    return weight * scale[:, None], (bias - state.running_mean) * scale + state.bias.detach()


def _layer(weight: Tensor, bias: Tensor, activation: nn.Module) -> nn.Module:
    from sentence_transformers.base.modules import Dense

    made: nn.Module = Dense(
        weight.shape[1],
        weight.shape[0],
        activation_function=activation,
        init_weight=weight.clone(),
        init_bias=bias.clone(),
    )
    return made
