"""Make a model of one of the authors' checkpoints.

    python Training/import_released.py 390_checkpoint.pth.tar Training/configs/brats2015/afn-1.toml --licence LICENCE

Their files contain only weights. Names of channels and classes and the preparation of scans come from a TOML file with
a [model] table, for example the configuration for training such a network. Architecture and numbers of channels and
classes follow from the weights and must agree with it. Nothing in the file is executed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import AutofocusCore
from AutofocusCore.errors import SettingError
from AutofocusCore.models import write_bundle
from Training.configuration.config import model_of
from Training.configuration.shared_options import run_script
from Training.configuration.toml_files import read_values
from Training.export import licence_text

READ_OFF = ("architecture", "in_channels", "num_classes", "dilation_rates", "norm")


def import_released(checkpoint: Path, description: Path, out: Path, licence: Path) -> Path:
    """Write the authors' weights as a bundle. Returns its folder.

    Args:
        checkpoint: one of their files ``*_checkpoint.pth.tar``.
        description: TOML file with a [model] table; [model.architecture], if given, must agree with the weights.
        out: the bundle's folder.
        licence: a text file with the licence of the weights.

    Raises:
        ModelError: the file is not such a checkpoint, or the description is invalid or does not fit it.
        SettingError: the description cannot be read, or describes another network.
        InputError: the licence's file is missing.
    """
    network = AutofocusCore.load_released_checkpoint(checkpoint)
    values = _model_table(description)
    stated = values.get("architecture", {})
    for name in READ_OFF:
        if isinstance(stated, dict) and stated.get(name, network.options[name]) != network.options[name]:
            raise SettingError(
                f"{description} says {name} = {stated[name]!r}, but {checkpoint} has {network.options[name]!r}",
                "correct it, or leave [model.architecture] out",
            )
    for what, names, count in (
        ("channels", values.get("channels", []), network.options["in_channels"]),
        ("structures", values.get("structures", []), network.options["num_classes"] - 1),
    ):
        if not isinstance(names, list) or len(names) != count:
            listed = len(names) if isinstance(names, list) else "no"
            raise SettingError(
                f"{description} lists {listed} {what}, but {checkpoint} has {count}",
                f"list {count} in the order of the network's, the background left out",
            )
    spec = model_of({**values, "architecture": network.options})
    write_bundle(out, spec, network.state_dict(), licence_text(spec, licence))
    return out


def _model_table(description: Path) -> dict[str, Any]:
    values = read_values(description).get("model", {})
    if not isinstance(values, dict):
        raise SettingError(f"{description} says model = {values!r}", "write a table that begins with [model]")
    return values


def run(options: argparse.Namespace) -> Path:
    """Carry out the options; returns the folder of the model."""
    name = _model_table(options.description).get("name", "released")
    out = options.out or Path("Models") / str(name)
    return import_released(options.checkpoint, options.description, out, options.licence)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a model of a checkpoint that the paper's authors released.")
    parser.add_argument("checkpoint", type=Path, help="their file, such as 390_checkpoint.pth.tar")
    parser.add_argument("description", type=Path, help="a TOML file with a [model] table that describes the network")
    parser.add_argument("--licence", type=Path, required=True, help="text of the licence of the weights")
    parser.add_argument("--out", type=Path, help="the model's folder (Models/<name of the model>)")
    options = parser.parse_args()
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
