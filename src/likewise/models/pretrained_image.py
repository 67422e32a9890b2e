"""Image encoders of ``transformers``: ResNet, ConvNeXt, ViT, DINOv2 … by name or from a local folder.

As with the text encoders, a model folder keeps the architecture as JSON and the weights beside all others, so a stored model
needs neither hub nor folder. torchvision is not used: images are resized here, and normalised by the embedding model with the
mean and deviation that stand in the source's ``preprocessor_config.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from likewise.errors import ModelError
from likewise.models._options import Encoder, EncoderOptions
from likewise.models.pretrained_text import LOADING_ERRORS, first_line, import_transformers, quietly
from likewise.models.unused import freeze_unused

__all__ = ["PretrainedImage", "PretrainedImageOptions"]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
_BLANK = 64  # side of the image that shows what the features depend on, for a network that takes any


class PretrainedImage(Encoder):
    """A vision model of ``transformers``: the class token of its last layer, or where it has none the mean over its grid.

    A masked autoencoder sees whole images here.

    Args:
        options: complete, with architecture.
        network: the model.
    """

    def __init__(self, options: PretrainedImageOptions, network: Any) -> None:
        super().__init__()
        self.options = options
        self.resolution = options.resolution
        self.network = network
        config = network.config
        sizes = getattr(config, "hidden_sizes", None)
        self.out_features = int(sizes[-1] if sizes else config.hidden_size)
        names = (name.rpartition(".")[2] for name, _ in network.named_parameters())
        self._has_class_token = any(name in _CLASS_TOKENS for name in names)
        #: Patches in their own order, for a network that would else draw which ones it sees.
        self._patches = 0
        if getattr(config, "mask_ratio", None) is not None and config.model_type == "vit_mae":
            config.mask_ratio = 0.0
            self._patches = int(network.embeddings.patch_embeddings.num_patches)
        with torch.enable_grad():
            side = self.resolution or _BLANK
            freeze_unused(network.eval(), self(torch.zeros(1, 3, side, side)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, F) float; grey images count as colour ones."""
        side = self.resolution
        if side and tuple(images.shape[2:]) != (side, side):
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
        order = (
            {"noise": torch.arange(self._patches, device=images.device).expand(len(images), -1)}
            if self._patches
            else {}
        )
        hidden: Tensor = self.network(pixel_values=images.expand(-1, 3, -1, -1), **order).last_hidden_state
        if hidden.ndim == 4:
            return hidden.mean(dim=(2, 3))
        return hidden[:, 0] if self._has_class_token else hidden.mean(dim=1)


class PretrainedImageOptions(EncoderOptions):
    """A vision model of ``transformers`` (``pip install likewise[clip]``).

    Attributes:
        source: hub name (``microsoft/resnet-50``, ``facebook/dinov2-small``) or local folder.
        resolution: side that images are resized to inside; 0 is what the source was trained with, where it says so.
        architecture: filled in when it is built.
    """

    name: Literal["transformers"] = "transformers"
    source: str = ""
    resolution: int = Field(default=0, ge=0)
    architecture: dict[str, Any] | None = None

    @property
    def pixel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Those of the source's ``preprocessor_config.json``, else ImageNet's."""
        if self.architecture is not None:
            return None
        said = _preprocessing(self.source)
        return tuple(said.get("image_mean", _IMAGENET[0])), tuple(said.get("image_std", _IMAGENET[1]))

    def build(self, in_channels: int, image_size: tuple[int, int]) -> PretrainedImage:
        """Build the network: from its architecture where that is known, else from ``source`` with its weights."""
        transformers = import_transformers()
        if self.architecture is not None:
            values = dict(self.architecture)
            config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
            return PretrainedImage(self, transformers.AutoModel.from_config(config))
        if not self.source:
            raise ModelError(
                "The encoder transformers was asked for without a source.",
                expected="Expected the hub name of a vision model, or a local folder.",
                advice="Set encoder.source, for example --set encoder.source=microsoft/resnet-50.",
            )
        try:
            with quietly(transformers):
                network = transformers.AutoModel.from_pretrained(
                    _place(self.source), use_safetensors=True, dtype=torch.float32
                )
        except LOADING_ERRORS as error:
            raise ModelError(
                f"The vision model {self.source!r} could not be loaded ({first_line(error)}).",
                expected="Expected the name of a vision model on the hub and a network, or a folder with config.json and "
                "model.safetensors.",
                advice="Check the name, or give the path of a folder.",
            ) from error
        config = network.config
        if getattr(network, "main_input_name", "") != "pixel_values" or not (
            hasattr(config, "hidden_size") or hasattr(config, "hidden_sizes")
        ):
            raise ModelError(
                f"{self.source!r} is a model of type {config.model_type}.",
                expected="Expected an encoder of images alone.",
                advice="Give a vision model such as microsoft/resnet-50 or facebook/dinov2-small.",
            )
        trained = getattr(config, "image_size", 0)
        complete = self.model_copy(
            update={
                "architecture": json.loads(config.to_json_string(use_diff=False)),
                "resolution": self.resolution
                or (trained if isinstance(trained, int) and _has_positions(config) else 0),
            }
        )
        return PretrainedImage(complete, network)


def _has_positions(config: Any) -> bool:
    """Whether the network cuts images into a fixed number of patches, so that their size matters."""
    return hasattr(config, "patch_size")


def _place(source: str) -> str:
    local = Path(source).expanduser()
    return str(local) if local.is_dir() else source


def _preprocessing(source: str) -> dict[str, Any]:
    transformers = import_transformers()
    place = Path(_place(source)) / "preprocessor_config.json"
    if not place.is_file():
        try:
            found = transformers.utils.cached_file(source, "preprocessor_config.json")
        except LOADING_ERRORS:
            return {}
        place = Path(str(found))
    try:
        said = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
