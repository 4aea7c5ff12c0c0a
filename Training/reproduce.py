"""Make a whole table: train, measure and compare every network of it: `python Training/reproduce.py hippocampus`.

    python Training/reproduce.py hippocampus --quick                       # a check that everything runs, in a minute
    python Training/reproduce.py hippocampus --data FOLDER --seeds 1,2,3
    python Training/reproduce.py head-neck-ct --data FOLDER                # all folds, pooled over the patients
    python Training/reproduce.py brats2015 --data FOLDER --only basic,afn-1,afn-6
    python Training/reproduce.py networks                                  # parameter counts, the paper's Table 3

TABLE is a folder of Training/configs, or any folder of configurations. Each configuration is a network of the table;
the others are compared with the first one (Basic, if there is one). Finished runs are used again, and interrupted ones
are continued, so the same command can be repeated until the table is complete. Written to OUT: comparison.md,
comparison.csv, models.csv, plot.png, a folder with all cases for each network, and the runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])


from AutofocusCore.errors import AutofocusError, InputError
from AutofocusCore.io.atomic import Staging, write_text
from Training.configuration.config import Config, as_toml, load_config
from Training.configuration.experiments import Member, experiments, members, refuse_folds
from Training.configuration.quick import LABEL, quick_config, quick_data
from Training.configuration.shared_options import (
    CONTINUED,
    add_data,
    add_overrides,
    add_precision,
    add_threads,
    parse,
    run_script,
)
from Training.evaluate import measure_run
from Training.evaluation.measures import Measures
from Training.evaluation.parameter_tables import write_parameters
from Training.evaluation.reports import write_evaluation, write_models
from Training.evaluation.tables import cases_csv, markdown, mean_of_structures, read_cases
from Training.loop.data import load_data
from Training.train import train

MORE_TO_MEASURE = {
    "prepared": "prepare it with --folds and set data.fold, or name test cases with labels by --split",
    "folder": 'list some under "validation" in its split.json, or set data.fold and data.folds',
    "phantom": "set data.test",
}
"""Remedy for data without test cases, by the configuration's data.source."""
Known = dict[str, tuple[str, int]]
"""Checksum and number of test cases of data sets that were checked before."""
STAND_IN = " The cases are phantoms, because the experiment's own data are not available."


def measured(member: Member, data: Path | None, regions: str | None, precision: str, known: Known) -> list[Measures]:
    """Train and measure one run; if it was finished before on the same data, read its results.

    Args:
        member: the run.
        data: folder of its data, instead of the configuration's.
        regions, precision: as for `measure_run`.
        known: data sets of the table that were checked before; a new one is added.

    Raises:
        AutofocusError: the data contain no test cases; also the errors of `train` and `measure_run`.
    """
    digest = checksum_of(member.config, data, known)
    record, cases = member.folder / "evaluation.json", member.folder / "evaluation" / "cases.csv"
    checkpoint = member.folder / "checkpoint.pt"
    there = all(path.is_file() for path in (record, cases, checkpoint))
    if there and _recorded(member.folder) == _facts(member, checkpoint, digest, regions, precision):
        print(f"{member.model}, {member.name}: finished before", flush=True)
        return read_cases(cases)
    checkpoint = train(member.config, member.folder, data)
    results = measure_run(
        member.config, member.folder, data, regions=regions, name=member.name, device="auto", precision=precision,
        say=lambda text: print(f"{member.model}, {member.name}, {text}", flush=True),
    )  # fmt: skip
    with Staging() as staging:
        staging.folder(cases.parent)
    write_text(cases, cases_csv(results))
    write_text(record, json.dumps(_facts(member, checkpoint, digest, regions, precision), indent=1))
    return results


def checksum_of(config: Config, folder: Path | None, known: Known) -> str:
    """Checksum of an experiment's data. Data without test cases are refused here, before training.

    Args:
        config: configuration of the experiment.
        folder: folder of the data, instead of the configuration's.
        known: as for `measured`; networks and seeds of a table share their data.

    Raises:
        InputError: the data are faulty, or contain no test cases.
    """
    m = config.model
    key = repr((folder, config.data, m.channels, m.structures, m.normalization, m.spacing, m.orientation))
    if key not in known:
        data = load_data(config, folder)
        known[key] = (data.checksum, len(data.test))
    digest, tests = known[key]
    if not tests:
        where = folder or config.data.folder or "The configuration"
        raise InputError(f"{where} leaves no cases to measure", MORE_TO_MEASURE[config.data.source])
    return digest


