"""Views of a whole batch: several of each image at once, each with its own draw, from one generator.

All random numbers are drawn first. The views are then made a chunk at a time, so that the dozens of passes that a chain
takes over its pixels run in the processor's cache; inside a chunk, views whose colour jitter has the same order lie side by
side and are worked on together. No image has a Python loop of its own. A GPU takes all views as one chunk.

`benchmarks/views.py` measures it against kornia and albumentations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from likewise.data.draws import Draws
from likewise.data.views.blur import blur, default_kernel
from likewise.data.views.color import grey_of, jitter, solarize
from likewise.data.views.cutout import cut_out
from likewise.data.views.draws import ViewDraws
from likewise.data.views.geometry import resample
from likewise.data.views.options import ViewOptions
from likewise.data.views.shift import move
from likewise.errors import DatasetError
from likewise.models.device import to_device

__all__ = ["draw_views", "make_views"]

# Values in a chunk on a CPU, for each thread: 4 MiB in float32. Half of it lies better in the cache and loses more than that by
# twice as many calls; measured at 32 and at 96 pixels.
CHUNK = 2**20


def draw_views(images: Tensor, options: Sequence[ViewOptions], generator: torch.Generator | Draws) -> list[Tensor]:
    """One view of every image for each of ``options``.

    Args:
        images: (B, C, H, W), uint8 or float in 0 … 255; C 1 or 3.
        options: what each view may look like; equal ones that follow each other are made in one pass.
        generator: CPU generator, or ``Draws`` of a batch that several processes share; the same state gives the same views
            on every device.

    Returns:
        For each of ``options`` (B, C, h, w) float32 in 0 … 255, on the device of the images, without gradient.

    Raises:
        DatasetError: the images have another shape.

    Example:
        >>> images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
        >>> first, second = draw_views(images, [ViewOptions()] * 2, torch.Generator().manual_seed(0))
        >>> first.shape, second.dtype
        (torch.Size([8, 3, 32, 32]), torch.float32)
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DatasetError(
            f"Images to augment have shape {tuple(images.shape)}.",
            expected="Expected (B, C, H, W) with C = 1 (grey) or 3 (red, green, blue).",
            advice="Move the channels before height and width, and add a batch axis for one image.",
        )
    shift = max((chosen.shift for chosen in options), default=0)
    if shift >= min(images.shape[2:]):
        raise DatasetError(
            f"Images are to be shifted by up to {shift} pixels and have {images.shape[2]}×{images.shape[3]}.",
            expected="Expected a shift below both sides.",
            advice="Lower shift.",
        )
    views: list[Tensor] = []
    for chosen, equal in groupby(options):
        count = len(list(equal))
        draws = ViewDraws.draw(len(images), chosen, (images.shape[2], images.shape[3]), generator, views=count)
        views.extend(make_views(images, draws, chosen).chunk(count))
    return views


@torch.no_grad()
def make_views(images: Tensor, draws: ViewDraws, options: ViewOptions) -> Tensor:
    """The views that ``draws`` describes: the first B of the images in their order, the next B of them again, and so on.

    Args:
        images: (B, C, H, W), uint8 or float in 0 … 255.
        draws: of a multiple of B views.
        options: that they were drawn with.

    Returns:
        (len(draws), C, h, w) float32.
    """
    batch, channels, height, width = images.shape
    size = (options.size or height, options.size or width)
    views = torch.empty(len(draws), channels, *size, device=images.device)
    plan = draws.order.argsort(stable=True)
    per_chunk = max(1, CHUNK * torch.get_num_threads() // (channels * max(height * width, size[0] * size[1])))
    chunks = plan.split(per_chunk if images.device.type == "cpu" else max(1, len(plan)))
    with torch.autocast(images.device.type, enabled=False):
        for which in chunks if batch else ():
            source = images.index_select(0, to_device(which % batch, images.device))
            made, moved = _chunk(source, draws.take(which), options)
            views.index_copy_(0, to_device(which[moved], images.device), made)
    return views


def _chunk(images: Tensor, drawn: ViewDraws, options: ViewOptions) -> tuple[Tensor, Tensor]:
    """Views of ``images``, one for each, in an order of their own, and that order.

    Args:
        images: (V, C, H, W).
        drawn: of V views, on the CPU, sorted by the order of their jitter.
        options: that they were drawn with.
    """
    size = (options.size or images.shape[2], options.size or images.shape[3])
    draws = drawn.to(images.device)
    mirror_only = options.crop is None and options.size is None and options.rotation == 0
    if options.shift or (mirror_only and options.flip):
        right, mirrored = draws.right.long(), (draws.flipped > 0) & mirror_only
        # `move` mirrors before it shifts, a view is mirrored last.
        images = move(images, draws.down.long(), torch.where(mirrored, -right, right), mirrored)
    views = images.to(torch.float32).contiguous()
    if not mirror_only:
        reduced = bool((drawn.height > size[0]).any() or (drawn.width > size[1]).any())
        views = resample(views, draws, size, turned=options.rotation > 0, reduced=reduced)
    if options.jitter:
        jitter(views, draws, drawn.order.long().tolist(), options)
    # Side by side: plain, blurred, blurred and grey, grey. A slice costs nothing, a choice of rows is a copy.
    blurred, grey = drawn.sigma > 0, (drawn.grey > 0) & (views.shape[1] == 3)
    kinds = torch.where(grey, 3 - blurred.long(), blurred.long())
    moved = kinds.argsort(stable=True)
    on_device = to_device(moved, views.device)
    views, draws = views.index_select(0, on_device), draws.take(on_device)
    plain, first_grey, sharp = torch.searchsorted(kinds[moved], torch.tensor([1, 2, 3])).tolist()
    if first_grey < len(views):
        views[first_grey:] = grey_of(views[first_grey:])
    if plain < sharp:
        kernel = options.blur_kernel or default_kernel(size[0])
        views[plain:sharp] = blur(views[plain:sharp], draws.sigma[plain:sharp], kernel)
    if options.solarize:
        solarize(views, draws.solarized)
    if options.cutout:
        cut_out(views, draws.cut_row, draws.cut_column, round(options.cutout * size[0]))
    return views, moved
