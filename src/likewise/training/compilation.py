"""``torch.compile`` where it is wished for.

``auto`` compiles nothing: with the encoders here no run on a CPU earned its compilation back. Inductor's loops over grids of
few channels take longer than torch's own kernels over whole rows of pixels (``models.folded_norm``), and encoders of many
channels spend their time in convolutions, which it leaves as they are. Validation and embedding stay uncompiled in any case:
they would be compiled a second time.
"""

from __future__ import annotations

from likewise.models import EmbeddingModel

__all__ = ["compile_encoder"]


def compile_encoder(model: EmbeddingModel, wish: str) -> bool:
    """Compile ``model.encoder`` in place, if ``wish`` is ``always``; returns whether it was."""
    if wish == "always":
        model.encoder.compile(dynamic=False)
    return wish == "always"