def _facts(
    member: Member, checkpoint: Path, data_sha256: str, regions: str | None, precision: str
) -> dict[str, str | None]:
    """The inputs that determine an evaluation."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    facts = {"config": as_toml(member.config), "checkpoint_sha256": digest, "data_sha256": data_sha256}
    return {**facts, "regions": regions, "precision": precision}


def _recorded(run: Path) -> dict[str, Any] | None:
    """The inputs of a run's evaluation; None if they are unknown.

    Earlier versions did not record the data; they are those of the training.
    """
    try:
        record, trained = (
            json.loads((run / name).read_text(encoding="utf-8")) for name in ("evaluation.json", "environment.json")
        )
        return {"data_sha256": trained["data_sha256"], **record}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def reproduce(
    table: str,
    out: Path,
    data: Path | None = None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (),
    folds: Sequence[int] = (),
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
    all_pairs: bool = False,
    precision: str = "float32",
) -> tuple[str, list[str]]:
    """Make a table; returns its text, and a sentence for each missing part.

    Args:
        table: a folder of Training/configs, or any folder of configurations.
        out: folder of the results.
        data: folder of the data, instead of the configurations'.
        quick: a smoke run on a handful of cases.
        seeds: seeds of the runs; empty: the configurations' own.
        folds: folds of a cross-validation; empty: all.
        only: names of the configurations to take.
        overrides: changes of the configurations, "table.field=value" each.
        all_pairs: compare each network with each other one, instead of with the first.
        precision: precision of the evaluation, as for `AutofocusCore.predict_volume`.

    Raises:
        SettingError: there is no such table.
        InputError: no part of it could be made.
    """
    done: dict[str, list[Measures]] = {}
    missing: list[str] = []
    known: Known = {}
    regions = "brats" if table == "brats2015" and not quick else None
    note = ""
    for model, path in experiments(table, only).items():
        try:
            config = load_config(path, overrides)
            refuse_folds(config, folds)
            folder = data
            if quick:
                folder, phantoms = quick_data(config, data, out)
                stand_in = phantoms and config.data.source != "phantom"
                config, note = quick_config(config, folder, phantoms), f"**{LABEL}**" + (STAND_IN if stand_in else "")
            runs = members(model, config, seeds, folds, folder, out / "runs")
        except AutofocusError as error:
            missing.append(f"{model}: {error}")
            continue
        for member in runs:
            try:
                done[model] = [*done.get(model, []), *measured(member, folder, regions, precision, known)]
            except AutofocusError as error:
                missing.append(f"{model}, {member.name}: {error}")
    if not done:
        raise InputError(f"Nothing of the table {table} could be made: {missing[0].rstrip('.')}", "correct this first")
    for model, results in done.items():
        write_evaluation(
            out / model, results, f"{model}, {table}" + (f" ({LABEL})" if quick else ""), "the model's grid"
        )
    lacking = "".join(f"- missing: {sentence}\n" for sentence in missing)
    title = f"Table {table}" + (", smoke run" if quick else "")
    text = write_models(out, done, title, all_pairs, "\n\n".join(p for p in (note, lacking, _by_seed(done)) if p))
    return text, missing


def _by_seed(models: dict[str, list[Measures]]) -> str:
    """Mean Dice of each seed, which shows the variation between trainings. Empty if each model has one seed."""
    seeds = list(dict.fromkeys(one.run.split(",")[0] for results in models.values() for one in results))
    if len(seeds) < 2:
        return ""
    rows = []
    for model, results in models.items():
        parts = [[one for one in results if one.run.split(",")[0] == seed] for seed in seeds]
        means = [mean_of_structures(part, "dice") for part in parts]
        rows.append([model, *("–" if math.isnan(mean) else f"{mean:.4f}" for mean in means)])
    return markdown(["mean Dice", *seeds], rows)


def run(options: argparse.Namespace) -> int:
    """Carry out the options and print the table; returns 1 if something is missing, otherwise 0."""
    name = Path(options.table).name
    out = options.out or Path("Runs") / (f"{name}-quick" if options.quick else name)
    if options.table == "networks":
        print(write_parameters(out))
        return 0
    text, missing = reproduce(
        options.table, out, options.data, quick=options.quick, seeds=options.seeds, folds=options.folds,
        only=options.only, overrides=options.overrides, all_pairs=options.all_pairs, precision=options.precision,
    )  # fmt: skip
    print(text)
    for sentence in missing:
        print(f"missing: {sentence}", file=sys.stderr)
    return 1 if missing else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="reproduce.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", metavar="TABLE", help="a folder of Training/configs, a folder, or networks")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few cases, few steps, meaningless figures")
    parser.add_argument("--seeds", type=_numbers, default=(), help="seeds to train each network with: 1,2,3")
    parser.add_argument("--folds", type=_numbers, default=(), help="only these folds of a cross-validation: 0,1")
    parser.add_argument("--only", type=lambda text: text.split(","), default=(), help="networks to take: basic,afn-4")
    add_data(parser)
    parser.add_argument("--out", type=Path, help="folder for the results (Runs/TABLE, or Runs/TABLE-quick)")
    add_overrides(parser, "run.steps=500")
    parser.add_argument("--all-pairs", action="store_true", help="compare each network with each, not with the first")
    add_precision(parser)
    add_threads(parser)
    options = parse(parser)
    return run_script(lambda: run(options), CONTINUED)


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers; write 1,2,3") from None


if __name__ == "__main__":
    sys.exit(main())
