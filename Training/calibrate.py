r"""Fit a model's calibration, print its table, and write the model with it: estimates of quality for every contour.

    python Training/calibrate.py head-neck-ct --data CT_FOLDER --offset -1024 \
        --config Training/configs/head-neck-ct.toml -o Runs/head-neck-ct-calibrated

The folder holds images/ and labels/ (a file each a case), split.json with the cases to fit on under "validation" (the
model must not have been trained on them) and the training cases under "train", and, if not all structures are contoured
in all cases, contoured.json. Contours that the configuration calls unknown, or of another convention, are left out, as
they were in the model's training and figures. Every case's probabilities are kept in the work folder: a second run
takes seconds.

With --seen 80, eighty training cases help to find the weights of the features; that needs a model that is hardly better
on these cases than on others (the table has both mean Dice). Levels, intervals and what is flagged come from the
validation cases alone, and so do the table's figures.

A model of phantoms is fitted on phantoms of seeds that neither training nor figures use:

    python Training/calibrate.py pelvis-phantom --phantoms 24 -o Runs/pelvis-phantom-calibrated

The table is cross-validated: each patient was left out of everything that was fitted.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.io.atomic import write_text
from AutofocusCore.models import Model, find_model, write_bundle
from AutofocusCore.models.files import read_files
from AutofocusCore.phantom import PHANTOM_STRUCTURES
from AutofocusCore.review.calibration import Calibration
from AutofocusCore.review.cohort import Cohort
from AutofocusCore.review.evidence import surroundings
from AutofocusCore.review.quality import structure_evidence
from AutofocusCore.teaching.statistics import evenly
from Training.calibrating.cases import Collection, collection, dice_of, run_case, volumes_of
from Training.calibrating.cohort import fit_cohort
from Training.calibrating.figures import figures, worst_tenth
from Training.calibrating.fitting import Row, cross_validate, fit_quality
from Training.calibrating.phantoms import phantom_folder
from Training.calibrating.temperature import TEMPERATURES, best_temperature, likelihoods
from Training.configuration.config import load_config
from Training.configuration.shared_options import add_device, add_threads, parse, run_script
from Training.configuration.split_file import read_split
from Training.loop.data import FIRST_CALIBRATION_PHANTOM, FIRST_WATCHED_PHANTOM, LEFT_OUT

LICENCE = "LICENSE"
FEWEST_PATIENTS = 8


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", help="name, folder or zip")
    where = options.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="folder with images/, labels/ and split.json")
    where.add_argument("--phantoms", type=int, metavar="N", help="make N pelvic phantoms, and fit on these")
    options.add_argument("--images", type=Path, help="folder of scans, in place of DATA/images")
    options.add_argument("--labels", type=Path, help="folder of label maps, in place of DATA/labels")
    options.add_argument("--offset", type=float, default=0.0, help="added to the scans: -1024 for CT as HU + 1024")
    options.add_argument("--part", default="validation", help="of split.json, to fit on (validation)")
    options.add_argument("--cohort-part", default="train", help="of split.json, the training cases (train)")
    options.add_argument("--seen", type=int, default=0, metavar="N", help="training cases for the weights too (none)")
    options.add_argument("--leave-out", nargs="*", default=[], metavar="CASE", help="cases to leave out")
    options.add_argument("--config", type=Path, help="of the training; its unknown contours are left out")
    options.add_argument("--cases", type=int, metavar="N", help="fit on the first N cases only, to try it out")
    options.add_argument("--work", type=Path, default=Path("Runs/calibration"), help="keeps the cases' probabilities")
    options.add_argument("-o", "--output", type=Path, help="folder of the calibrated model; without it only the table")
    add_device(options, "auto")
    add_threads(options)
    return options


def gather(
    model: Model, cases: Mapping[str, bool], data: Collection, cohort: Cohort, work: Path, device: str
) -> tuple[list[Row], float]:
    """Run the model and measure: a row for each known structure that was found, and the temperature.

    Args:
        model: to be calibrated.
        cases: by name whether the model was trained on it; the temperature is fitted to the others.
        data, work, device: as for `run_case`.
        cohort: of the training cases.
    """
    names = [structure.name for structure in model.spec.structures]
    tables: list[NDArray[np.float64]] = []
    dice: dict[str, dict[str, float]] = {}
    volumes: dict[str, dict[str, tuple[float, float]]] = {}
    for number, (case, seen) in enumerate(cases.items(), start=1):
        run, truth, known = run_case(model, case, data, work, device=device), data.truth(case), data.known(case)
        dice[case] = {n: v for n, v in dice_of(run.labels, truth, data.values, names).items() if n in known}
        volumes[case] = volumes_of(run.labels, truth, data.values, names)
        if not seen:
            tables.append(likelihoods(run.evidence, truth, data, case, names))
        print(f"{number}/{len(cases)} {case}: {', '.join(f'{n} {v:.2f}' for n, v in dice[case].items())}", flush=True)
    temperature = best_temperature(tables)
    rows: list[Row] = []
    for case, seen in cases.items():
        evidence = run_case(model, case, data, work, device=device).evidence
        for label, name in enumerate(names, start=1):
            value = dice[case].get(name, float("nan"))
            found = structure_evidence(name, surroundings(evidence, label, temperature), evidence.grid, cohort)
            if found.features is not None and np.isfinite(value):
                rows.append(Row(case, name, found.features, value, seen, volumes[case][name]))
    return rows, temperature


def calibrate(options: argparse.Namespace) -> dict[str, Any]:
    """Fit, print, write.

    Raises:
        SettingError: the model takes several images, for which there is no layout of files.
        InputError: files are missing, or too few cases.
    """
    model = find_model(str(options.model))
    if len(model.spec.channels) != 1:
        raise SettingError(f"The model {model.spec.name} takes several images", "calibrate a model of one image")
    names = [structure.name for structure in model.spec.structures]
    what = f"{options.part} of {options.data.name}" if options.data else "phantoms of seeds of their own"
    if options.seen < 0:
        raise InputError(f"--seen is {options.seen}", "give a number of training cases, or 0 for none")
    if options.phantoms is not None:
        check_phantoms(names, options.phantoms)
        options.data = phantom_folder(options.work / "phantoms", options.phantoms)
    split = read_split(options.data, (options.part, options.cohort_part))
    extra = {name: options.data / f"{name}.json" for name in ("contoured", "labels")}
    there = {name: path if path.is_file() else None for name, path in extra.items()}
    data = collection(
        options.images or options.data / "images",
        options.labels or options.data / "labels",
        names,
        contoured=there["contoured"],
        names=there["labels"],
        offset=options.offset,
        config=None if options.config is None else load_config(options.config),
    )
    cases = [case for case in split[options.part] if case not in options.leave_out][: options.cases]
    if len(cases) < FEWEST_PATIENTS:
        raise InputError(f"There are {len(cases)} cases to fit on", f"give at least {FEWEST_PATIENTS}, better thirty")
    cohort = kept_cohort(split[options.cohort_part], data, model, options.work)
    trained_on = [case for case in split[options.cohort_part] if case not in options.leave_out]
    seen = evenly(trained_on, options.seen)
    whose = dict.fromkeys(seen, True) | dict.fromkeys(cases, False)
    rows, temperature = gather(model, whose, data, cohort, options.work, options.device)
    found = {row.case for row in rows if not row.seen}
    if len(found) < FEWEST_PATIENTS:
        raise InputError(f"Contours of {len(found)} cases were found", "give more cases")
    left_out = cross_validate(rows)
    table = figures(left_out, [row for row in rows if row.seen])
    print(text(table, temperature), flush=True)
    print("", "The worst tenth:", *columns(worst_tenth(left_out)), sep="\n", flush=True)
    fitted_on = f"{len(cases)} cases that the model was not trained on ({what})"
    if seen:
        fitted_on += f"; the weights of the features also on {len(seen)} cases that it was trained on"
    calibration = Calibration(temperature, fit_quality(rows), cohort, fitted_on)
    if options.output is not None:
        write(model, calibration, {"fitted_on": fitted_on, "temperature": temperature, **table}, options.output)
        print(f"Written: {options.output}")
    return table


def check_phantoms(names: Sequence[str], count: int) -> None:
    """Refuse a model of other structures than phantoms have, and more phantoms than have seeds of their own.

    Raises:
        SettingError: either.
    """
    drawn = [name.capitalize() for name in PHANTOM_STRUCTURES.values()]
    if not set(names) <= set(drawn):
        raise SettingError(f"The model finds {', '.join(names)}", f"give --data; phantoms have {', '.join(drawn)}")
    most = FIRST_WATCHED_PHANTOM + LEFT_OUT - FIRST_CALIBRATION_PHANTOM
    if not FEWEST_PATIENTS <= count <= most:
        raise SettingError(f"{count} phantoms are asked for", f"give {FEWEST_PATIENTS} to {most}")


def kept_cohort(cases: Sequence[str], data: Collection, model: Model, work: Path) -> Cohort:
    """The cohort's statistics, from the work folder if they are there, otherwise measured."""
    how = [repr(model.spec.normalization), repr(model.spec.spacing), *(one.name for one in model.spec.structures)]
    left_out = [sorted(map(str, data.without)), repr(dict(data.volumes_ml))]
    what = [str(data.labels.resolve()), data.offset, *left_out, *cases, *how]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]
    kept = work / f"cohort-{key}.json"
    if not kept.is_file():
        print(f"Measuring {len(cases)} training cases.", flush=True)
        cohort = fit_cohort(cases, data, model.spec)
        work.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(Calibration(cohort=cohort).to_dict()))
        return cohort
    cohort_ = Calibration.from_dict(json.loads(kept.read_text(encoding="utf-8"))).cohort
    assert cohort_ is not None
    return cohort_


def write(model: Model, calibration: Calibration, table: dict[str, Any], folder: Path) -> Path:
    """Write the model again, with the calibration in its description and the table in its card."""
    figures_ = {key: value for key, value in model.spec.figures.items() if not key.startswith("estimate")}
    summary = {key: value for key, value in table.items() if key != "structures"}
    figures_ |= {"estimates_of_quality": summary, "estimates_by_structure": table["structures"]}
    spec = dataclasses.replace(model.spec, figures=figures_, calibration=calibration.to_dict())
    licence = read_files(model.path)[LICENCE].decode("utf-8")
    return write_bundle(folder, spec, model.build().state_dict(), licence)


def text(table: dict[str, Any], temperature: float) -> str:
    """The table for a terminal."""
    others = [f"{key.replace('_', ' ')}: {value}" for key, value in table.items() if key != "structures"]
    tried = f"temperature: {temperature} (of {TEMPERATURES[0]} to {TEMPERATURES[-1]})"
    return "\n".join(["", *others, tried, "", *columns(table["structures"])])


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines with a heading above equally wide columns."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def run(options: argparse.Namespace) -> int:
    """Carry out the options; returns the exit status."""
    calibrate(options)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(parser(), arguments)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
