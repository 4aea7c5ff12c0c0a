"""The file of a lesson that was stopped: written aside and renamed, read without running code, tied to its cases.

It holds weights, the optimiser's state and numbers. Cases stand in it by checksums alone, also of their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.texts import is_number
from AutofocusCore.teaching.case import Case

State = dict[str, Any]
FORMAT = 1
FIELDS = {"lesson", "cases", "state"}
NAMES = {
    "format": "another format",
    "parent": "another model",
    "software": "another version of the program",
    "held_out": "other cases held out",
    "seed": "another seed",
}
"""In words, what a lesson is beside its settings."""


class LessonFile:
    """The file of one lesson.

    Args:
        path: of the file, whose folder need not exist.
        lesson: what a lesson is, beside its cases: the parent's checksum, the settings; any JSON.
        cases: checksum of each case, by its name, in the order of learning.
    """

    def __init__(self, path: Path, lesson: Mapping[str, Any], cases: Mapping[str, str]) -> None:
        self._path = path
        self._lesson = json.dumps({"format": FORMAT, **lesson}, sort_keys=True)
        self._names = {_digest(name.encode()): name for name in cases}
        self._cases = {_digest(name.encode()): checksum for name, checksum in cases.items()}

    def load(self) -> tuple[State | None, str]:
        """The state of the lesson, if it can go on; else None, and a sentence why, empty where none was stopped."""
        if not self._path.is_file():
            return None, ""
        try:
            found = torch.load(self._path, map_location="cpu", weights_only=True)
            if not isinstance(found, dict) or not set(found) >= FIELDS:
                raise ValueError
        except Exception:  # torch raises errors of many types for damaged files
            return None, "The lesson that was stopped cannot be read, so it begins anew."
        if found["lesson"] != self._lesson:
            return None, f"The lesson that was stopped had {self._other(found['lesson'])}, so it begins anew."
        known = dict(found["cases"])
        changed = [name for key, name in self._names.items() if known.get(key) != self._cases[key]]
        if changed:
            what = "case has" if len(changed) == 1 else "cases have"
            listed = ", ".join(changed)
            return None, f"Since the lesson was stopped, the {what} changed or is new: {listed}. So it begins anew."
        if list(known) != list(self._cases):
            return None, "The lesson that was stopped had further cases or another order of them, so it begins anew."
        return found["state"], ""

    def _other(self, lesson: str) -> str:
        """What another lesson has that differs from this one's."""
        try:
            old, new = dict(json.loads(lesson)), json.loads(self._lesson)
        except (TypeError, ValueError):
            return "other settings"
        differ = [name for name in new if old.get(name) != new[name]]
        told = [NAMES.get(name) or f"{_short(old.get(name))} instead of {_short(new[name])} {name}" for name in differ]
        return " and ".join(told) or "other settings"

    def save(self, state: State) -> None:
        """Keep the state: tensors, numbers, text, lists and dictionaries.

        Raises:
            OutputError: the file system refused.
        """
        with Staging() as staging:
            staging.folder(self._path.parent)
            torch.save({"lesson": self._lesson, "cases": self._cases, "state": state}, staging.aside(self._path))


def case_checksum(case: Case) -> str:
    """Checksum of what is learned from a case: voxels, contours, which of them are known, and its part of the scan."""
    digest = hashlib.sha256()
    for array in (case.image, case.labels, case.roi):
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((case.known, case.lost, case.spacing, np.asarray(case.background).tolist())).encode())
    return digest.hexdigest()


def _short(value: object) -> str:
    return f"{value:g}" if is_number(value) else "unknown"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
