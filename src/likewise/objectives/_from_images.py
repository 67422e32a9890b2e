"""What all objectives share that make their task from the images themselves: views, or something to be predicted."""

from __future__ import annotations

from likewise.objectives._objective import ObjectiveOptions

__all__ = ["FromImagesOptions"]


class FromImagesOptions(ObjectiveOptions):
    """Options of an objective that makes its task from the images, without labels."""

    @property
    def needs_labels(self) -> bool:
        """It learns without labels."""
        return False

    @property
    def sees_images(self) -> bool:
        """It makes its task from the images."""
        return True

    @property
    def any_size(self) -> bool:
        """What it predicts is laid out for images of one size."""
        return False
