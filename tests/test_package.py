from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import likewise as lw

ROOT = Path(__file__).parent.parent


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert list(lw.__all__) == sorted(lw.__all__)
    assert dir(lw) == sorted(lw.__all__)
    for name in lw.__all__:
        assert getattr(lw, name).__doc__, name


def test_the_version_is_the_one_of_the_project_file() -> None:
    assert lw.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_nothing_is_imported_before_it_is_needed() -> None:
    """Without a verb no torch; with one none of what only some verbs need and that takes seconds."""
    code = """
import sys, likewise, likewise.cli
early = [name for name in ["torch"] if name in sys.modules]
import likewise.verbs
heavy = ["torch._dynamo", "lightning_fabric", "sklearn", "scipy.stats", "pandas", "matplotlib", "lancedb", "fastapi"]
sys.exit(str(early + [name for name in heavy if name in sys.modules]))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.stderr.strip() == "[]"


def test_rooms_import_only_from_rooms_above_them() -> None:
    above = [
        *("errors", "launch", "losses", "models", "data", "objectives", "evaluation"),
        *("recipe_options", "recipe", "recipes", "training"),
        *("cluster", "comparison", "report", "index", "serve", "export", "estimator_settings", "estimator", "verbs"),
        *("terminal", "cli_compare", "cli_search", "cli_serve", "cli_export", "cli", "demo", "__main__", "__init__"),
    ]
    source = ROOT / "src" / "likewise"
    rooms = {path.stem if path.is_file() else path.name for path in source.iterdir() if path.suffix in ("", ".py")}
    assert rooms - {"__pycache__"} <= set(above)
    for path in source.rglob("*.py"):
        room = path.relative_to(source).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].startswith("likewise."):
                used = words[1].split(".")[1]
                assert above.index(used) <= above.index(room), f"{path.name}: {line.strip()}"
