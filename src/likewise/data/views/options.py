"""What a view of an image may look like: one checked record of everything that is drawn."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ViewOptions"]

Range = tuple[float, float]


class ViewOptions(BaseModel):
    """Random augmentation of an image, in this order; the defaults are SimCLR's chain for ImageNet (Chen et al. 2020, app. A).

    Every part has its own draw for every image. A part that is off (``None``, 0) costs nothing, and leaves the draws of
    all others as they are.

    Attributes:
        shift: move by up to so many pixels in both directions, edges reflected.
        rotation: turn about the centre by up to so many degrees, edges reflected.
        crop: smallest and largest share of the area of a random crop, resized to the size of the view; ``None``: whole
            image.
        aspect: smallest and largest width over height of the crop, drawn on a logarithmic scale.
        size: side of the view in pixels; ``None``: height and width of the image. Reducing averages (antialiasing),
            except where the image is turned.
        flip: probability of a mirror image, left to right.
        jitter: probability of the colour jitter; its four parts act in random order, values cut to 0 … 255 after each.
        brightness: all values times a factor from [1 - b, 1 + b] (not below 0).
        contrast: distance from the mean grey of the image, times such a factor.
        saturation: distance of each pixel from its own grey, times such a factor.
        hue: largest turn of the colour circle in both directions; 0.5 is half of it.
        grayscale: probability of a grey image.
        blur: probability of a Gaussian blur.
        blur_sigma: smallest and largest standard deviation of the blur in pixels.
        blur_kernel: side of the kernel in pixels, odd; ``None``: a tenth of the side of the view, made odd, at least 3.
        solarize: probability that values from 128 on are inverted.
        cutout: side of a square that is painted over with the mean colour of the image, as a share of the side of the
            view; its centre may lie anywhere in the view. 0: none.

    Example:
        >>> ViewOptions.simclr(0.5, blur=0.0).brightness
        0.4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: int = Field(default=0, ge=0)
    rotation: float = Field(default=0.0, ge=0, le=180)
    crop: Range | None = (0.08, 1.0)
    aspect: Range = (3 / 4, 4 / 3)
    size: int | None = Field(default=None, ge=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.8, ge=0, le=1)
    brightness: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    contrast: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    saturation: float = Field(default=0.8, ge=0, allow_inf_nan=False)
    hue: float = Field(default=0.2, ge=0, le=0.5)
    grayscale: float = Field(default=0.2, ge=0, le=1)
    blur: float = Field(default=0.5, ge=0, le=1)
    blur_sigma: Range = (0.1, 2.0)
    blur_kernel: int | None = Field(default=None, ge=3)
    solarize: float = Field(default=0.0, ge=0, le=1)
    cutout: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.crop and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"crop is {self.crop}; expected two shares of the area, 0 < smallest <= largest <= 1")
        if not 0 < self.aspect[0] <= self.aspect[1] < float("inf"):
            raise ValueError(f"aspect is {self.aspect}; expected width over height, 0 < smallest <= largest")
        if not 0 < self.blur_sigma[0] <= self.blur_sigma[1] < float("inf"):
            raise ValueError(f"blur_sigma is {self.blur_sigma}; expected pixels, 0 < smallest <= largest")
        if self.blur_kernel is not None and self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel is {self.blur_kernel}; expected an odd number of pixels, such as 3 or 9")
        return self

    @classmethod
    def simclr(cls, strength: float = 1.0, *, blur: float = 0.5, crop: Range = (0.08, 1.0)) -> Self:
        """SimCLR's chain; ``strength`` scales the colour jitter (ImageNet 1, CIFAR-10 ½ and no blur)."""
        part = 0.8 * strength
        return cls(crop=crop, brightness=part, contrast=part, saturation=part, hue=0.2 * strength, blur=blur)

    @classmethod
    def byol(cls, *, second: bool = False, crop: Range = (0.08, 1.0)) -> Self:
        """BYOL's chain (Grill et al. 2020, table 6), also that of Barlow Twins, VICReg and MoCo v3.

        The first view is always blurred; the ``second`` with probability 0.1, and solarized with 0.2.
        """
        return cls(
            crop=crop,
            brightness=0.4,
            contrast=0.4,
            saturation=0.2,
            hue=0.1,
            blur=0.1 if second else 1.0,
            solarize=0.2 if second else 0.0,
        )

    @classmethod
    def moco(cls) -> Self:
        """The chain of MoCo v2 (Chen et al. 2020b) and SimSiam: crops from a fifth of the area on, a milder jitter."""
        return cls(crop=(0.2, 1.0), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
