"""Assigns cases to training and test: a given split, or folds that depend only on names and a seed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from AutofocusCore.errors import InputError
from Training.preparing.found import Found, FoundCase, Problem, safe_name

TRAIN_KEYS = ("train", "training")
TEST_KEYS = ("validation", "test", "val")


def split_by_file(found: Found, path: Path) -> Found:
    """The collection with the parts that a file gives its cases.

    Args:
        found: the collection.
        path: a JSON file, {"train": [names], "validation" or "test": [names]}: cases that it does not list, or lists
            though they are not there, become problems. Or a text file with a test case in each line, as the authors'
            datalist/test_list.txt: all others are trained on. In both a case goes by its name, by the one that it has
            in the data, or by the path of any of its files.

    Raises:
        InputError: the file cannot be read, has a name in both parts, or one that several cases have.
    """
    if path.suffix.lower() == ".txt":
        return _split_by_lines(found, path)
    names = _names_of(found)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        parts: dict[str, str] = {}
        absent = set()
        for keys, part in ((TRAIN_KEYS, "train"), (TEST_KEYS, "test")):
            key = next((key for key in keys if key in values), None)
            if key is None:
                raise ValueError(f"it has no list {keys[0]!r}")
            for text in map(str, values[key]):
                meant = _meant(text, names, path)
                if meant is None:
                    absent.add(text)
                for name in meant or {text}:
                    if parts.setdefault(name, part) != part:
                        raise ValueError(f"{text} is in both parts")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"The split {path} cannot be used ({error})", 'give a JSON file with the lists "train" and "validation"'
        ) from None
    there = {case.name for case in found.cases}
    kept = tuple(replace(case, part=parts[case.name]) for case in found.cases if case.name in parts)
    useless = [case.name for case in kept if case.part == "train" and case.labels is None]
    kept = tuple(case for case in kept if case.name not in useless)
    problems = [Problem(name, f"{path.name} lists it, but it is not there") for name in sorted(absent)]
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
    names = _names_of(found)
    meant = [_meant(line, names, path) for line in lines if line.strip()]
    tested = {name for there in meant for name in there or ()}
    if not tested:
        raise InputError(f"The split {path} names no case of {found.source}", "check that it belongs to these data")
    unknown = meant.count(None)
    lost = (Problem(path.name, f"{unknown} of its lines name no case that is there"),) if unknown else ()
    cases = tuple(
        replace(case, part="test" if case.name in tested or case.labels is None else "train") for case in found.cases
    )
    return replace(found, cases=cases, problems=(*found.problems, *lost))


def _names_of(found: Found) -> dict[str, set[str]]:
    """The cases' names by all names that a list may use; none for cases with a problem."""
    names: dict[str, set[str]] = {}
    for case in found.cases:
        names.setdefault(case.given, set()).add(case.name)
    faulty: dict[str, set[str]] = {problem.case: set() for problem in found.problems}
    return {**faulty, **names, **{case.name: {case.name} for case in found.cases}}


def _meant(text: str, names: Mapping[str, set[str]], path: Path) -> set[str] | None:
    """The cases that a name or path means: by two of its words together (HGG/pat1 is HGG_pat1), else by each alone.

    Returns:
        Their names, none where they have a problem; None where nothing of that name is there.

    Raises:
        InputError: several cases have that name in the data.
    """
    parts = re.split(r"[\\/]", text.strip())
    for words in ([safe_name("_".join(pair)) for pair in pairwise(parts)], parts):
        known = {word: names[word] for word in words if word in names}
        for word, there in known.items():
            if len(there) > 1:
                several = " or ".join(sorted(there))
                raise InputError(f"{word} in {path} may be {several}", "write there which of them is meant")
        if known:
            return set().union(*known.values())
    return set() if any(names.get(safe_name(part)) == set() for part in parts) else None


def assign_folds(cases: Sequence[FoundCase], count: int, seed: int) -> Mapping[str, int]:
    """The fold (0 to count - 1) of each training case, by name.

    The sorted names of the patients are shuffled by the seed and assigned to the folds in turn; all scans of a patient
    are in one fold, so that no patient is in both training and test.

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
