"""Augmentation of a whole batch at once, each image its own draw, from the generator given."""

from likewise.data.views.chain import draw_views, make_views
from likewise.data.views.draws import ViewDraws
from likewise.data.views.options import ViewOptions
from likewise.data.views.shift import flip_and_shift

__all__ = ["ViewDraws", "ViewOptions", "draw_views", "flip_and_shift", "make_views"]
