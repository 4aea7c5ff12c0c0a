"""Draw the curves of a run: `python Training/curves.py RUN -o curves.png`, also while it is running.

Three panels over the steps: the loss (means over twentieths of the run), Dice on the watched cases by structure, and
the standard deviation of the effective dilation in each autofocus layer, which is near 0 where attention has settled.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from AutofocusCore.errors import InputError
from Training.configuration.config import load_config
from Training.configuration.shared_options import run_script

PARTS = 20


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, one for each step.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = run / "log.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not lines:
            raise ValueError("it is empty")
        return lines
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used ({error})", "give the folder of a run that has begun") from None


def draw(run: Path, out: Path) -> Path:
    """Draw the curves of a run into a picture.

    Raises:
        InputError: no log, or no configuration.
    """
    from matplotlib.figure import Figure

    log, names = read_log(run), [s.name for s in load_config(run / "config.toml").model.structures]
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    loss, dice, attention = figure.subplots(1, 3)
    steps = np.array([line["step"] for line in log])
    values = np.array([line["loss"] for line in log])
    loss.plot(steps, values, ".", markersize=2, color="0.75")
    for part in np.array_split(np.arange(len(steps)), min(PARTS, len(steps))):
        loss.plot(steps[part].mean(), values[part].mean(), "o", color="C0")
    loss.set(xlabel="step", title="loss", yscale="log")

    watched = [line for line in log if "watched_dice" in line]
    scores = np.array([[np.nan if s is None else s for s in line["watched_dice"]] for line in watched])
    for index, name in enumerate(names if watched else []):
        dice.plot([line["step"] for line in watched], scores[:, index], label=name)
    dice.set(xlabel="step", title="Dice on the watched cases", ylim=(0, 1))
    if watched:
        dice.legend(fontsize=7)

    spreads = [line["attention_sd"] for line in log if "attention_sd" in line]
    for layer, curve in enumerate(np.array(spreads).T, start=1):
        attention.plot(steps[-len(curve) :], curve, label=f"layer {layer}", linewidth=0.7)
    attention.set(xlabel="step", title="SD of the effective dilation (voxels)")
    if spreads:
        attention.legend(fontsize=7)
    figure.savefig(out, dpi=100)
    return out


def main() -> int:
    """The command line's exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder")
    parser.add_argument("-o", "--out", type=Path, help="the picture (RUN/curves.png)")
    options = parser.parse_args()
    return run_script(lambda: draw(options.run, options.out or options.run / "curves.png"))


if __name__ == "__main__":
    sys.exit(main())
