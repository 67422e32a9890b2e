"""Batches of any size through an encoder that only a part of them fits: GradCache (Gao et al. 2021), in two passes.

A loss over all pairs needs all embeddings at once, but an encoder needs only its own rows. So the batch is embedded in
chunks without a graph, the loss gives the gradient of every embedding, and each chunk is embedded once more, with a
graph, to hand that gradient on. Memory is that of one chunk and of the embeddings; the price is one more forward pass,
about a third of the time. The gradient is that of the whole batch, to rounding.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.errors import LossInputError
from likewise.losses._checks import upcast
from likewise.losses._random import drawing_from, random_states

Inputs = Tensor | Mapping[str, Tensor] | Sequence[Tensor]
Encoder = Callable[..., Tensor | tuple[Tensor, ...]]
NoSync = Callable[..., contextlib.AbstractContextManager[object]]


class GradCache:
    """The loss of a batch whose chunks pass the encoder one after the other, and its gradient.

    Exactly one large batch for encoders that treat rows alone (layer, group and instance normalisation too). Dropout
    agrees between the passes: the states of torch's default generators are kept with each chunk. **Batch normalisation
    is not exact**: it normalises each chunk by itself and moves its running averages twice a step.

    With DistributedDataParallel the gradients are averaged over ranks once, in the last chunk. Parameters that the loss
    itself uses (proxies, a learned temperature) get their gradient in that same pass.

    Args:
        loss: any loss; called with the embeddings of all towers, then with what ``backward`` was given besides.
        chunk_size: rows that pass an encoder with a graph at once, > 0.
        no_sync: called with an encoder, gives the context in which its gradients stay on this rank
            (``fabric.no_backward_sync``); None: the encoder's own ``no_sync`` where it has one.
        backward: runs the backward pass of a scalar (``fabric.backward``); None: ``Tensor.backward``.

    Raises:
        LossInputError: chunk_size < 1.

    Example:
        >>> import torch
        >>> from likewise.losses import GradCache, supcon_loss
        >>> encoder, images, labels = torch.nn.Linear(8, 4), torch.randn(12, 8), torch.arange(12) % 3
        >>> value = GradCache(supcon_loss, chunk_size=5).backward([(encoder, images)], labels)
        >>> torch.allclose(value, supcon_loss(encoder(images), labels).detach()), encoder.weight.grad.shape
        (True, torch.Size([4, 8]))
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        chunk_size: int,
        no_sync: NoSync | None = None,
        backward: Callable[[Tensor], object] | None = None,
    ) -> None:
        if chunk_size < 1:
            raise LossInputError(
                f"chunk_size is {chunk_size}.",
                expected="Expected at least 1 row.",
                advice="Take the largest batch that the encoder can be trained with in the memory there is.",
            )
        self.loss, self.chunk_size = loss, chunk_size
        self._no_sync = _own_no_sync if no_sync is None else no_sync
        self._backward = Tensor.backward if backward is None else backward

    def backward(self, towers: Sequence[tuple[Encoder, Inputs]], *rest: object, **options: object) -> Tensor:
        """The loss of the whole batch; its gradient is added to ``.grad`` as ``loss.backward()`` does.

        Args:
            towers: (encoder, inputs) once for each argument of the loss that is made of embeddings; the same encoder
                may stand in several (two views). Inputs are a tensor, or a mapping (passed by name) or a sequence (by
                position) of tensors with equally many rows. An encoder returns one embedding per row, or a tuple of
                such tensors, which are then several arguments of the loss.
            *rest, **options: further arguments of the loss, such as labels.

        Returns:
            The value, a scalar without graph.

        Raises:
            LossInputError: no tower, inputs of different lengths, or an encoder that does not give one embedding per
                row.
        """
        if not towers:
            raise LossInputError(
                "towers is empty.", expected="Expected (encoder, inputs) pairs.", advice="Pass at least one."
            )
        chunks = [
            _Chunk(encoder, part, tower)
            for tower, (encoder, inputs) in enumerate(towers)
            for part in _split(inputs, self.chunk_size)
        ]
        leaves = _embed(chunks)
        with torch.enable_grad():
            value = self.loss(*leaves, *rest, **options)
        owned = _parameters_of(value, leaves)
        grads = torch.autograd.grad(value, [*leaves, *owned], materialize_grads=True)
        last = {id(chunk.encoder): chunk for chunk in chunks}
        for chunk in chunks:
            chunk.wanted = [g[chunk.rows] for g in grads[chunk.outputs]]
        for parameter, grad in zip(owned, grads[len(leaves) :], strict=True):
            _home(parameter, list(last.values())).extra.append((parameter, grad))
        for chunk in chunks:
            quiet = contextlib.nullcontext() if last[id(chunk.encoder)] is chunk else self._no_sync(chunk.encoder)
            with torch.enable_grad(), quiet:
                pairs = [*zip(chunk.run(), chunk.wanted, strict=True), *chunk.extra]
                # a scalar whose gradient by each embedding is the one wanted: what a loss scaler can work with
                parts = [(x * g).sum() for x, g in pairs if x.requires_grad]
                if parts:
                    self._backward(torch.stack([part.to(parts[0].dtype) for part in parts]).sum())
        return value.detach()


