"""Images and language: CLIP on generated shapes, on Flickr8k, on COCO, and on one's own table of images and captions."""

from __future__ import annotations

from typing import Any

from likewise.data.sources.shapes import COLORS, PLACES
from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__ = ["captions_clip", "clip_shapes"]


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
