"""A small vision transformer (Dosovitskiy et al. 2021), whose encoder can leave patches out.

Patches are projected by one linear layer, get fixed sine positions and pass pre-normalised blocks; the mean of the normalised
tokens is the feature vector, so that there is no class token to carry. A masked autoencoder gives it the visible quarter of the
patches only, which is where its speed comes from (He et al. 2022).
"""

from __future__ import annotations

from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from likewise.models._options import Encoder, EncoderOptions
from likewise.models.patches import patch_grid, patch_positions, to_patches

__all__ = ["TransformerBlock", "VisionTransformer", "VisionTransformerOptions"]


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised before and added to what came in.

    Args:
        dim: of the tokens, a multiple of ``heads``.
        heads: of the attention.
        expansion: width of the perceptron's hidden layer over ``dim``.
    """

    def __init__(self, dim: int, heads: int, expansion: float = 4.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        hidden = round(dim * expansion)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, dim) to (N, T, dim)."""
        parts = self.qkv(self.norm1(tokens)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*parts.unbind(0))
        tokens = tokens + self.proj(attended.transpose(1, 2).flatten(2))
        mixed: Tensor = self.mlp(self.norm2(tokens))
        return tokens + mixed


class VisionTransformer(Encoder):
    """Patches to tokens to their mean.

    Args:
        in_channels: channels of the images.
        image_size: (height, width); sides that are no multiples of the patch are filled up with zeros.
        patch_size: side of a patch in pixels.
        dim: of the tokens.
        depth: blocks.
        heads: of the attention.
    """

    positions: Tensor

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], *, patch_size: int, dim: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.grid = patch_grid(image_size, patch_size)
        self.out_features = dim
        self.project = nn.Linear(in_channels * patch_size**2, dim)
        self.register_buffer("positions", patch_positions(self.grid, dim), persistent=False)
        self.blocks = nn.Sequential(*(TransformerBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        initialize_linear(self)

    def tokens(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """Normalised tokens (N, V, dim) of the patches that are visible.

        Args:
            images: (N, C, H, W) float.
            visible: (N, V) int64 positions of patches, counted row by row; ``None`` shows all.
        """
        tokens = self.project(to_patches(images, self.patch_size)) + self.positions
        if visible is not None:
            tokens = tokens.gather(1, visible[:, :, None].expand(-1, -1, tokens.shape[2]))
        normed: Tensor = self.norm(self.blocks(tokens))
        return normed

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float to (N, dim) float."""
        return self.tokens(images).mean(dim=1)


def initialize_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in all linear layers, as the masked autoencoder's authors do."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class VisionTransformerOptions(EncoderOptions):
    """A small vision transformer.

    Attributes:
        patch_size: side of a patch in pixels.
        dim: of the tokens and of the features, a multiple of 4 and of ``heads``.
        depth: blocks.
        heads: of the attention.
    """

    name: Literal["vit"] = "vit"
    patch_size: int = Field(default=4, ge=1)
    dim: int = Field(default=128, ge=4, multiple_of=4)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim is {self.dim} and heads is {self.heads}: dim must be a multiple of heads")
        return self

    def build(self, in_channels: int, image_size: tuple[int, int]) -> VisionTransformer:
        """Build the network; see ``VisionTransformer``."""
        return VisionTransformer(
            in_channels,
            image_size,
            patch_size=self.patch_size,
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
        )
