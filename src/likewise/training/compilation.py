"""``torch.compile`` where it pays within the run.

Compiling costs some ten seconds once and then fuses what lies between the convolutions, which is half of the time of an
encoder with few channels and little of one with many. ``auto`` decides from the number of images of the run alone, never
from a measured time, so that the same command takes the same arithmetic every time. Validation and embedding stay
uncompiled: they would be compiled a second time.
"""

from __future__ import annotations

import logging
import shutil

import torch

from likewise.models import EmbeddingModel

__all__ = ["compile_encoder"]

logger = logging.getLogger("likewise")


def compile_encoder(model: EmbeddingModel, wish: str, *, images: int, ranks: int = 1) -> bool:
    """Compile ``model.encoder`` in place, if it is wished or earns its time; returns whether it was.

    On several ranks batch normalisation talks to the others and cuts the graph at every layer: little is left to fuse.
    """
    pays_from = None if ranks > 1 else model.encoder_options.compile_pays_from
    if wish == "never" or (wish == "auto" and (pays_from is None or images < pays_from)):
        return False
    if wish == "auto" and not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        logger.info("no C++ compiler found: the encoder is not compiled")
        return False
    model.encoder.compile(dynamic=False)
    return True
