"""A model in a folder, without training: what is stored and found does not depend on how good it is."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from likewise.models import EmbeddingModel, InputSpec, SmallCNNOptions, save_model

FreshProcess = Callable[..., BaseProcess]


@pytest.fixture
def fresh_process() -> Iterator[FreshProcess]:
    """``fresh_process(function, *arguments)`` starts one that has imported the package already and done nothing with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["likewise.verbs", "lancedb"])
    started = []

    def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
        process = context.Process(target=function, args=arguments)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def make_model(seed: int, channels: int = 1) -> EmbeddingModel:
    torch.manual_seed(seed)
    spec = InputSpec(channels=channels, height=8, width=8, mean=(0.4,) * channels, std=(0.3,) * channels)
    return EmbeddingModel(SmallCNNOptions(widths=(4, 8)), spec, embedding_dim=6, normalize="output").eval()


def write_photos(root: Path, per_class: int) -> None:
    """root/cat/0.png …, root/dog/0.png …, each image different."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(root / name / f"{number}.png")


@pytest.fixture(scope="session")
def model() -> EmbeddingModel:
    return make_model(0)


@pytest.fixture(scope="session")
def model_folder(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(model, tmp_path_factory.mktemp("model") / "model")
