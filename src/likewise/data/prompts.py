"""Class names as sentences: captions for a set that has labels, and prompts for zero-shot classification."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from likewise.data.dataset import ImageDataset
from likewise.errors import DatasetError

__all__ = ["caption_by_class", "class_prompts"]


def class_prompts(class_names: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """One list of sentences a class: each template with the class's name in the place of ``{}``.

    Underscores in a name count as spaces.

    Raises:
        DatasetError: a template without ``{}``, or none at all.

    Example:
        >>> class_prompts(["hot_dog"], ["a photo of a {}.", "a drawing of a {}."])
        [['a photo of a hot dog.', 'a drawing of a hot dog.']]
    """
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates:
        raise DatasetError(
            f"The template {wrong[0]!r} has no single place for the class name."
            if wrong
            else "There are no templates.",
            expected="Expected at least one sentence with {} in it once, such as 'a photo of a {}.'.",
        )
    return [[template.replace("{}", name.replace("_", " ").strip()) for template in templates] for name in class_names]


def caption_by_class(data: ImageDataset, templates: Sequence[str]) -> ImageDataset:
    """The same images, captioned by their class names; captions that were there are replaced.

    Args:
        data: with labels.
        templates: sentences with ``{}`` where the name goes; each gives every image one caption.

    Raises:
        DatasetError: there are no labels, or a template has no place for the name.
    """
    if data.labels is None:
        raise DatasetError(
            f"The {data.split} split of {data.name} has no labels.",
            expected="Captions by template are made of class names.",
            advice="Give a source with labels, or one that has captions of its own.",
        )
    prompts = [tuple(sentences) for sentences in class_prompts(data.class_names, templates)]
    digest = hashlib.sha256(f"{data.fingerprint}|{tuple(templates)}".encode()).hexdigest()
    captions = tuple(prompts[label] for label in data.labels.tolist())
    return dataclasses.replace(data, captions=captions, fingerprint=digest)
