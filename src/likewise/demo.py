"""``python -m likewise.demo``: the comparison that the README promises, on whatever images this machine can get.

Fashion-MNIST if it can be had, else scikit-learn's digits, and it says plainly which. What it does is
``likewise compare fashion-crossentropy fashion-siamese fashion-contrastive``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from likewise import verbs
from likewise.cli import show_messages
from likewise.comparison import as_table
from likewise.data import load_dataset
from likewise.errors import DatasetError, Interrupted, LikewiseError
from likewise.terminal import output

__all__ = ["demo"]

RECIPES = ("fashion-crossentropy", "fashion-siamese", "fashion-contrastive")
DIGITS: dict[str, Any] = {"data.source": "digits", "data.validation": 0.2, "data.train_size": None, "epochs": 20}


def demo(out: Path, *, budget: str = "laptop", seeds: int = 1) -> Path:
    """Train the three objectives, print the table, and return the path of the report."""
    began = time.perf_counter()
    overrides: dict[str, Any] = {}
    try:
        origin = load_dataset("fashion-mnist", split="test").origin
        output.print(f"Images: Fashion-MNIST ({origin}).", soft_wrap=True)
    except DatasetError as error:
        overrides = DIGITS | ({"epochs": 5} if budget == "smoke" else {})
        output.print(f"Fashion-MNIST could not be had: {error}", soft_wrap=True)
        output.print("The demo uses scikit-learn's digits instead: 1,797 images of 8×8 pixels. Its numbers are theirs.")
    result = verbs.compare(RECIPES, out=out, seeds=seeds, budget=budget, overrides=overrides)  # type: ignore[arg-type]
    output.print(as_table(result))
    for statement in result.statements:
        output.print(f"- {statement}", soft_wrap=True)
    output.print(f"{time.perf_counter() - began:.0f} seconds.")
    report = out / "report.html"
    output.print(f"report: {report.resolve()}", soft_wrap=True)
    return report


def main() -> None:
    """Parse the options and run the demo."""
    parser = argparse.ArgumentParser(prog="python -m likewise.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the comparison")
    parser.add_argument("--budget", choices=("smoke", "laptop", "paper"), default="laptop")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    show_messages()
    try:
        demo(options.out, budget=options.budget, seeds=options.seeds)
    except LikewiseError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(130 if isinstance(error, Interrupted) else 2)


if __name__ == "__main__":
    main()
