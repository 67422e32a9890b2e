"""Images and language: CLIP on generated shapes, on Flickr8k, on COCO, and on one's own table of images and captions."""

from __future__ import annotations

from typing import Any

from likewise.data.sources.shapes import COLORS, PLACES
from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["captions_clip", "clip_shapes", "coco_clip", "flickr8k_clip"]


@shipped
def clip_shapes(budget: Budget) -> Recipe:
    """Shapes, colours, counts and places from their captions; the test asks for combinations that training never showed."""
    training: dict[str, Any] = {"epochs": 8, "batch_size": 240, "learning_rate": 3e-3, "weight_decay": 0.05}
    values: dict[str, Any] = {
        "name": "clip-shapes",
        "title": "Generated shapes and their captions by CLIP, both towers from scratch",
        "budget": budget,
        "data": {"source": "shapes"},
        "encoder": {"name": "small_cnn", "widths": (32, 64, 128)},
        "text_encoder": {"name": "small_transformer", "width": 64, "layers": 1},
        "embedding_dim": 64,
        "normalize": "output",
        "objective": {"name": "clip"},
        "training": training,
        "evaluation": {
            "queries": ("two red stars", "something yellow at the top", "a white heart in the middle"),
            "templates": tuple(f"a {color} {{}} {place}" for color in COLORS for place in PLACES),
        },
    }
    if budget == "smoke":
        values |= {"data": {"source": "shapes", "train_size": 1440}, "training": training | {"epochs": 1}}
    if budget == "paper":
        values |= {"training": training | {"epochs": 40}}
    return Recipe.parse(values)


@shipped
def captions_clip(budget: Budget) -> Recipe:
    """One's own table of images and captions, both towers from scratch; ``--data`` names it."""
    return Recipe.parse(
        {
            "name": "captions-clip",
            "title": "Images and captions of one's own by CLIP, both towers from scratch",
            "budget": budget,
            "data": {"source": "shapes", "validation": 0.1},
            "encoder": {"name": "small_cnn", "widths": (32, 64, 128)},
            "text_encoder": "small_transformer",
            "embedding_dim": 128,
            "normalize": "output",
            "objective": {"name": "clip"},
            "training": {
                "epochs": {"smoke": 1, "laptop": 20, "paper": 40}[budget],
                "batch_size": {"smoke": 32, "laptop": 256, "paper": 1024}[budget],
                "learning_rate": 1e-3,
                "weight_decay": 0.1,
            },
        }
    )


@shipped
def flickr8k_clip(budget: Budget) -> Recipe:
    """Flickr8k: heads and last blocks of pretrained encoders, or the course sheet's setting; ``--data`` names its folder."""
    return Recipe.parse(
        _photographs(budget)
        | {"name": "flickr8k-clip", "title": "Flickr8k by CLIP", "data": _photos("flickr8k", budget)}
    )


@shipped
def coco_clip(budget: Budget) -> Recipe:
    """COCO: heads and last blocks of pretrained encoders, or the course sheet's setting; ``--data`` names its folder."""
    return Recipe.parse(
        _photographs(budget) | {"name": "coco-clip", "title": "COCO captions by CLIP", "data": _photos("coco", budget)}
    )


def _photos(source: str, budget: Budget) -> dict[str, Any]:
    data: dict[str, Any] = {"source": source, "image_size": 224 if budget == "paper" else 128, "validation": 1000}
    return data | ({"train_size": 500} if budget == "smoke" else {})


def _photographs(budget: Budget) -> dict[str, Any]:
    """``paper``: ResNet-50 with ImageNet weights trained on, DistilBERT frozen, and the projection heads of the sheet.

    ``laptop``: of EfficientNet-Lite0 and MiniLM the last block each; what goes into them is computed once.
    """
    shared: dict[str, Any] = {"budget": budget, "normalize": "output", "objective": {"name": "clip"}}
    if budget == "paper":
        return shared | {
            "encoder": {"name": "transformers", "source": "microsoft/resnet-50"},
            "text_encoder": {"name": "transformers", "source": "distilbert-base-uncased", "pooling": "first"},
            "embedding_dim": 256,
            "head": "projection",
            "dropout": 0.1,
            "training": {
                "epochs": 10,
                "batch_size": 256,
                "learning_rate": 1e-3,
                "weight_decay": 1e-3,
                "encoder_rate": 0.1,
                "freeze": "text_encoder",
            },
        }
    return shared | {
        "encoder": {"name": "efficientnet_lite", "pretrained": True, "resolution": 192},
        "text_encoder": {"name": "transformers", "source": "minilm", "max_tokens": 48},
        "embedding_dim": 512,
        "dropout": 0.5,
        "training": {
            "epochs": 2 if budget == "smoke" else 24,
            "batch_size": 64 if budget == "smoke" else 256,
            "learning_rate": 2e-3,
            "weight_decay": 0.1,
            "encoder_rate": 0.1,
            "freeze": "both",
            "image_blocks": 1,
            "text_blocks": 1,
            "flip": True,
            "checkpoint_every": 4,
        },
        "evaluation": {
            "queries": (
                "a dog runs through the water",
                "children playing in the snow",
                "a man riding a bicycle",
                "a football player in a red shirt",
                "two people sitting on a bench",
            )
        },
    }
