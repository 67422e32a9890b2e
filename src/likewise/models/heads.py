"""What stands between an encoder's features and the embedding: a linear layer, the projection head of the CLIP course sheet,
or nothing, where the features are the embedding."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from likewise.errors import ModelError

__all__ = ["Head", "ProjectionHead", "build_head"]

Head = Literal["linear", "projection", "none"]


class ProjectionHead(nn.Module):
    """h = W₁ x + b₁,  z = LayerNorm( h + Dropout( W₂ GELU(h) + b₂ ) ).

    The head of the course sheet's source, a well-known short implementation of CLIP with ResNet-50 and DistilBERT.

    Args:
        in_features: of the encoder.
        out_features: D of the embedding.
        dropout: while training.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.projection = nn.Linear(in_features, out_features)
        self.fc = nn.Linear(out_features, out_features)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(out_features)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in_features) to (N, out_features)."""
        projected = self.projection(features)
        normed: Tensor = self.layer_norm(projected + self.dropout(self.fc(F.gelu(projected))))
        return normed


def build_head(
    head: Head,
    in_features: int,
    out_features: int,
    *,
    batch_norm: bool = False,
    hidden: int | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """What stands between an encoder's features and the embedding.

    Args:
        head: ``linear``; ``projection``, which has its own second layer and takes no ``hidden``; or ``none``, which takes none
            either.
        in_features: of the encoder.
        out_features: D of the embedding.
        batch_norm: normalise each dimension of the embedding over the batch, at the end.
        hidden: units of a layer with ReLU before the linear one.
        dropout: share of the features, and of the hidden units, that are left out at random in training.

    Raises:
        ModelError: without a head the embedding is to have another width than the features, or a hidden layer.
    """
    if head == "none":
        if hidden or in_features != out_features:
            raise ModelError(
                f"The encoder gives {in_features} features; without a head the embedding was to have {out_features} dimensions"
                + (f" behind a hidden layer of {hidden}." if hidden else "."),
                expected="Without a head the features are the embedding.",
                advice=f"Set embedding_dim={in_features} and no hidden layer, or head=linear.",
            )
        layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    elif head == "projection":
        layers = [ProjectionHead(in_features, out_features, dropout)]
    else:
        layers = []
        if hidden:
            layers += [nn.Dropout(dropout)] if dropout else []
            layers += [nn.Linear(in_features, hidden), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
        layers.append(nn.Linear(hidden or in_features, out_features, bias=not batch_norm))
    if batch_norm:
        layers.append(nn.BatchNorm1d(out_features))
    return nn.Sequential(*layers)
