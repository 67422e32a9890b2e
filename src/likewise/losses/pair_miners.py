"""Miners that choose pairs: the mining step of the multi-similarity loss."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses._batch import Memory
from likewise.losses._checks import check_not_negative
from likewise.losses._gather import Group
from likewise.losses._mining import Search
from likewise.losses._opaque import opaque
from likewise.losses._tuples import Pairs


@opaque
def multi_similarity_pairs(
    embeddings: Tensor,
    labels: Tensor,
    *,
    epsilon: float = 0.1,
    group: Group = None,
    memory: Memory = None,
    tile_size: int | None = None,
) -> Pairs:
    """Pairs that are hard relative to the other kind (the mining step of Wang et al. 2019).

    With s the cosine similarity, a negative (i, n) is kept if s_in > min_p s_ip - epsilon, a positive (i, p) if
    s_ip < max_n s_in + epsilon. For ``multi_similarity_loss``: together they are the paper's whole loss.

    Args:
        embeddings: (N, D) float. Need not be normalised.
        labels: (N,) integer class numbers.
        epsilon: >= 0, a similarity.
        group, memory, tile_size: as for ``hard_triplets``.

    Returns:
        The pairs, by anchor; a row without a positive or without a negative has none. Early in training most of the N²
        pairs may be kept, 16 bytes each.

    Raises:
        LossInputError: shapes or dtypes do not fit, a value is not finite, epsilon < 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
        >>> [t.tolist() for t in multi_similarity_pairs(x, torch.tensor([0, 0, 1]))]
        [[1], [0], [1], [2]]
    """
    check_not_negative("epsilon", epsilon)
    search = Search(embeddings, labels, unit=True, group=group, memory=memory)
    pull: list[tuple[Tensor, Tensor]] = []
    push: list[tuple[Tensor, Tensor]] = []
    for strip in search.strips(tile_size):
        similarity = 1 - strip.squared / 2
        positive = strip.same & ~strip.self_
        lowest = similarity.masked_fill(~positive, torch.inf).amin(dim=1, keepdim=True)
        highest = similarity.masked_fill(strip.same, -torch.inf).amax(dim=1, keepdim=True)
        for kept, chosen in (
            (pull, positive & (similarity < highest + epsilon)),
            (push, ~strip.same & (similarity > lowest - epsilon)),
        ):
            row, column = chosen.nonzero(as_tuple=True)
            kept.append((strip.rows[row], column))
    none = search.order[:0]
    (anchors, near), (others, far) = (
        (torch.cat([none, *(r for r, _ in kept)]), torch.cat([none, *(c for _, c in kept)])) for kept in (pull, push)
    )
    return Pairs(anchors, search.order[near], others, search.order[far])
