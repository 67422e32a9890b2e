"""Batched views agree with one image at a time, come from their generator alone, and give every image its own draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from pydantic import ValidationError
from tests.data.views.per_image import one_view

from likewise.data.draws import Draws
from likewise.data.views import ViewDraws, ViewOptions, chain, draw_views, make_views
from likewise.data.views.blur import blur
from likewise.data.views.color import brighten, saturate, solarize, stretch_contrast
from likewise.errors import DatasetError

ALL = {"rotation": 40.0, "shift": 3, "solarize": 0.5, "cutout": 0.4, "grayscale": 0.4}
STILL = {"crop": None, "flip": 0.0, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0}


def pictures(count: int, channels: int = 3, height: int = 12, width: int = 12, seed: int = 0) -> torch.Tensor:
    """Smooth random images: neighbouring pixels have to do with each other, all values occur."""
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=draws) * 400 - 70
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return (fine + 30 * torch.rand(fine.shape, generator=draws)).clamp(0, 255).to(torch.uint8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("simclr", ViewOptions()),
        ("byol", ViewOptions.byol(second=True)),
        ("everything", ViewOptions(**ALL)),
        ("reduced", ViewOptions(size=5)),
        ("enlarged", ViewOptions(size=31, crop=(0.05, 0.14), blur=1.0)),
        ("whole image reduced", ViewOptions(crop=None, size=7, shift=2)),
        ("mirror and shift", ViewOptions(**STILL | {"flip": 0.5, "shift": 4})),
        ("turned only", ViewOptions(**STILL | {"rotation": 180.0})),
        ("long kernel", ViewOptions(**STILL | {"blur": 1.0, "blur_kernel": 23})),
        ("strong jitter", ViewOptions(crop=None, jitter=1.0, brightness=3, contrast=3, saturation=3, hue=0.5)),
    ],
)
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 12, 12), (1, 13, 10), (3, 9, 17)])
def test_each_view_is_that_of_its_image_alone(
    name: str, options: ViewOptions, channels: int, height: int, width: int
) -> None:
    images = pictures(20, channels, height, width)
    draws = ViewDraws.draw(40, options, (height, width), seeded())
    views = make_views(images, draws, options)
    for row in range(40):
        alone = one_view(images[row % 20].numpy().astype(np.float64), draws, row, options)
        np.testing.assert_allclose(views[row].numpy(), alone, atol=0.02, err_msg=f"{name}, view {row}")


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_colour_is_pillows_within_rounding(factor: float) -> None:
    [image] = pictures(1)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy())
    for step, enhance in (
        (brighten, ImageEnhance.Brightness),
        (stretch_contrast, ImageEnhance.Contrast),
        (saturate, ImageEnhance.Color),
    ):
        ours = image[None].float()
        step(ours, torch.full((1, 1, 1, 1), factor))
        theirs = np.asarray(enhance(pillow).enhance(factor), np.float32).transpose(2, 0, 1)
        assert np.abs(ours[0].numpy() - theirs).max() <= 1.5, enhance.__name__
    inverted = np.asarray(ImageOps.solarize(pillow)).transpose(2, 0, 1)
    ours = torch.stack([image, image]).float()
    solarize(ours, torch.tensor([True, False]))
    assert np.array_equal(ours[0].numpy(), inverted)
    assert torch.equal(ours[1], image.float())


def test_no_weight_of_a_blur_is_subnormal() -> None:
    # For these the processor leaves its fast path: pixel 4 of a deviation of 0.29 weighs 5e-42 by the formula.
    impulse = torch.zeros(20, 1, 9, 9)
    impulse[:, :, 4, 4] = 1
    weights = blur(impulse, torch.linspace(0.1, 0.5, 20), 9)
    assert not ((weights > 0) & (weights < torch.finfo(torch.float32).tiny)).any()
    torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), torch.ones(20))


def test_turning_is_pillows_inside_of_the_image() -> None:
    images = pictures(8, 1, 21, 21)
    options = ViewOptions(**STILL | {"rotation": 30.0})
    draws = ViewDraws.draw(8, options, (21, 21), seeded())
    views = make_views(images, draws, options)
    for image, view, angle in zip(images, views, draws.angle.rad2deg().tolist(), strict=True):
        turned = Image.fromarray(image[0].numpy()).rotate(angle, Image.Resampling.BILINEAR)
        middle = slice(5, 16)
        assert np.abs(view[0].numpy() - np.asarray(turned, np.float32))[middle, middle].max() <= 1


def test_the_generator_alone_decides() -> None:
    images = pictures(6)
    torch.manual_seed(1)
    first = draw_views(images, [ViewOptions(**ALL)] * 2, seeded(3))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = draw_views(images, [ViewOptions(**ALL)] * 2, seeded(3))
    other = draw_views(images, [ViewOptions(**ALL)] * 2, seeded(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_every_image_has_its_own_draw() -> None:
    images = pictures(1).expand(200, -1, -1, -1)
    [views] = draw_views(images, [ViewOptions()], seeded())
    assert len({view.numpy().tobytes() for view in views}) == 200


def test_draws_are_as_often_and_as_far_as_asked() -> None:
    options = ViewOptions(rotation=30, shift=2, solarize=0.3, size=20)
    draws = ViewDraws.draw(4000, options, (40, 30), seeded())
    share = draws.height * draws.width / 1200
    # Whole pixels: the area is met up to half a pixel at each side.
    assert share.min() > 0.08 - 0.02
    assert share.max() <= 1
    assert 0.4 < share.mean() < 0.54  # large crops of the wrong shape do not fit
    assert (draws.top + draws.height).max() <= 40
    assert (draws.left + draws.width).max() <= 30
    for flag, probability in (
        (draws.flipped > 0, 0.5),
        (draws.order < 24, 0.8),
        (draws.grey > 0, 0.2),
        (draws.sigma > 0, 0.5),
        (draws.solarized > 0, 0.3),
    ):
        assert flag.float().mean().item() == pytest.approx(probability, abs=0.04)
    assert len(draws.order.unique()) == 25
    for factor, low, high in (
        (draws.brightness, 0.2, 1.8),
        (draws.hue, -0.2, 0.2),
        (draws.angle.rad2deg(), -30, 30),
        (draws.down, -2, 2),
        (draws.sigma[draws.sigma > 0], 0.1, 2.0),
    ):
        assert factor.min() == pytest.approx(low, abs=0.02 * (high - low))
        assert factor.max() == pytest.approx(high, abs=0.02 * (high - low))


def test_a_crop_that_never_fits_is_the_largest_central_one() -> None:
    draws = ViewDraws.draw(3, ViewOptions(crop=(1.0, 1.0), aspect=(1.0, 1.0)), (10, 30), seeded())
    assert draws.numbers[:4].T.tolist() == [[0, 10, 10, 10]] * 3


def test_switching_one_part_off_leaves_the_others() -> None:
    every = ViewDraws.draw(50, ViewOptions(**ALL), (12, 12), seeded())
    fewer = ViewDraws.draw(50, ViewOptions(**ALL | {"rotation": 0.0, "blur": 0.0}), (12, 12), seeded())
    changed = {"angle", "sigma"}
    for name in ViewDraws.names:
        assert torch.equal(getattr(every, name), getattr(fewer, name)) == (name not in changed), name


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(30)
    whole = draw_views(images, [ViewOptions(**ALL)], seeded())[0]
    monkeypatch.setattr(chain, "CHUNK", 1)
    torch.testing.assert_close(draw_views(images, [ViewOptions(**ALL)], seeded())[0], whole, atol=1e-3, rtol=0)


def test_several_sizes_in_one_call() -> None:
    images = pictures(5, height=24, width=24)
    large, small = ViewOptions(crop=(0.4, 1.0)), ViewOptions(crop=(0.05, 0.4), size=10)
    views = draw_views(images, [large, large, small, small, small], seeded())
    assert [tuple(view.shape) for view in views] == [(5, 3, 24, 24)] * 2 + [(5, 3, 10, 10)] * 3
    assert torch.equal(draw_views(images, [large, large], seeded())[1], views[1])


def test_a_part_of_a_shared_batch_gets_the_views_of_the_whole() -> None:
    images, here = pictures(6), torch.tensor([1, 4])
    whole = draw_views(images, [ViewOptions()] * 2, seeded())
    part = draw_views(images[here], [ViewOptions()] * 2, Draws(seeded(), here, total=6))
    for one, other in zip(whole, part, strict=True):
        torch.testing.assert_close(one[here], other, atol=1e-3, rtol=0)


@pytest.mark.parametrize("count", [0, 1])
def test_few_images(count: int) -> None:
    assert draw_views(pictures(4)[:count], [ViewOptions(**ALL)], seeded())[0].shape == (count, 3, 12, 12)


def test_images_stay_as_they_are_and_precision_is_full() -> None:
    images = pictures(6).float()
    before = images.clone()
    plain = draw_views(images, [ViewOptions(**STILL | {"jitter": 1.0, "blur": 1.0})], seeded())[0]
    assert torch.equal(images, before)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = draw_views(images, [ViewOptions(**STILL | {"jitter": 1.0, "blur": 1.0})], seeded())[0]
    assert torch.equal(mixed, plain)
    assert plain.dtype == torch.float32


def test_what_cannot_be_augmented_is_named() -> None:
    with pytest.raises(DatasetError, match=r"shape \(2, 4, 8, 8\).*C = 1 \(grey\) or 3"):
        draw_views(torch.zeros(2, 4, 8, 8), [ViewOptions()], seeded())
    with pytest.raises(DatasetError, match=r"up to 12 pixels.*12×12"):
        draw_views(pictures(2), [ViewOptions(shift=12)], seeded())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": (0.5, 0.2)}, "0 < smallest <= largest <= 1"),
        ({"aspect": (0.0, 1.0)}, "width over height"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma"),
        ({"blur_kernel": 4}, "odd"),
        ({"hue": 0.7}, "hue"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ViewOptions(**values)  # type: ignore[arg-type]
