"""A small index with captions, further columns and a model that knows texts, and a client that calls its app in-process."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, SmallTransformerOptions

ROWS = 120
Ask = Callable[..., httpx.Response]


def make_model(*, text: bool, seed: int = 0) -> EmbeddingModel:
    torch.manual_seed(seed)
    spec = InputSpec(channels=1, height=8, width=8, mean=(0.4,), std=(0.3,))
    words = SmallTransformerOptions(width=16, heads=2, layers=1).fitted(["a red shoe", "a photo of a seven nine"])
    return EmbeddingModel(
        SmallCNNOptions(widths=(4, 8)),
        spec,
        embedding_dim=6,
        normalize="output",
        class_names=tuple("0123456789"),
        text_encoder=words if text else None,
    ).eval()


@pytest.fixture(scope="package")
def digits() -> lw.ImageDataset:
    data = lw.load_dataset("digits").subset(torch.arange(ROWS))
    captions = tuple((f"the digit {label}",) for label in data.labels.tolist())  # type: ignore[union-attr]
    return dataclasses.replace(data, captions=captions)


@pytest.fixture(scope="package")
def index(digits: lw.ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> lw.Index:
    """No test writes to it."""
    kinds = {"price": float, "shop": str, "Sold": bool}
    made = lw.Index.create(tmp_path_factory.mktemp("serve") / "shop", make_model(text=True), columns=kinds)
    shops = ["north", "south's"] * (ROWS // 2)
    made.add(
        digits, columns={"price": np.arange(float(ROWS)), "shop": shops, "Sold": [True, False, None] * (ROWS // 3)}
    )
    return made


@pytest.fixture(scope="package")
def images_only(digits: lw.ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> lw.Index:
    """Of a model without a text tower, over images without captions or thumbnails."""
    made = lw.Index.create(tmp_path_factory.mktemp("serve") / "images", make_model(text=False))
    made.add(dataclasses.replace(digits, captions=None), pictures=False)
    return made


def calling(app: Any, **defaults: Any) -> Ask:
    """``ask("GET", "/health")`` of an app in this process."""

    async def call(method: str, address: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, address, **{**defaults, **options})

    return lambda *arguments, **options: asyncio.run(call(*arguments, **options))


@pytest.fixture(scope="package")
def ask(index: lw.Index) -> Ask:
    from likewise.serve import create_app

    return calling(create_app(index))


def png(pixels: Any) -> bytes:
    """Pixels (H, W) or (1, H, W) as a file."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8).squeeze()).save(buffer, "PNG")
    return buffer.getvalue()
