"""Masked reconstruction: what was under the patches that are covered?

With the encoder ``vit`` this is the masked autoencoder (He et al. 2022): the encoder gets the visible patches only, a small
transformer decodes them together with mask tokens, and the loss is taken on the masked patches. The embedding stands before
the decoder's tokens, in the place of the paper's class token, so that it is trained with the rest. Any other encoder gets the
image with the masked patches in the mean colour, and a convolutional decoder fills them in from the embedding and what is
visible (a context encoder, Pathak et al. 2016, without its adversary).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from likewise.data.draws import Draws
from likewise.errors import ModelError
from likewise.models import ConvDecoder, EmbeddingModel, VisionTransformer
from likewise.models.device import to_device
from likewise.models.patches import from_patches, patch_grid, patch_positions, to_patches
from likewise.models.vit import TransformerBlock, initialize_linear
from likewise.objectives._from_images import FromImagesOptions
from likewise.objectives._objective import Batch, Objective

__all__ = ["MaskedReconstruction", "MaskedReconstructionOptions", "draw_visible"]

GREY = 128


def draw_visible(count: int, patches: int, mask_ratio: float, draws: torch.Generator | Draws) -> Tensor:
    """Which patches of each image stay visible: (count, V) int64, V = max(1, int(patches · (1 − mask_ratio))), ascending.

    Example:
        >>> draw_visible(2, 16, 0.75, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 4])
    """
    kept = max(1, int(patches * (1 - mask_ratio)))
    return Draws.of(draws).rand(count, patches).argsort(dim=1)[:, :kept].sort(dim=1).values


class MaskedReconstructionOptions(FromImagesOptions):
    """Mean squared error on the masked patches.

    Attributes:
        mask_ratio: share of the patches that are covered.
        patch_size: side of a covered patch in pixels; ``None`` takes the ``vit`` encoder's own, else 4.
        normalize_patches: predict each patch relative to its own mean and deviation (the paper's better variant); only with
            the encoder ``vit``.
        decoder_dim: of the tokens in the transformer decoder.
        decoder_depth: its blocks.
        decoder_heads: of its attention.
        widths: channels of the convolutional decoder in the order of the encoder that it mirrors.
    """

    name: Literal["masked_reconstruction"] = "masked_reconstruction"
    mask_ratio: float = Field(default=0.75, gt=0, lt=1)
    patch_size: int | None = Field(default=None, ge=1)
    normalize_patches: bool = True
    decoder_dim: int = Field(default=64, ge=4, multiple_of=4)
    decoder_depth: int = Field(default=2, ge=1)
    decoder_heads: int = Field(default=4, ge=1)
    widths: tuple[int, ...] = Field(default=(12, 24, 48), min_length=1)

    @property
    def task(self) -> str:
        """What the columns of the examples are."""
        return (
            "input: the visible patches; target: the image; prediction: the visible patches and, in the gaps, what the "
            "network puts there. Where it predicts patches relative to their own mean and deviation, those are the true ones."
        )

    def build(self, model: EmbeddingModel) -> MaskedReconstruction:
        """The objective with these options."""
        return MaskedReconstruction(model, self)


class MaskedReconstruction(Objective):
    """mean( (x̂ − x)² ) over the masked patches of standardised pixels."""

    across_ranks = "mean"

    def __init__(self, model: EmbeddingModel, options: MaskedReconstructionOptions) -> None:
        super().__init__(model)
        spec, encoder = model.input, model.encoder
        self.options = options
        self.size = (spec.height, spec.width)
        self.tokens = isinstance(encoder, VisionTransformer)
        own = encoder.patch_size if isinstance(encoder, VisionTransformer) else None
        self.patch_size = options.patch_size or own or 4
        if own is not None and self.patch_size != own:
            raise ModelError(
                f"objective.patch_size is {self.patch_size} and the encoder's is {own}.",
                expected="A masked patch is a patch of the vision transformer.",
                advice="Leave objective.patch_size out.",
            )
        self.grid = patch_grid(self.size, self.patch_size)
        self.patches = self.grid[0] * self.grid[1]
        if self.patches < 2:
            raise ModelError(
                f"An image of {spec.height}×{spec.width} is one patch of {self.patch_size} pixels.",
                expected="Masking needs at least two patches.",
                advice="Give a smaller patch_size.",
            )
        self.decoder: nn.Module = (
            _TokenDecoder(model, options, self.grid, spec.channels * self.patch_size**2)
            if self.tokens
            else ConvDecoder(
                model.embedding_dim,
                spec.channels,
                self.size,
                widths=options.widths,
                guide_channels=spec.channels + 1,
            )
        )

    def forward(self, images: Tensor, batch: Batch) -> Tensor:
        """Loss of the batch."""
        visible = self._visible(images, batch.generator)
        target = to_patches(self.model.normalized(images), self.patch_size)
        if self.tokens and self.options.normalize_patches:
            mean, deviation = _patch_moments(target)
            target = (target - mean) / deviation
        error = (self._predict(images, visible) - target).square().mean(dim=2)
        masked = ~self._shown(visible)
        return (error * masked).sum() / masked.sum()

    def _visible(self, images: Tensor, draws: torch.Generator | Draws) -> Tensor:
        return to_device(draw_visible(len(images), self.patches, self.options.mask_ratio, draws), images.device)

    def _shown(self, visible: Tensor) -> Tensor:
        """(N, T) bool, set where a patch is visible."""
        blank = torch.zeros(len(visible), self.patches, dtype=torch.bool, device=visible.device)
        return blank.scatter(1, visible, True)

    def _predict(self, images: Tensor, visible: Tensor) -> Tensor:
        """All patches (N, T, C · P · P) float32 from those that are visible."""
        pixels = self.model.normalized(images)
        if isinstance(self.model.encoder, VisionTransformer):
            tokens = self.model.encoder.tokens(pixels, visible)
            embeddings = self.model.embedding(tokens.mean(dim=1))
            predicted: Tensor = self.decoder(embeddings, tokens, visible).float()
            return predicted
        shown = self._shown(visible)[:, :, None]
        covered = from_patches(to_patches(pixels, self.patch_size) * shown, self.size, self.patch_size)
        marks = shown.to(pixels.dtype).expand(-1, -1, self.patch_size**2)
        mask = from_patches(marks, self.size, self.patch_size)
        seen = covered * self.model.std + self.model.mean
        filled = self.decoder(self.model(seen), torch.cat([covered, mask], dim=1)).float()
        return to_patches(filled, self.patch_size)

    def examples(self, images: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Visible patches, the image, and the image with the gaps filled in."""
        visible = self._visible(images, draws)
        shown = self._shown(visible)[:, :, None]
        true = to_patches(self.model.normalized(images), self.patch_size)
        predicted = self._predict(images, visible)
        if self.tokens and self.options.normalize_patches:
            mean, deviation = _patch_moments(true)
            predicted = predicted * deviation + mean
        filled = from_patches(torch.where(shown, true, predicted), self.size, self.patch_size)
        covered = torch.where(shown, to_patches(images.float(), self.patch_size), float(GREY))
        return {
            "input": from_patches(covered, self.size, self.patch_size).to(torch.uint8),
            "target": images,
            "prediction": self.model.to_pixels(filled),
        }


class _TokenDecoder(nn.Module):
    """Tokens of visible patches, mask tokens for the others, and the embedding before them all."""

    positions: Tensor

    def __init__(
        self, model: EmbeddingModel, options: MaskedReconstructionOptions, grid: tuple[int, int], outputs: int
    ) -> None:
        super().__init__()
        dim = options.decoder_dim
        if dim % options.decoder_heads:
            raise ModelError(
                f"objective.decoder_dim is {dim} and objective.decoder_heads {options.decoder_heads}.",
                expected="The dimension must be a multiple of the heads.",
                advice="Change one of them.",
            )
        self.project = nn.Linear(model.encoder.out_features, dim)
        self.summary = nn.Linear(model.embedding_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(dim))
        self.register_buffer("positions", patch_positions(grid, dim), persistent=False)
        self.blocks = nn.Sequential(
            *(TransformerBlock(dim, options.decoder_heads) for _ in range(options.decoder_depth))
        )
        self.norm = nn.LayerNorm(dim)
        self.predict = nn.Linear(dim, outputs)
        initialize_linear(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, embeddings: Tensor, tokens: Tensor, visible: Tensor) -> Tensor:
        """Embeddings (N, D), tokens (N, V, dim) and their places (N, V) to patches (N, T, outputs)."""
        known = self.project(tokens)
        blank = self.mask_token.to(known.dtype).expand(len(known), len(self.positions), -1)
        every = blank.scatter(1, visible[:, :, None].expand_as(known), known) + self.positions.to(known.dtype)
        mixed = self.norm(self.blocks(torch.cat([self.summary(embeddings)[:, None], every], dim=1)))
        patches: Tensor = self.predict(mixed[:, 1:])
        return patches


def _patch_moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each patch (N, T, 1), with the paper's 1e-6 under the root."""
    return patches.mean(dim=2, keepdim=True), (patches.var(dim=2, keepdim=True) + 1e-6).sqrt()
