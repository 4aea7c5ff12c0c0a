"""Measure models on whole cases, and compare them: `python Training/evaluate.py CONFIG --run RUN`.

    python Training/evaluate.py CONFIG --run RUN                       # a run's averaged weights on the test cases
    python Training/evaluate.py CONFIG --model hippocampus-mr -o OUT   # a model (name or folder) on the same cases
    python Training/evaluate.py --predictions DIR --truth DIR -o OUT   # label maps from any program
    python Training/evaluate.py CONFIG --predictions DIR -o OUT        # those of predict.py, on the test cases
    python Training/evaluate.py --compare A/cases.csv B/cases.csv -o OUT

A run or a model is measured on the model's own grid, with exact whole-volume prediction in float32; label maps are
measured on the truth's grid. A structure that was not contoured in a case (data.json of prepared data, contoured.json
beside true label maps) counts as unknown there, neither as missed nor as a false positive. Output: cases.csv,
summary.csv, summary.md, plot.png; with `--compare`: comparison.csv, comparison.md, plot.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from torch import nn

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.models import Model, ModelSpec, find_model
from Training.configuration.augmentation import Augmentation
from Training.configuration.config import Config, load_config
from Training.configuration.settings import Scans, Segments
from Training.configuration.shared_options import (
    add_data,
    add_device,
    add_overrides,
    add_precision,
    add_threads,
    parse,
    run_script,
)
from Training.evaluation.label_maps import Known, Truth, measure_label_maps, prepared_truth
from Training.evaluation.measures import BRATS_REGIONS, Labels, Measures, measure_case
from Training.evaluation.offsets import add_offsets
from Training.evaluation.predicting import predicted_labels
from Training.loop.data import Source, load_data, names_of
from Training.loop.known import contoured_structures, known_labels
from Training.loop.runs import WEIGHTS, load_run, refuse_trained_on
from Training.preparing.contoured import CONTOURED

Say = Callable[[str], None]


def labels_of(spec: ModelSpec, regions: str | None = None) -> Labels:
    """The structures to measure: those of the model, or the regions that "brats" makes of its four structures.

    Raises:
        SettingError: unknown regions, or the model does not have BRATS's four labels.
    """
    if regions is None:
        return {structure.name: (structure.label,) for structure in spec.structures}
    if regions != "brats":
        raise SettingError(f"There are no regions {regions!r}", "use 'brats', or leave --regions out")
    if len(spec.structures) != 4:
        raise SettingError(
            f"BRATS's regions are made of four labels, and {spec.name} has {len(spec.structures)}",
            "leave --regions out",
        )
    return BRATS_REGIONS


def grid_spacing(spec: ModelSpec) -> tuple[float, float, float]:
    """Spacing (z, y, x) in mm of the grid that a model's cases are on, but for axes that keep the scan's (within 5 %).

    Raises:
        SettingError: the model has no fixed spacing, and a prepared case does not tell the scan's.
    """
    if spec.spacing is None:
        raise SettingError(
            f"The model {spec.name} keeps every image's own spacing, so there is no one grid to measure on",
            "write label maps with predict.py and measure these with --predictions and --truth",
        )
    x, y, z = spec.spacing
    return z, y, x


def measure_network(
    network: nn.Module,
    spec: ModelSpec,
    cases: Sequence[Source],
    regions: str | None = None,
    *,
    device: str = "cpu",
    precision: str = "float32",
    run: str = "",
    say: Say = print,
) -> list[Measures]:
    """Measure a network on whole cases, in exact mode on the model's grid, inside the region that the product segments.

    Args:
        network: the network, in evaluation mode.
        spec: the model's description.
        cases: the cases with their true labels.
        regions: None, or "brats".
        device, precision: as for `AutofocusCore.predict_volume`.
        run: name of this run among several.
        say: called with a sentence after each case.
    """
    labels, spacing = labels_of(spec, regions), grid_spacing(spec)
    axis = 2 - next(i for i, letter in enumerate(spec.orientation) if letter in "SI")  # from feet to head
    results = []
    for source in cases:
        case = source.case
        found = predicted_labels(network, case, spec, device=device, precision=precision)
        own = case.spacing or spacing
        measured = measure_case(case.name, case.labels, found, labels, own, case.lost, case.known, axis)
        say(f"{case.name}: Dice " + "  ".join(f"{one.structure} {_shown(one)}" for one in measured))
        results += [dataclasses.replace(one, run=run) for one in measured]
    return results


def measure_run(
    config: Config,
    run: Path,
    data_folder: Path | None = None,
    *,
    weights: str = "last",
    regions: str | None = None,
    device: str = "cpu",
    precision: str = "float32",
    name: str = "",
    offsets: Mapping[str, float] | None = None,
    say: Say = print,
) -> list[Measures]:
    """Measure a run's averaged weights on the configuration's test cases, which must not have been used for training.

    Raises:
        InputError: there is no such run, there are no test cases, or some were used for training.
    """
    model, cases = load_run(run, config, weights), _test_cases(config, data_folder)
    refuse_trained_on(run, names_of(cases))
    add_offsets(model.network, offsets or {}, model.spec)
    return measure_network(
        model.network, model.spec, cases, regions, device=device, precision=precision, run=name, say=say
    )


def measure_model(
    config: Config,
    model: Model,
    data_folder: Path | None = None,
    *,
    regions: str | None = None,
    device: str = "cpu",
    precision: str = "float32",
    say: Say = print,
) -> list[Measures]:
    """Measure a model on the test cases of a configuration, prepared as the model requires.

    Raises:
        ModelError: the weights are damaged.
        InputError: there are no test cases, or the model has other structures than the data.
    """
    cases = _test_cases(with_model(config, model.spec), data_folder)
    return measure_network(model.build(), model.spec, cases, regions, device=device, precision=precision, say=say)


def with_model(config: Config, spec: ModelSpec) -> Config:
    """The configuration with another model, so that its cases are prepared for that model.

    Raises:
        InputError: the model has other structures than the configuration's data.
    """
    wanted, there = ([s.name for s in one.structures] for one in (config.model, spec))
    if wanted != there:
        raise InputError(
            f"The model {spec.name} has the structures {', '.join(there)}, the data {', '.join(wanted)}",
            "choose a model with the structures of the data",
        )
    roi = spec.architecture.get("domain") == "roi"
    if roi == (config.scans is not None):
        return dataclasses.replace(config, model=spec)
    learning = {"scans": Scans(), "segments": None} if roi else {"scans": None, "segments": Segments((1, 1, 1), 1)}
    return dataclasses.replace(config, model=spec, augmentation=Augmentation(), **learning)  # none of it is used


def _test_cases(config: Config, folder: Path | None) -> list[Source]:
    cases = load_data(config, folder).test
    if not cases:
        raise InputError(
            "The configuration has no test cases",
            "choose a fold with data.fold, prepare the data with a test part, or set data.test of phantoms",
        )
    return cases


def _known_in(truth: Path, config: Config | None) -> Known | None:
    """The known labels in true label maps, from contoured.json in their folder or the one above, and a configuration.

    Raises:
        SettingError: there is such a file, and no configuration that says which structures the labels are.
    """
    contoured = contoured_structures(truth) or contoured_structures(truth.parent)
    if config is None:
        if contoured:
            raise SettingError(
                f"{CONTOURED} beside {truth} names structures, but their labels are not known",
                "name a configuration of these structures before --predictions",
            )
        return None
    return lambda case, labels: known_labels(case, contoured.get(case), labels, config.data, config.model)


def _shown(one: Measures) -> str:
    return one.state if np.isnan(one.dice) else f"{one.dice:.3f}"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="evaluate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, nargs="?", help="a TOML file that names the data and the structures")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="a run's folder")
    what.add_argument("--model", help="a model's name (`autofocus models list`), folder or zip")
    what.add_argument("--predictions", type=Path, metavar="DIR", help="label maps, named as those of --truth")
    what.add_argument("--compare", type=Path, nargs="+", metavar="CSV", help="cases.csv of two or more evaluations")
    parser.add_argument("-o", "--out", type=Path, help="folder for the tables (RUN/evaluation)")
    truth = "true label maps for --predictions (those of the configuration's test cases)"
    parser.add_argument("--truth", type=Path, metavar="DIR", help=truth)
    add_data(parser)
    add_overrides(parser, "data.fold=1")
    parser.add_argument("--weights", choices=tuple(WEIGHTS), default="last", help="which of the run's (last)")
    parser.add_argument("--regions", choices=("brats",), help="whole tumour, core and enhancing of BRATS's labels")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="what to call the models of --compare")
    parser.add_argument("--all-pairs", action="store_true", help="compare each model with each, not with the first")
    add_device(parser, "cpu")
    add_precision(parser)
    add_threads(parser)
    return parser


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the text of the table."""
    from Training.evaluation.reports import write_comparison, write_evaluation

    if options.compare is not None:
        return write_comparison(options.out, options.compare, options.names, all_pairs=options.all_pairs)
    config = load_config(options.config, options.overrides) if options.config is not None else None
    if options.predictions is not None:
        labels = None if config is None else labels_of(config.model, options.regions)
        if labels is None and options.regions:
            labels = BRATS_REGIONS
        truth: Truth = options.truth
        if truth is None:
            assert config is not None
            truth, known = prepared_truth(config, options.data)
        else:
            known = _known_in(options.truth, config)
        results = measure_label_maps(options.predictions, truth, labels, say=print, known=known)
        return write_evaluation(options.out, results, f"Label maps of {options.predictions.name}", "the truth's grid")
    assert config is not None
    shared = {"regions": options.regions, "device": options.device, "precision": options.precision}
    if options.model is not None:
        model = find_model(options.model)
        results = measure_model(config, model, options.data, **shared)
        spec, title = model.spec, f"Model {model.spec.name}"
    else:
        results = measure_run(config, options.run, options.data, weights=options.weights, **shared)
        spec, title = config.model, f"Run {options.run.name}: {config.model.title}"
    grid = "the model's grid of " + " × ".join(f"{s:g}" for s in spec.spacing or ()) + " mm (x, y, z)"
    return write_evaluation(options.out or options.run / "evaluation", results, title, grid)


def main() -> int:
    """Run the command line; returns its exit status."""
    parser = build_parser()
    options = parse(parser)
    if options.out is None and options.run is None:
        parser.error("name a folder for the tables with -o")
    if options.config is None and (options.run is not None or options.model is not None):
        parser.error("name the configuration of the data")
    if options.predictions is not None and options.truth is None and options.config is None:
        parser.error("name the folder of the true label maps with --truth, or the configuration of the data")
    return run_script(lambda: run(options), "nothing was written")


if __name__ == "__main__":
    sys.exit(main())
