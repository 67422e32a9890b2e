from __future__ import annotations

import contextlib
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from likewise.data.decode import MAX_PIXELS, UnreadableImageError, decode, quiet_pillow, read_header

from .files import encoded, photograph, pixels


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it has this size, and holds no pixels: 60 bytes are enough to claim gigapixels."""
    content = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", content) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_lossless_pixels_come_back_exactly() -> None:
    for channels in (1, 3):
        image = pixels(1, channels, 16)[0]
        assert np.array_equal(decode(encoded(image), channels, 16, 16), image)
        assert np.array_equal(decode(encoded(image, "webp", lossless=True), channels, 16, 16)[:channels], image)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(orientation: int, turn: int) -> None:
    image = pixels(1, 3, 8)[0][:, :, :6]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    upright = np.rot90(image, turn, (1, 2))
    header = read_header(data)
    assert (header.height, header.width) == upright.shape[1:]
    assert np.array_equal(decode(data, 3, *upright.shape[1:]), upright)


def test_one_bit_grey_16_bit_palette_and_transparency() -> None:
    ink = np.array([[0, 255], [255, 0]], np.uint8)
    one_bit = Image.fromarray(ink).convert("1")
    assert decode(encoded(one_bit), 1, 2, 2)[0].tolist() == ink.tolist()
    assert read_header(encoded(one_bit)).grey
    deep = Image.fromarray(np.array([[0, 256], [32768, 65535]], np.uint16))
    assert decode(encoded(deep), 1, 2, 2)[0].tolist() == [[0, 1], [128, 255]]
    palette = photograph(8, 8).quantize(16)
    assert decode(encoded(palette), 3, 8, 8).shape == (3, 8, 8)
    assert not read_header(encoded(palette)).grey
    clear = np.zeros((2, 2, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    shown = decode(encoded(Image.fromarray(clear)), 3, 2, 2)
    assert shown[:, 0, 0].tolist() == [10, 20, 30]
    assert shown[:, 1, 1].tolist() == [255, 255, 255]


def test_the_shorter_side_is_resized_and_the_centre_cut_out() -> None:
    # Three vertical stripes on 30 x 10: the centre square is the middle stripe.
    stripes = np.zeros((3, 10, 30), np.uint8)
    stripes[0, :, :10], stripes[1, :, 10:20], stripes[2, :, 20:] = 200, 150, 100
    centre = decode(encoded(stripes), 3, 10, 10)
    assert centre[1].min() == 150
    assert centre[[0, 2]].max() == 0
    smaller = decode(encoded(stripes), 3, 5, 5)
    assert smaller.shape == (3, 5, 5)
    assert smaller[1, :, 1:4].min() == 150
    larger = decode(encoded(stripes), 3, 20, 20)
    assert larger[1, :, 2:18].min() == 150


def test_a_large_jpeg_decoded_at_reduced_size_looks_the_same() -> None:
    large = photograph(800, 800)
    expected = np.asarray(large.resize((50, 50), Image.Resampling.BOX), np.int16).transpose(2, 0, 1)
    assert np.abs(decode(encoded(large, "jpeg", quality=95), 3, 50, 50).astype(np.int16) - expected).mean() < 3


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "bmp"])
def test_a_truncated_image_is_named_with_its_length(kind: str) -> None:
    data = encoded(photograph(200, 200), kind)
    cut = data[: len(data) * 2 // 3]
    with pytest.raises(UnreadableImageError, match=rf"not a readable image \(truncated after {len(cut):,} bytes\)"):
        decode(cut, 3, 32, 32)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"hello, I am a text file", b"\xff\xd8\xff\xe0", b"\0" * 5000])
def test_what_is_no_image_is_named(data: bytes) -> None:
    for read in (read_header, lambda data: decode(data, 3, 8, 8)):
        with pytest.raises(UnreadableImageError, match=r"not a readable image|zero-sized"):
            read(data)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    with quiet_pillow():
        for width, height in ((11_000, 10_000), (200_000, 200_000), (2, MAX_PIXELS)):
            with pytest.raises(UnreadableImageError, match="a decompression bomb"):
                read_header(png_header(width, height))
        assert read_header(png_header(9_900, 10_000)).width == 9_900


def test_a_zero_sized_image_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match=r"zero-sized \(0 × 7 pixels\)|not a readable image"):
        read_header(png_header(0, 7))
    tga = bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24, 0])
    with pytest.raises(UnreadableImageError):
        decode(tga, 3, 8, 8)


def test_floating_point_pixels_are_refused() -> None:
    image = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    with pytest.raises(UnreadableImageError, match="floating-point"):
        decode(encoded(image, "tiff"), 1, 4, 4)


def test_random_damage_never_escapes_as_another_error() -> None:
    generator = np.random.default_rng(0)
    with quiet_pillow():
        for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff"):
            whole = encoded(photograph(40, 40), kind)
            for _ in range(40):
                data = bytearray(whole[: generator.integers(8, len(whole))] if generator.random() < 0.3 else whole)
                for position in generator.integers(0, len(data), 6):
                    data[position] = generator.integers(256)
                with contextlib.suppress(UnreadableImageError):
                    assert decode(bytes(data), 3, 16, 16).shape == (3, 16, 16)


def test_quiet_pillow_leaves_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    with quiet_pillow():
        assert warnings.filters != before
    assert warnings.filters == before
