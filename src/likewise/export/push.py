"""An exported folder to the Hugging Face hub, through ``huggingface_hub``.

Nothing is uploaded before it is known that there is a token, that the hub answers, and that a repository which was to be
private is not a public one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from likewise.data.sources.hub import unreachable
from likewise.errors import RunError

__all__ = ["Pushed", "push"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Pushed:
    """What was uploaded, or would be.

    Args:
        repository: ``owner/name``.
        files: relative path → bytes.
        address: of the commit; None for a dry run.
        token: whether there is a token.
        notes: what the person may want to mend first.
    """

    repository: str
    files: dict[str, int]
    address: str | None
    token: bool
    notes: tuple[str, ...]


def push(folder: str | os.PathLike[str], repository: str, *, private: bool = False, dry_run: bool = False) -> Pushed:
    """Upload a folder that ``likewise export`` wrote; the repository is made if there is none.

    Args:
        folder: with the ``README.md`` that the export wrote.
        repository: ``owner/name``.
        private: make it private; refused where there is a public one of that name.
        dry_run: say what would be uploaded, without a word to the network.

    Raises:
        RunError: no such folder, a name that the hub does not allow, no token, no network, or the hub refuses.
    """
    folder = Path(folder)
    files = {
        file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()
    }
    if "README.md" not in files or "config.json" not in files:
        raise RunError(
            f"{folder} is not an exported folder.",
            expected="Expected README.md and config.json in it.",
            advice="Make one with `likewise export RUN -o FOLDER`.",
        )
    if not _NAME.fullmatch(repository):
        raise RunError(
            f"{repository!r} is not the name of a repository.",
            expected="Expected OWNER/NAME of letters, digits, '-', '_' and '.'.",
        )
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    token, notes = get_token(), _notes(folder)
    if dry_run:
        return Pushed(repository, files, None, token is not None, notes)
    if token is None:
        raise RunError(
            "There is no token for the Hugging Face hub.",
            expected="Expected HF_TOKEN, or a token that `hf auth login` stored.",
            advice="Make one that may write at https://huggingface.co/settings/tokens.",
        )
    reason = unreachable()
    if reason:
        raise RunError(
            f"The Hugging Face hub cannot be reached ({reason}).",
            advice="Try again with a network; the folder is whole.",
        )
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT", _HUB), token=token)
    try:
        # Without a word about it, a new repository is what the owner's settings say.
        hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.model_info(repository).private:
            raise RunError(
                f"{repository} is there already, and it is public.",
                expected="Expected a new name, or a private repository: nothing was uploaded.",
                advice="Make it private in its settings first, or choose another name.",
            )
        commit = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export from Likewise")
    except (HfHubHTTPError, ValueError) as error:
        raise RunError(
            f"The hub refused {repository} ({_last_line(error)}).",
            expected="Expected a token that may write to that owner's repositories.",
            advice="Check the owner and the token's rights.",
        ) from error
    except (OSError, _transport_error(HfHubHTTPError)) as error:
        raise RunError(
            f"The upload to {repository} broke off ({type(error).__name__}: {_last_line(error)}).",
            expected="Expected a connection to the hub until the end, and files that can be read.",
            advice="Push again: the folder is whole, and the repository shows nothing of half an upload.",
        ) from error
    return Pushed(repository, files, str(commit.commit_url), True, notes)


def _transport_error(refused: type[Exception]) -> type[Exception]:
    """What the HTTP library of this huggingface_hub raises: httpx or httpx2, by version; that of requests is an OSError."""
    return next((kind for kind in refused.__mro__ if kind.__name__ == "HTTPError"), refused)


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def _notes(folder: Path) -> tuple[str, ...]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    front = text.split("---", 2)[1] if text.startswith("---") else ""
    return (
        ()
        if re.search(r"^license:", front, re.MULTILINE)
        else ("README.md names no licence: add `license: …` on top.",)
    )
