"""What other processes do in these tests: work in small steps until they are killed or done."""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from likewise import ImageDataset, Index, load_dataset, verbs
from likewise.errors import LikewiseError
from likewise.index import embed_file, writing


def embed_digits(model: Path, path: Path) -> None:
    torch.set_num_threads(1)
    embed_file.SECONDS_A_PART = 0.0
    verbs.embed(model, "digits", path, batch_size=8, quiet=True)


def add_digits(folder: Path, first: int, last: int) -> None:
    torch.set_num_threads(1)
    writing.COMMIT_ROWS = 16
    Index.open(folder).add(load_dataset("digits").subset(torch.arange(first, last)), existing="keep", batch_size=16)


def picture_of(identity: str, version: int) -> torch.Tensor:
    """The image (1, 8, 8) that a row had when it was written in this step."""
    return torch.from_numpy(np.random.default_rng([int(identity), version]).integers(0, 256, (1, 8, 8), dtype=np.uint8))


def pictures(ids: list[str], version: int) -> ImageDataset:
    images = torch.stack([picture_of(identity, version) for identity in ids])
    return ImageDataset("pictures", "train", images, None, (), None, tuple(ids), "", "")


def keep_writing(folder: Path, journal: Path, first: int, highest: int, ids: list[str]) -> None:
    """Add, replace, delete and build at random until killed; each step is said in the journal before and after."""
    torch.set_num_threads(1)
    writing.COMMIT_ROWS = 16
    chance, index, there = random.Random(first), Index.open(folder), set(ids)
    with journal.open("a") as written:

        def say(**line: object) -> None:
            written.write(json.dumps(line) + "\n")
            written.flush()

        for step in range(first, first + 10_000):
            wish = chance.choice(["add", "add", "upsert", "delete", "build"]) if len(there) > 40 else "add"
            if wish == "add":
                chosen = [str(highest + 1 + i) for i in range(48)]
                highest += 48
            else:
                chosen = chance.sample(sorted(there), 30)
            say(step=step, wish=wish, ids=[] if wish == "build" else chosen)
            if wish == "add":
                index.add(pictures(chosen, step), columns={"version": [step] * 48}, batch_size=16)
                there |= set(chosen)
            elif wish == "upsert":
                index.upsert(pictures(chosen, step), columns={"version": [step] * 30}, batch_size=16)
            elif wish == "delete":
                index.delete(ids=chosen)
                there -= set(chosen)
            else:
                index.build(recall=0.9)
            say(done=step)


def raised(call: Callable[[], object]) -> str:
    """What a call raises, in words."""
    try:
        call()
    except LikewiseError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"not ours: {type(error).__name__}: {error}"
    return "nothing"


def write_on_a_full_disk(folder: Path, answers: Path, room: int) -> None:
    """No file grows beyond ``room`` bytes, as where a disk is full or a quota is reached."""
    torch.set_num_threads(1)
    index, digits = Index.open(folder), load_dataset("digits")
    model = index.model
    said = {}
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    said["add"] = raised(lambda: index.add(digits, existing="keep"))
    said["upsert"] = raised(lambda: index.upsert(digits))
    said["build"] = raised(lambda: index.build())
    said["create"] = raised(lambda: Index.create(folder.with_name("new"), model))
    said["search"] = raised(lambda: index.search(embedding=np.ones(6)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    answers.write_text(json.dumps(said))


def write_as_a_guest(folder: Path, answers: Path) -> None:
    """As somebody who may read the folder and not write it."""
    import lancedb  # noqa: F401  while its files can be read

    torch.set_num_threads(1)
    digits = load_dataset("digits")
    with answers.open("w") as answer:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        index = Index.open(folder)
        said = {
            "search": raised(lambda: index.search(image=digits.images[0], k=3)),
            "length": str(len(index)),
            "add": raised(lambda: index.add(digits, existing="keep")),
            "delete": raised(lambda: index.delete(filter="true")),
            "build": raised(lambda: index.build()),
            "create": raised(lambda: Index.create(folder / "new", index.model)),
        }
        json.dump(said, answer)
