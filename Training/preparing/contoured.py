"""contoured.json: which structures were contoured in a case. The others are unknown there, not absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from AutofocusCore.errors import InputError
from Training.preparing.found import Found, Problem

CONTOURED = "contoured.json"


def mark_unknown(found: Found, path: Path) -> Found:
    """The collection with the structures of each case that were not contoured.

    A labelled case that the file does not list is left out, because its known structures are not stated. Cases have
    their names in the data.

    Args:
        found: the collection.
        path: of a contoured.json.

    Raises:
        InputError: what `read_contoured` says.
    """
    unknown = read_contoured(path, found.structures)
    cases, problems = [], []
    for case in found.cases:
        name = case.given if case.given in unknown else case.name
        if case.labels is None:
            cases.append(case)
        elif name in unknown:
            cases.append(replace(case, unknown=unknown[name]))
        else:
            problems.append(Problem(case.name, f"{path.name} does not say what was contoured in it"))
    there = {name for case in found.cases for name in (case.given, case.name)} | {one.case for one in found.problems}
    lost = [name for name in unknown if name not in there]
    problems += [Problem(name, f"{path.name} lists it, but it is not there") for name in sorted(lost)]
    return replace(found, cases=tuple(cases), problems=(*found.problems, *problems))


def read_contoured(path: Path, structures: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """The labels that are unknown in each case that a contoured.json lists.

    Args:
        path: of the file: {"case": ["Spinal cord", ...], ...}, for each case the structures that were contoured.
        structures: names by label; capital letters and what is no letter or digit do not matter.

    Raises:
        InputError: the file cannot be used, or names a structure that is not among these.
    """
    labels = {_plain(name): label for label, name in structures.items()}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        listed = {str(case): [str(name) for name in names] for case, names in values.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} cannot be used ({error})", 'give a JSON file such as {"case_1": ["Liver", "Spleen"]}'
        ) from None
    unknown = {}
    for case, names in listed.items():
        strange = [name for name in names if _plain(name) not in labels]
        if strange:
            raise InputError(
                f"{path} says that {strange[0]!r} was contoured in {case}, which is no structure",
                f"use {', '.join(structures.values())}",
            )
        there = {labels[_plain(name)] for name in names}
        unknown[case] = tuple(label for label in structures if label not in there)
    return unknown


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
