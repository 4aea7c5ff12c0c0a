"""Which case is for what: a given split, and folds for cross-validation that follow from names and a seed alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from AutofocusCore.errors import InputError

from .found import Found, FoundCase, Problem, safe_name

TRAIN_KEYS = ("train", "training")
TEST_KEYS = ("validation", "test", "val")


def split_by_file(found: Found, path: Path) -> Found:
    """The collection with the parts that a file gives its cases.

    Args:
        found: the collection.
        path: a JSON file, {"train": [names], "validation" or "test": [names]}: cases that it does not list, or lists
            though they are not there, become problems. Or a text file with a test case in each line, by name or by the
            path of any of its files, as the authors' datalist/test_list.txt: all others are trained on.

    Raises:
        InputError: the file cannot be read, or has a name in both parts.
    """
    if path.suffix.lower() == ".txt":
        return _split_by_lines(found, path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        parts: dict[str, str] = {}
        for keys, part in ((TRAIN_KEYS, "train"), (TEST_KEYS, "test")):
            key = next((key for key in keys if key in values), None)
            if key is None:
                raise ValueError(f"it has no list {keys[0]!r}")
            for name in values[key]:
                if parts.setdefault(safe_name(str(name)), part) != part:
                    raise ValueError(f"{name} is in both parts")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"The split {path} cannot be used ({error})", 'give a JSON file with the lists "train" and "validation"'
        ) from None
    there = {case.name for case in found.cases}
    faulty = {problem.case for problem in found.problems}  # is there, and named already
    kept = tuple(replace(case, part=parts[case.name]) for case in found.cases if case.name in parts)
    useless = [case.name for case in kept if case.part == "train" and case.labels is None]
    kept = tuple(case for case in kept if case.name not in useless)
    absent = sorted(set(parts) - there - faulty)
    problems = [Problem(name, f"{path.name} lists it, but it is not there") for name in absent]
    problems += [Problem(name, f"{path.name} has it among those to train on, but it has no labels") for name in useless]
    problems += [Problem(name, f"It is there, but not in {path.name}") for name in sorted(there - set(parts))]
    return replace(found, cases=kept, problems=(*found.problems, *problems))


def _split_by_lines(found: Found, path: Path) -> Found:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The split {path} cannot be used ({error})", "give a text file with a test case a line"
        ) from None
    words = [{safe_name(word) for word in re.split(r"[\\/]", line.strip())} for line in lines if line.strip()]
    there = {case.name for case in found.cases}
    tested = there & {word for line in words for word in line}
    if not tested:
        raise InputError(f"The split {path} names no case of {found.source}", "check that it belongs to these data")
    named = there | {problem.case for problem in found.problems}
    unknown = sum(not line & named for line in words)
    lost = (Problem(path.name, f"{unknown} of its lines name no case that is there"),) if unknown else ()
    cases = tuple(
        replace(case, part="test" if case.name in tested or case.labels is None else "train") for case in found.cases
    )
    return replace(found, cases=cases, problems=(*found.problems, *lost))


def assign_folds(cases: Sequence[FoundCase], count: int, seed: int) -> Mapping[str, int]:
    """The fold (0 to count - 1) of each training case, by name.

    The sorted names of the patients are shuffled by the seed and dealt out in turn; all scans of a patient are in one
    fold, so that nothing is tested on a patient who was trained on.

    Raises:
        InputError: fewer patients than folds.
    """
    if count == 0:
        return {}
    train = [case for case in cases if case.part == "train"]
    patients = sorted({case.patient or case.name for case in train})
    if len(patients) < count:
        raise InputError(f"There are {len(patients)} patients to train on for {count} folds", "ask for fewer --folds")
    order = np.random.default_rng(seed).permutation(len(patients))
    fold = {patients[patient]: place % count for place, patient in enumerate(order)}
    return {case.name: fold[case.patient or case.name] for case in train}