@dataclass(eq=False)
class _Chunk:
    """Some rows of one tower, the random states that they are embedded with, and the gradients to hand on."""

    encoder: Encoder
    inputs: Inputs
    tower: int
    rows: slice = field(init=False)  # among the rows of its tower
    outputs: slice = field(init=False)  # of its tower, among the arguments of the loss
    states: dict[str, Tensor] = field(default_factory=dict)
    wanted: list[Tensor] = field(default_factory=list)
    extra: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def run(self) -> tuple[Tensor, ...]:
        """The embeddings; the second time with the draws of the first."""
        inputs = _tensors(self.inputs)
        if not self.states:
            self.states = random_states(inputs)
            return self._call()
        with drawing_from(self.states, inputs):
            return self._call()

    def _call(self) -> tuple[Tensor, ...]:
        if isinstance(self.inputs, Tensor):
            made = self.encoder(self.inputs)
        elif isinstance(self.inputs, Mapping):
            made = self.encoder(**self.inputs)
        else:
            made = self.encoder(*self.inputs)
        parts = made if isinstance(made, tuple) else (made,)
        rows = _rows(self.inputs)
        for part in parts:
            if not isinstance(part, Tensor) or not part.is_floating_point() or part.shape[:1] != (rows,):
                got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
                raise LossInputError(
                    f"The encoder gave {got} for a chunk of {rows} row(s).",
                    expected="Expected one float embedding per row, or a tuple of such tensors.",
                    advice="Return several embeddings of one row as a tuple, not one below the other.",
                )
        return parts


def _embed(chunks: list[_Chunk]) -> list[Tensor]:
    """The first pass: the embeddings of each tower in one piece, as leaves."""
    leaves: list[Tensor] = []
    for _, group in itertools.groupby(chunks, key=lambda chunk: chunk.tower):
        made = []
        start = 0
        for chunk in (own := list(group)):
            with torch.no_grad():
                made.append(chunk.run())
            chunk.rows = slice(start, start + len(made[-1][0]))
            start = chunk.rows.stop
        # in half precision the gradient of one embedding of many would be zero, or out of range where a scaler multiplies it
        whole = [upcast(torch.cat(parts)).requires_grad_() for parts in zip(*made, strict=True)]
        for chunk in own:
            chunk.outputs = slice(len(leaves), len(leaves) + len(whole))
        leaves += whole
    # what autocast has cast without a graph must not be used again where a graph is wanted
    torch.clear_autocast_cache()
    return leaves


def _own_no_sync(encoder: Encoder) -> contextlib.AbstractContextManager[object]:
    own = getattr(encoder, "no_sync", None)
    context: contextlib.AbstractContextManager[object] = contextlib.nullcontext() if own is None else own()
    return context


def _tensors(inputs: Inputs) -> list[Tensor]:
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values() if isinstance(inputs, Mapping) else inputs)


def _rows(inputs: Inputs) -> int:
    lengths = {len(t) for t in _tensors(inputs)}
    if len(lengths) != 1:
        raise LossInputError(
            f"A tower's inputs have {sorted(lengths)} rows.",
            expected="Expected at least one tensor, and the same number of rows in all.",
            advice="Pass what is not per row by a function around the encoder.",
        )
    return lengths.pop()


def _split(inputs: Inputs, size: int) -> Iterator[Inputs]:
    """Chunks of the same structure; one empty chunk where there is no row, so that every rank runs its encoder."""
    for start in range(0, max(_rows(inputs), 1), size):
        part = slice(start, start + size)
        if isinstance(inputs, Tensor):
            yield inputs[part]
        elif isinstance(inputs, Mapping):
            yield {name: t[part] for name, t in inputs.items()}
        else:
            yield tuple(t[part] for t in inputs)


def _parameters_of(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """The leaves of the graph of ``value`` besides the embeddings: what the loss itself learns."""
    known = {id(leaf) for leaf in leaves}
    found: list[Tensor] = []
    seen = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor) and id(variable) not in known:
            known.add(id(variable))
            found.append(variable)
        waiting.extend(after for after, _ in node.next_functions)
    return found


def _home(parameter: Tensor, last: list[_Chunk]) -> _Chunk:
    """The chunk in which a parameter of the loss gets its gradient: the last one of the module that averages it."""
    for chunk in last:
        if isinstance(chunk.encoder, nn.Module) and any(p is parameter for p in chunk.encoder.parameters()):
            return chunk
    return last[-1]
