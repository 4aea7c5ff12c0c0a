"""Make a model of a finished run: `python -m Training.export Training/configs/hippocampus-mr.toml`.

The averaged weights of the checkpoint are measured on the cases that training never saw, as whole volumes in float32,
and written with these figures as a bundle that the command line, the demo and Slicer can use.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import AutofocusCore
from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.models import bundled_model_folder, write_bundle

from .config import Config, load_config
from .data import load_data
from .evaluate import dice_per_structure

ROOT = Path(__file__).resolve().parents[1]
LICENCES = {"MIT": ROOT / "LICENSE", "CC-BY-SA-4.0": Path(__file__).with_name("licences") / "CC-BY-SA-4.0.txt"}


def load_average(checkpoint: Path, config: Config) -> torch.nn.Module:
    """The averaged network of a checkpoint, in evaluation mode.

    Raises:
        InputError: there is no such checkpoint.
    """
    if not checkpoint.is_file():
        raise InputError(f"There is no checkpoint {checkpoint}", "train first, or name the run's folder with --run")
    network = AutofocusCore.build_network(**config.model.architecture)
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    return network.eval()


def export(config: Config, run: Path, out: Path, data_folder: Path | None = None) -> dict[str, float]:
    """Measure a run's model and write it as a bundle. Returns the mean Dice of each structure.

    Args:
        run: the run's folder.
        out: the bundle's folder.
        data_folder: in place of the configuration's.
    """
    network = load_average(run / "checkpoint.pt", config)
    step = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["step"]
    names = [structure.name for structure in config.model.structures]
    rows = []
    for source in load_data(config, data_folder).test:
        scores = dice_per_structure(network, source.case)
        rows.append({"case": source.name, **{n: round(float(s), 4) for n, s in zip(names, scores, strict=True)}})
        print("  ".join(str(value) for value in rows[-1].values()), flush=True)
    mean = {name: round(float(np.nanmean([row[name] for row in rows])), 4) for name in names}
    spread = {name: round(float(np.nanstd([row[name] for row in rows])), 4) for name in names}
    figures = {
        "cases_measured": len(rows),
        "mean_dice": round(float(np.mean(list(mean.values()))), 4),
        "standard_deviation": spread,
        "steps_trained": int(step),
        "cases": rows,
    }
    licence = LICENCES[config.model.licence].read_text(encoding="utf-8")
    write_bundle(out, replace(config.model, dice=mean, figures=figures), network.state_dict(), licence)
    return mean


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m Training.export", description="Make a model of a finished run.")
    parser.add_argument("config", type=Path, help="the configuration that the run was made from")
    parser.add_argument("--run", type=Path, help="the run's folder (Runs/<configuration>)")
    parser.add_argument("--out", type=Path, help="the bundle's folder (AutofocusCore/bundles/<name>)")
    parser.add_argument("--data", type=Path, help="folder of the data set, in place of the configuration's")
    options = parser.parse_args()
    try:
        config = load_config(options.config)
        name = config.model.name
        out = options.out or bundled_model_folder() / name
        mean = export(config, options.run or Path("Runs") / options.config.stem, out, options.data)
    except AutofocusError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{out}: mean Dice {mean}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
