"""From an uploaded file to pixels: image formats only, its size read from its header before anything is decoded."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from likewise.data.decode import DecompressionBombError, UnreadableImageError, decode, read_header
from likewise.errors import ServeError
from likewise.models import InputSpec

__all__ = ["pixels_of"]

# Pillow also opens PostScript, by starting Ghostscript, and many formats that nobody has looked at for years.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def pixels_of(file: BinaryIO, name: str, input: InputSpec, most: int) -> NDArray[np.uint8]:
    """The pixels (C, H, W) of an uploaded image, as the model takes them.

    Args:
        file: as it was uploaded.
        name: for messages.
        input: of the model.
        most: pixels that an image may have.

    Raises:
        ServeError: (413) it has more pixels; (400) it is no image, or damaged.
    """
    Image.init()
    formats = [known for known in _FORMATS if known in Image.OPEN]
    data = file.read()
    try:
        header = read_header(data, formats)
        if header.width * header.height > most:
            raise ServeError(
                f"{name} has {header.width:,} × {header.height:,} pixels.",
                expected=f"Expected at most {most:,}.",
                advice=f"Make it smaller: the model looks at {input.width} × {input.height} pixels of it anyway.",
                status=413,
            )
        return decode(data, input.channels, input.height, input.width, formats)
    except UnreadableImageError as error:
        raise ServeError(
            f"{name} is {error}.",
            expected=f"Expected an image: {', '.join(formats)}.",
            advice="Save it anew as JPEG or PNG.",
            status=413 if isinstance(error, DecompressionBombError) else 400,
        ) from error
