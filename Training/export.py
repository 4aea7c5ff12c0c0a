"""Make a model of a finished run: `python Training/export.py Training/configs/hippocampus-mr.toml --run RUN`.

The averaged weights of the run are measured on cases that were not used for training, as whole volumes in exact mode
and float32 on the model's grid. Weights and figures are written as a bundle for the command line, the demo and Slicer.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])


from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.models import ModelSpec, bundled_model_folder, write_bundle
from Training.configuration.config import Config, load_config
from Training.configuration.shared_options import add_data, add_overrides, add_threads, parse, run_script
from Training.evaluate import measure_run
from Training.evaluation.measures import Measures, mean_of
from Training.evaluation.offsets import add_offsets, offsets_of
from Training.evaluation.tables import Summary, read_cases, summarise, values_by_case
from Training.loop.checkpoints import run_folder
from Training.loop.runs import WEIGHTS, cases_known, hours_of_training, load_run, log_summary

ROOT = Path(__file__).resolve().parents[1]
LICENCES = Path(__file__).with_name("licences")
DIGITS = 4


def licence_text(spec: ModelSpec, file: Path | None = None) -> str:
    """The full text of the licence of a model's weights.

    Args:
        spec: the model.
        file: file with the text; None: the file of that name in Training/licences, or this project's for MIT.

    Raises:
        InputError: the file cannot be read.
        SettingError: the text is not in Training/licences.
    """
    known = {"MIT": ROOT / "LICENSE"} | {path.stem: path for path in sorted(LICENCES.glob("*.txt"))}
    path = file or known.get(spec.licence)
    if path is None:
        raise SettingError(
            f"The text of the licence {spec.licence} is not available",
            f"give a text file with --licence, or use one of {', '.join(known)} in [model]",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The licence {path} cannot be read ({error})", "give a text file with --licence") from None


def figures_of(results: Sequence[Measures], spec: ModelSpec) -> dict[str, Any]:
    """A model's accuracy for its card: a table of the structures, and Dice of each case.

    Undefined figures are left out, because JSON has no value for them; the table has the number of cases. The mean Dice
    is the mean of the structures' means: each structure has the same weight, however many cases know it.
    """
    summaries = {summary.structure: summary for summary in summarise(results)}
    names = [structure.name for structure in spec.structures]
    by_structure = {name: values_by_case(results, name, "dice") for name in names}
    cases = list(dict.fromkeys(one.case for one in results))
    means = [summaries[name].mean["dice"] for name in names]
    return {
        "cases_measured": len(cases),
        "mean_dice": _rounded(mean_of(means)),
        "structures": [_row(summaries[name], any(one.unknown for one in summaries.values())) for name in names],
        "cases": [
            {"case": case, **{n: _rounded(v[case]) for n, v in by_structure.items() if not math.isnan(v[case])}}
            for case in cases
        ],
    }


def _row(summary: Summary, partial: bool) -> dict[str, Any]:
    numbers = {
        "Dice": summary.mean["dice"],
        "Dice SD": summary.sd["dice"],
        "HD95 mm": summary.mean["hd95_mm"],
        "HD95 SD": summary.sd["hd95_mm"],
        "HD95 median": summary.median["hd95_mm"],
        "ASD mm": summary.mean["asd_mm"],
        "ASD SD": summary.sd["asd_mm"],
        "Dice, shared slices": summary.mean["dice_shared"],
        "HD95 median, shared slices": summary.median["hd95_shared_mm"],
    }
    counts = {"missed": summary.missed, "false positive": summary.false_positive, "absent": summary.absent}
    counts |= {"unknown": summary.unknown} if partial else {}
    shown = {name: _rounded(value) for name, value in numbers.items() if not math.isnan(value)}
    return {"structure": summary.structure, "cases": summary.cases, **shown, **counts}


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)


def _pooled(tables: Sequence[Path], spec: ModelSpec) -> list[Measures]:
    """The measures of several evaluations of a model on different cases."""
    pooled: dict[tuple[str, str, str], Measures] = {}
    for path in tables:
        results = read_cases(path)
        unknown = {one.structure for one in results} ^ {structure.name for structure in spec.structures}
        if unknown:
            raise SettingError(
                f"{path} and the model do not agree on {', '.join(sorted(unknown))}", "give its own table"
            )
        own = {(one.run, one.case, one.structure): one for one in results}
        twice = sorted({case for _, case, _ in own.keys() & pooled.keys()})
        if twice:
            raise SettingError(f"{path} holds {twice[0]}, as a table before it does", "give each fold's table once")
        pooled |= own
    return list(pooled.values())


def export(
    config: Config,
    run: Path,
    out: Path,
    data_folder: Path | None = None,
    *,
    weights: str = "last",
    cases: Sequence[Path] = (),
    note: str = "",
    licence: Path | None = None,
    offsets: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Measure a run's model and write it as a bundle. Returns the mean Dice of each structure, if it is defined.

    Args:
        config: configuration of the run.
        run: the run's folder.
        out: the bundle's folder.
        data_folder: folder of the data, instead of the configuration's.
        weights: "last", or "best" on the watched cases.
        cases: cases.csv files with figures for the card, instead of a new measurement; for example one for each fold of
            a cross-validation.
        note: sentence for the card about the origin of the figures.
        licence: text file with the licence, instead of the project's copy.
        offsets: see :mod:`Training.evaluation.offsets`, by the structure's name; figures are measured with them.

    Raises:
        InputError: there is no such run, there are no test cases, or some were used for training.
        SettingError: the licence's text is missing, or `cases` do not fit the model or each other.
    """
    text, model = licence_text(config.model, licence), load_run(run, config, weights)
    add_offsets(model.network, offsets or {}, config.model)
    if cases:
        results = _pooled(cases, config.model)
    else:
        results = measure_run(config, run, data_folder, weights=weights, offsets=offsets)
    figures = figures_of(results, config.model)
    mean = {row["structure"]: row["Dice"] for row in figures["structures"] if "Dice" in row}
    about = {"measured": note} if note else {}
    trained = {"steps_trained": model.step, "hours_of_training": round(hours_of_training(run), 2)}
    if known := cases_known(run):
        rows = [{"structure": s.name, "cases trained on": known.get(s.name, 0)} for s in config.model.structures]
        trained["known_in_training"] = rows
    if config.data.volume_ml:
        trained["conventions"] = [
            {"structure": name, "used from mL": low, "to mL": high}
            for name, (low, high) in config.data.volume_ml.items()
        ]
    if offsets:
        trained["offsets"] = [{"structure": name, "added to its logits": value} for name, value in offsets.items()]
    figures = {**about, **figures, **trained, "log_of_training": log_summary(run)}
    write_bundle(out, replace(config.model, dice=mean, figures=figures), model.network.state_dict(), text)
    return mean


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the line to print."""
    config = load_config(options.config, options.overrides)
    out = options.out or bundled_model_folder() / config.model.name
    folder = options.run or run_folder(options.config)
    shared = {"weights": options.weights, "cases": options.cases, "note": options.note, "licence": options.licence}
    mean = export(config, folder, out, options.data, offsets=offsets_of(options.offsets, config.model), **shared)
    return f"{out}: mean Dice {mean}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="export.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="the configuration that the run was made from")
    parser.add_argument("--run", type=Path, help="the run's folder (Runs/<configuration>)")
    parser.add_argument("--out", type=Path, help="the bundle's folder (AutofocusCore/bundles/<name>)")
    add_data(parser)
    add_overrides(parser, "model.version=1.1.0")
    parser.add_argument("--weights", choices=tuple(WEIGHTS), default="last", help="which of the run's (last)")
    parser.add_argument(
        "--cases", type=Path, nargs="+", default=(), metavar="CSV",
        help="take the figures of these cases.csv into the card: of cross-validation, one for each fold",
    )  # fmt: skip
    parser.add_argument("--note", default="", help="sentence for the card about the origin of the figures")
    parser.add_argument("--licence", type=Path, help="text of the licence of the weights, for a licence of your own")
    parser.add_argument(
        "--offsets", nargs="+", default=(), metavar="NAME=NUMBER",
        help="add to a structure's logits, as chosen on validation cases: Larynx=0.5",
    )  # fmt: skip
    add_threads(parser)
    options = parse(parser)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
