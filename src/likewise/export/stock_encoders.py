"""Our image encoders as networks of ``transformers`` with the same weights, where there is one that computes the same.

- ``resnet`` with the ImageNet stem is ``ResNetModel``; the stem for small images is in no model there.
- ``vit`` is ``IJepaModel``: patches without a class token, normalised before each block.
- ``efficientnet_lite`` is ``EfficientNetModel`` with ReLU6 and with its squeeze-and-excitation set to multiply by exactly 1.
- what came from ``transformers`` is itself.

All take colour: a model of grey images gets a first layer that weighs red, green and blue as the conversion to grey does
(ITU-R 601), which is the same computation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models import (
    EfficientNetLite,
    EmbeddingModel,
    PretrainedImage,
    ResNet,
    ResNetOptions,
    VisionTransformer,
)

__all__ = ["image_size_of", "stock_encoder"]

_LUMA = (0.299, 0.587, 0.114)
_ALWAYS_OPEN = 100.0  # sigmoid(100) is 1 in float32

Weights = dict[str, Tensor]


def image_size_of(model: EmbeddingModel) -> int:
    """The side that pictures have when they reach the first layer.

    Raises:
        ModelError: they are not square.
    """
    spec = model.input
    if spec.height != spec.width:
        raise ModelError(
            f"The model takes images of {spec.height} × {spec.width}.",
            expected="The image processors of transformers cut squares from the middle.",
        )
    resolution: int = getattr(model.encoder, "resolution", 0)
    return resolution or spec.height


def stock_encoder(model: EmbeddingModel) -> tuple[Any, str]:
    """A network of ``transformers`` that computes what ``model.encoder`` does, and the pooling of its last layer.

    Returns:
        The network, in evaluation mode; and ``mean`` (over positions) or ``cls`` (the first token).

    Raises:
        ModelError: there is no such network.
    """
    encoder, side = model.encoder, image_size_of(model)
    if isinstance(encoder, PretrainedImage):
        network = encoder.network.eval()
        with torch.no_grad():
            hidden = network(pixel_values=torch.zeros(1, 3, side, side)).last_hidden_state
        return network, "mean" if hidden.ndim == 4 else "cls"
    if isinstance(encoder, ResNet):
        return _resnet(encoder, model), "mean"
    if isinstance(encoder, VisionTransformer):
        return _vit(encoder, side), "mean"
    if isinstance(encoder, EfficientNetLite):
        return _efficientnet(encoder, side), "mean"
    raise ModelError(
        f"transformers has no network that computes what the encoder {model.encoder_options.name} does.",
        expected="It has one for vit, for resnet with encoder.stem=imagenet, for efficientnet_lite and for its own.",
    )


def _filled(network: Any, weights: Weights) -> Any:
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"This version of transformers has other layers in {type(network).__name__} "
            f"({str(error).strip().splitlines()[-1].strip()}).",
            expected="Expected those of transformers 5.23.",
            advice="Install with -c constraints.txt.",
        ) from error
    return network.eval()


def _in_colour(weight: Tensor) -> Tensor:
    """A first convolution (F, C, K, K) for colour images."""
    if weight.shape[1] == 3:
        return weight
    return weight * torch.tensor(_LUMA, dtype=weight.dtype).view(1, 3, 1, 1)


def _norm(weights: Weights, layer: nn.BatchNorm2d, name: str) -> None:
    weights.update({f"{name}.{key}": tensor for key, tensor in layer.state_dict().items()})


def _resnet(encoder: ResNet, model: EmbeddingModel) -> Any:
    from transformers import ResNetConfig, ResNetModel

    options = model.encoder_options
    if not isinstance(options, ResNetOptions) or isinstance(encoder.maxpool, nn.Identity):
        raise ModelError(
            "transformers has no residual network with the stem for small images.",
            expected="Expected encoder.stem=imagenet.",
        )
    stages = [encoder.get_submodule(f"layer{stage}") for stage in (1, 2, 3, 4)]
    basic = options.depth < 50
    config = ResNetConfig(
        num_channels=3,
        embedding_size=options.width,
        hidden_sizes=[options.width * (1 if basic else 4) * 2**stage for stage in range(4)],
        depths=[len(list(stage.children())) for stage in stages],
        layer_type="basic" if basic else "bottleneck",
    )
    weights: Weights = {"embedder.embedder.convolution.weight": _in_colour(encoder.conv1.weight.detach())}
    _norm(weights, encoder.bn1, "embedder.embedder.normalization")
    for number, stage in enumerate(stages):
        for name, tensor in stage.state_dict().items():
            block, layer, *rest = name.split(".")
            place = f"encoder.stages.{number}.layers.{block}"
            if layer == "downsample":
                place += f".shortcut.{('convolution', 'normalization')[int(rest.pop(0))]}"
            else:
                kind = "convolution" if layer.startswith("conv") else "normalization"
                place += f".layer.{int(layer[-1]) - 1}.{kind}"
            weights[f"{place}.{rest[0]}"] = tensor
    return _filled(ResNetModel(config), weights)


def _vit(encoder: VisionTransformer, side: int) -> Any:
    from transformers import IJepaConfig, IJepaModel

    patch = encoder.patch_size
    if side % patch:
        raise ModelError(
            f"The patches of {patch} pixels do not divide images of {side}.",
            expected="Networks of transformers leave out what is over; ours fills it up.",
        )
    blocks: Any = encoder.blocks
    config = IJepaConfig(
        hidden_size=encoder.out_features,
        num_hidden_layers=len(blocks),
        num_attention_heads=blocks[0].heads,
        intermediate_size=blocks[0].mlp[0].out_features,
        layer_norm_eps=encoder.norm.eps,
        image_size=side,
        patch_size=patch,
        num_channels=3,
    )
    kernel = encoder.project.weight.detach().unflatten(1, (-1, patch, patch))
    weights: Weights = {
        "embeddings.patch_embeddings.projection.weight": _in_colour(kernel),
        "embeddings.patch_embeddings.projection.bias": encoder.project.bias,
        "embeddings.position_embeddings": encoder.positions[None],
        "layernorm.weight": encoder.norm.weight,
        "layernorm.bias": encoder.norm.bias,
    }
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after", "proj": "attention.o_proj"}
    names |= {"mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
    for number, block in enumerate(blocks):
        for name, tensor in block.state_dict().items():
            layer, kind = name.rsplit(".", 1)
            if layer == "qkv":
                for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                    weights[f"layers.{number}.attention.{part}_proj.{kind}"] = rows.clone()
            else:
                weights[f"layers.{number}.{names[layer]}.{kind}"] = tensor
    return _filled(IJepaModel(config), weights)


def _efficientnet(encoder: EfficientNetLite, side: int) -> Any:
    from transformers import EfficientNetConfig, EfficientNetModel

    if side % 2:
        raise ModelError(f"Images have {side} pixels.", expected="EfficientNetModel pads them right only where even.")
    blocks: Any = encoder._blocks
    odd, size = [], side // 2
    for number, block in enumerate(blocks):
        if block._depthwise_conv.stride[0] == 2:
            odd += [number] if size % 2 else []
            size = -(-size // 2)
    config = EfficientNetConfig(
        image_size=side,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=encoder.out_features,
        hidden_act="relu6",
        depthwise_padding=odd,
        squeeze_expansion_ratio=1e-3,  # one unit, which does nothing
    )
    network = EfficientNetModel(config)
    weights: Weights = {
        name: torch.full_like(tensor, _ALWAYS_OPEN if name.endswith("expand.bias") else 0.0)
        for name, tensor in network.state_dict().items()
        if ".squeeze_excite." in name
    }
    weights["embeddings.convolution.weight"] = _in_colour(encoder._conv_stem.weight.detach())
    weights["encoder.top_conv.weight"] = encoder._conv_head.weight
    _norm(weights, encoder._bn0, "embeddings.batchnorm")
    _norm(weights, encoder._bn1, "encoder.top_bn")
    names = {
        "_expand_conv": "expansion.expand_conv",
        "_bn0": "expansion.expand_bn",
        "_depthwise_conv": "depthwise_conv.depthwise_conv",
        "_bn1": "depthwise_conv.depthwise_norm",
        "_project_conv": "projection.project_conv",
        "_bn2": "projection.project_bn",
    }
    for number, block in enumerate(blocks):
        for name, tensor in block.state_dict().items():
            layer, kind = name.split(".")
            weights[f"encoder.blocks.{number}.{names[layer]}.{kind}"] = tensor
    return _filled(network, weights)
