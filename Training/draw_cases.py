"""Draw the best, the median and the worst case of a model: `python Training/draw_cases.py CONFIG --model MODEL -o OUT`.

Cases are ranked by the mean Dice of their known structures in the model's card. The three are segmented again and
drawn in three planes: coloured lines for the model's result, white dashes for the reference contours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.models import Model, find_model
from Training.configuration.config import load_config
from Training.configuration.shared_options import (
    add_data,
    add_device,
    add_overrides,
    add_precision,
    add_threads,
    parse,
    run_script,
)
from Training.evaluate import grid_spacing, with_model
from Training.evaluation.drawing import DrawnCase, best_median_worst, draw_cases
from Training.evaluation.predicting import predicted_labels
from Training.loop.data import Source, load_data


def draw_model(
    out: Path, model: Model, cases: Sequence[Source], chosen: dict[str, tuple[str, float]], device: str, precision: str
) -> str:
    """Draw the chosen cases; returns a line for each.

    Args:
        out: the picture.
        model: segments the cases.
        cases: among them the chosen ones.
        chosen: from `best_median_worst`.
        device, precision: as for `AutofocusCore.predict_volume`.

    Raises:
        InputError: a chosen case is not among the cases.
    """
    network, by_name = model.build(), {source.name: source for source in cases}
    drawn, lines = [], []
    for place, (name, dice) in chosen.items():
        if name not in by_name:
            raise InputError(f"{name} is not among the configuration's test cases", "name the data it is from")
        case = by_name[name].case
        found = predicted_labels(network, case, model.spec, device=device, precision=precision)
        lines.append(f"{place}: {name}, mean Dice {dice:.3f}")
        drawn.append(DrawnCase(f"{place} patient, mean Dice {dice:.2f}", case, found))
    with Staging() as staging:
        staging.folder(out.parent)
        draw_cases(staging.aside(out), drawn, model.spec, grid_spacing(model.spec), model.spec.title)
    return "\n".join(lines)


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the lines to print."""
    if options.out.suffix.lower() != ".png":
        raise SettingError(f"The picture {options.out} is not a .png", "give a name that ends in .png")
    model = find_model(options.model)
    config = with_model(load_config(options.config, options.overrides), model.spec)
    chosen = best_median_worst(model.spec)
    cases = load_data(config, options.data).test
    return draw_model(options.out, model, cases, chosen, options.device, options.precision)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="draw_cases.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a TOML file that names the cases")
    parser.add_argument("--model", required=True, help="a model's name (`autofocus models list`), folder or zip")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the picture, a .png")
    add_data(parser)
    add_overrides(parser, "data.test=10")
    add_device(parser, "cpu")
    add_precision(parser)
    add_threads(parser)
    options = parse(parser)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
