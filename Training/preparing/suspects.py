"""Contours that look wrong: compared with the other cases by volume or position, or partly outside the ROI.

Volume and position are measured by robust z-scores, (value - median) / (1.4826 · median absolute deviation), over the
cases that have the structure. Volumes are compared by their logarithm, because twice and half are equally unusual.
Positions are compared by the vectors to the case's other structures, because scans begin and end at different places:
along each axis, the median over the other structures of the vectors' z-scores. The first finds a cord of 500 mL, the
second a left gland that is labelled as the right one. If all contours of a case lie beside their organs, none is in an
unusual place among the others; but those near the skin then lie partly outside the body.

No case is left out. The contours are listed, and the configuration says which of them are not used.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from Training.preparing.data_list import CaseEntry

FILE_NAME = "contours.csv"
LIMIT = 4.0
"""Robust standard deviations from which on a contour is listed."""
OUTSIDE = 0.25
"""Share of a contour outside the ROI from which on it is listed."""
FEWEST = 8
"""Cases of a structure, or of a pair of structures, below which nothing can be said."""
LEAST_MM = 3.0
LEAST_LOG = 0.05
"""Smallest spreads, in mm and of a volume's logarithm: if nearly all are equal, a small difference is not a fault."""
MAD_TO_SD = 1.4826
COLUMNS = (
    "case", "structure", "volume_ml", "usual_ml", "z_volume", "z_left", "z_back", "z_head", "outside", "looks_wrong"
)  # fmt: skip
AXES = ("left", "back", "head")
"""Where x, y and z grow to in LPS."""


@dataclass(frozen=True)
class Contour:
    """One structure of one case, compared with the other cases.

    Args:
        case, structure: their names.
        volume_ml: in mL.
        usual_ml: the median over the cases.
        z_volume: robust z-score of the volume's logarithm; NaN where there are too few cases.
        z_place: for x, y, z (left, back, head) that of the place among the case's other structures; NaN likewise.
        outside: share of it outside the ROI, such as the body; NaN without one.
    """

    case: str
    structure: str
    volume_ml: float
    usual_ml: float
    z_volume: float
    z_place: tuple[float, float, float]
    outside: float

    @property
    def why(self) -> str:
        """Why it looks wrong, as the end of a sentence; empty if it does not."""
        reasons = []
        if abs(self.z_volume) > LIMIT:
            size = "large" if self.z_volume > 0 else "small"
            reasons.append(
                f"{size}: {self.volume_ml:.3g} mL where {self.usual_ml:.3g} are usual (z {self.z_volume:+.1f})"
            )
        for axis, z in zip(AXES, self.z_place, strict=True):
            if abs(z) > LIMIT:
                opposite = {"left": "right", "back": "front", "head": "feet"}[axis]
                reasons.append(f"far to the {axis if z > 0 else opposite} of the other structures (z {z:+.1f})")
        if self.outside > OUTSIDE:
            reasons.append(f"{self.outside:.0%} of it outside the ROI, as if it belonged to another image")
        return ", ".join(reasons)


def look_at_contours(cases: Sequence[CaseEntry], structures: Mapping[str, str]) -> list[Contour]:
    """Every contour of the cases, with its z-scores.

    Args:
        cases: with volumes_ml, centres_mm and outside.
        structures: names by label.
    """
    volumes = {label: {c.name: c.volumes_ml[label] for c in cases if c.volumes_ml.get(label)} for label in structures}
    logs = {label: _scores({name: np.log([v]) for name, v in of.items()}, LEAST_LOG) for label, of in volumes.items()}
    places = {label: _places(label, cases, structures) for label in structures}
    found = []
    for case in cases:
        for label, structure in structures.items():
            if case.name not in volumes[label]:
                continue
            usual = float(np.median(list(volumes[label].values())))
            x, y, z = places[label].get(case.name, (math.nan,) * 3)
            volume = float(logs[label][case.name][0]) if logs[label] else math.nan
            own, outside = volumes[label][case.name], case.outside.get(label, math.nan)
            found.append(Contour(case.name, structure, own, usual, volume, (x, y, z), outside))
    return found


def _places(label: str, cases: Sequence[CaseEntry], structures: Mapping[str, str]) -> dict[str, tuple[float, ...]]:
    """By case, how unusual a structure's position is along x, y, z: the median over the other structures."""
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for other in structures:
        if other == label:
            continue
        vectors = {
            case.name: np.subtract(case.centres_mm[label], case.centres_mm[other])
            for case in cases
            if label in case.centres_mm and other in case.centres_mm
        }
        for name, score in _scores(vectors, LEAST_MM).items():
            scores.setdefault(name, []).append(score)
    return {name: tuple(map(float, np.median(rows, axis=0))) for name, rows in scores.items()}


def _scores(values: Mapping[str, NDArray[np.float64]], least: float) -> dict[str, NDArray[np.float64]]:
    """Robust z-scores by case of arrays (n,); nothing where there are too few cases."""
    if len(values) < FEWEST:
        return {}
    table = np.array(list(values.values()))
    middle = np.median(table, axis=0)
    spread = np.maximum(MAD_TO_SD * np.median(np.abs(table - middle), axis=0), least)
    return dict(zip(values, (table - middle) / spread, strict=True))


def contours_csv(contours: Sequence[Contour]) -> str:
    """All contours as a table, those that look wrong first."""
    columns = (
        "case",
        "structure",
        "volume_ml",
        "usual_ml",
        "z_volume",
        "z_left",
        "z_back",
        "z_head",
        "outside",
        "looks_wrong",
    )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for one in sorted(contours, key=lambda one: not one.why):  # the order within both stays
        scores = ("" if math.isnan(z) else f"{z:.2f}" for z in (one.z_volume, *one.z_place, one.outside))
        table.writerow((one.case, one.structure, f"{one.volume_ml:.4g}", f"{one.usual_ml:.4g}", *scores, one.why))
    return text.getvalue()


def settings_text(wrong: Sequence[tuple[str, str]]) -> str:
    """The lines of a configuration by which contours, (case, structure) each, count as unknown."""
    by_case: dict[str, list[str]] = {}
    for case, structure in wrong:
        by_case.setdefault(case, []).append(structure)
    lines = [f"{json.dumps(case)} = {json.dumps(names, ensure_ascii=False)}" for case, names in by_case.items()]
    return "\n".join(["[data.unknown]", *lines])  # JSON's texts and lists are TOML's
