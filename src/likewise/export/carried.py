"""What an export says of a run, without where anything lies on the machine: of a path the last part is left.

An exported folder is made to be published, and a run remembers folders of its own machine: where the images were, which of
them were bad, which run it began with.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from likewise.training import Run
from likewise.training.files import read_json, write_json, write_text

__all__ = ["Places", "write_carried"]

# The folders of an absolute path, anywhere in a text; an address on the web has a colon or a slash before its own.
_FOLDERS = re.compile(r"(?<![\w:/.~-])(?:~[\w.-]*)?/(?:[^\s/\"'`(),;:]+/)+(?=[^\s/\"'`(),;:])")


class Places:
    """The paths that a run names.

    Args:
        run: finished.
    """

    def __init__(self, run: Run) -> None:
        source, of_hub = run.recipe.data.source, str(run.evaluation.get("origin")).startswith("Hugging Face hub")
        named = {text for text in _texts(run.recipe.model_dump(mode="json")) if _is_path(text)}
        named |= {text for text in (run.recipe.start, run.recipe.evaluation.ratings) if text is not None}
        named |= set() if of_hub or ("/" not in source and not Path(source).exists()) else {source}
        spelled: dict[str, str] = {}
        for text in named:
            path = Path(text).expanduser()
            spelled |= dict.fromkeys((text, str(path), str(path.absolute()), str(path.resolve())), path.resolve().name)
        #: Longest first, so that a folder is not taken out of the path of one inside it.
        self._names = dict(sorted(spelled.items(), key=lambda pair: -len(pair[0])))

    def without(self, value: Any) -> Any:
        """A text, or plain values with texts in them, in which each path is only its last part."""
        if isinstance(value, dict):
            return {key: self.without(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.without(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if value in self._names:
            return self._names[value]
        for path, name in self._names.items():
            if "/" in path:
                value = value.replace(path, name)
        return _FOLDERS.sub("", value)


def write_carried(run: Run, folder: Path) -> None:
    """Write the recipe and the numbers of a run into a folder: ``recipe.yaml``, ``metrics.json``, ``evaluation.json``."""
    places = Places(run)
    recipe = places.without(yaml.safe_load((run.folder / "recipe.yaml").read_text("utf-8")))
    write_text(folder / "recipe.yaml", yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100))
    write_json(folder / "metrics.json", read_json(run.folder / "metrics.json"))
    evaluation = places.without(read_json(run.folder / "evaluation.json"))
    for bad in evaluation.get("bad_images") or ():
        bad["item"] = PurePosixPath(bad["item"]).name
    write_json(folder / "evaluation.json", evaluation)


def _texts(value: Any) -> list[str]:
    """Every text in plain values."""
    if isinstance(value, dict | list):
        return [text for inner in (value.values() if isinstance(value, dict) else value) for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _is_path(text: str) -> bool:
    """Whether a setting names something on this machine, and not one of the hub's."""
    if "\n" in text or len(text) > 1000:
        return False
    return text.startswith(("/", "~/", "./", "../")) or ("/" in text and Path(text).exists())
