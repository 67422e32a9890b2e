"""Modules around a loss: earlier batches as further columns, several widths at once, and sums of losses.

Each takes a loss module (or any callable) and is called with the tensors that the loss takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._checks import check_embeddings, check_labels, check_positive
from likewise.losses._gather import Group, gather

Loss = Callable[..., Tensor]


class CrossBatchMemory(nn.Module):
    """A label loss with the embeddings of earlier batches as further columns (XBM, Wang et al. 2020).

    After each training call the batch of all ranks enters the memory in rank order and the oldest rows leave it, so
    every rank holds the same rows in the same order. The batch itself is not in the memory that its own loss sees.
    In ``eval`` mode the memory is neither used nor filled. The memory is part of the state dict.

    Args:
        loss: a label loss that takes ``memory=``, and ``group=`` where a group is given.
        size: rows to keep, > 0.
        embedding_dim: D.
        group: ranks that hold the rest of the batch; None: this process alone. One given in a call counts for that call.

    Raises:
        LossInputError: size < 1, or embeddings of another width.

    Example:
        >>> import torch
        >>> from likewise.losses import CrossBatchMemory, multi_similarity_loss
        >>> remember = CrossBatchMemory(multi_similarity_loss, size=6, embedding_dim=2)
        >>> for step in range(2):
        ...     loss = remember(torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1]))
        >>> len(remember)
        6
    """

    embeddings: Tensor
    labels: Tensor
    filled: Tensor

    def __init__(self, loss: Loss, size: int, embedding_dim: int, *, group: Group = None) -> None:
        super().__init__()
        if size < 1:
            raise LossInputError(
                f"size is {size}.", expected="Expected at least 1 row.", advice="Some ten batches are a usual size."
            )
        self.loss, self.size, self.group = loss, size, group
        self.register_buffer("embeddings", torch.zeros(size, embedding_dim))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._rows: int | None = 0

    def __len__(self) -> int:
        if self._rows is None:
            self._rows = int(self.filled)
        return self._rows

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._rows = None

    def forward(self, embeddings: Tensor, labels: Tensor, *, group: Group = None) -> Tensor:
        """The loss of the batch against itself and the memory; then the batch enters the memory."""
        group = self.group if group is None else group
        options: dict[str, object] = {} if group is None else {"group": group}
        rows = len(self)
        if self.training and rows:
            options["memory"] = (self.embeddings[-rows:], self.labels[-rows:])
        value = self.loss(embeddings, labels, **options)
        if self.training:
            self._enter(embeddings, labels, group)
        return value

    @torch.no_grad()
    def _enter(self, embeddings: Tensor, labels: Tensor, group: Group) -> None:
        x = check_embeddings("embeddings", embeddings.detach(), min_rows=0)
        if x.shape[1] != self.embeddings.shape[1]:
            raise LossInputError(
                f"embeddings has width {x.shape[1]} and the memory {self.embeddings.shape[1]}.",
                expected="Expected the same width.",
                advice="Make the memory with embedding_dim equal to the model's.",
            )
        new, _ = gather(x.to(self.embeddings.dtype), group)
        new_labels, _ = gather(check_labels(labels, len(x)), group)
        # the newest rows stand last; what does not fit falls off the front
        self.embeddings.copy_(torch.cat([self.embeddings, new])[-self.size :])
        self.labels.copy_(torch.cat([self.labels, new_labels])[-self.size :])
        self._rows = min(self.size, len(self) + len(new))
        self.filled.fill_(self._rows)


class MatryoshkaLoss(nn.Module):
    """A loss on the first d dimensions of its embeddings, summed over several d (Kusupati et al. 2022).

    sum_d w_d L(embeddings[:, :d]): each prefix of the embedding is then an embedding by itself. Every float matrix
    among the arguments is cut, labels stay as they are.

    Args:
        loss: a loss of embeddings without parameters of its own.
        widths: the prefixes, each from 1 to D.
        weights: one number > 0 per width; None: all 1.

    Raises:
        LossInputError: no width, a width above D, or another number of weights.

    Example:
        >>> import torch
        >>> from likewise.losses import MatryoshkaLoss, alignment
        >>> u, v = torch.zeros(1, 4), torch.ones(1, 4)
        >>> float(MatryoshkaLoss(alignment, widths=(1, 4))(u, v))   # 1 + 4
        5.0
    """

    def __init__(self, loss: Loss, widths: Sequence[int], *, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss, self.widths = loss, tuple(widths)
        self.weights = tuple(weights) if weights is not None else (1.0,) * len(self.widths)
        if not self.widths or min(self.widths) < 1 or len(self.weights) != len(self.widths):
            raise LossInputError(
                f"widths are {self.widths} with {len(self.weights)} weight(s).",
                expected="Expected at least one width, each 1 or above, and as many weights.",
                advice="For 128 dimensions take for example (16, 32, 64, 128).",
            )
        for weight in self.weights:
            check_positive("weights", weight)

    def forward(self, *tensors: Tensor, **options: object) -> Tensor:
        """The weighted sum over widths."""
        width = min(t.shape[1] for t in tensors if _is_matrix(t))
        if max(self.widths) > width:
            raise LossInputError(
                f"embeddings has width {width}.",
                expected=f"Expected at least the largest of widths, {max(self.widths)}.",
                advice="Leave out the widths that the model does not have.",
            )
        parts = [
            weight * self.loss(*(t[:, :d] if _is_matrix(t) else t for t in tensors), **options)
            for d, weight in zip(self.widths, self.weights, strict=True)
        ]
        return torch.stack(parts).sum()


def _is_matrix(x: Tensor) -> bool:
    return x.is_floating_point() and x.dim() == 2


class WeightedSum(nn.Module):
    """Several losses of the same arguments, each times its weight.

    Args:
        losses: name -> (weight, loss); parameters of loss modules are parameters of the sum.

    Raises:
        LossInputError: no loss.

    Example:
        >>> import torch
        >>> from likewise.losses import WeightedSum, alignment, nt_xent_loss
        >>> total = WeightedSum({"contrast": (1.0, nt_xent_loss), "pull": (0.5, alignment)})
        >>> u = torch.eye(2)
        >>> parts = total.parts(u, u)
        >>> float(total(u, u)) == float(parts["contrast"] + 0.5 * parts["pull"])
        True
    """

    def __init__(self, losses: Mapping[str, tuple[float, Loss]]) -> None:
        super().__init__()
        if not losses:
            raise LossInputError("No loss was given.", expected="Expected name -> (weight, loss).", advice="Add one.")
        self.terms = dict(losses)
        self.owned = nn.ModuleDict({k: f for k, (_, f) in losses.items() if isinstance(f, nn.Module)})

    def parts(self, *tensors: Tensor, **options: object) -> dict[str, Tensor]:
        """Each loss without its weight."""
        return {name: loss(*tensors, **options) for name, (_, loss) in self.terms.items()}

    def forward(self, *tensors: Tensor, **options: object) -> Tensor:
        """The weighted sum."""
        values = self.parts(*tensors, **options)
        return torch.stack([self.terms[name][0] * value for name, value in values.items()]).sum()
