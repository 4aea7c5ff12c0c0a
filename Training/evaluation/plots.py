"""The pictures of an evaluation: a box of quartiles and a point for each case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # drawn without pyplot, hence without a display or a global state
from matplotlib.patches import Patch

from Training.evaluation.measures import Measures
from Training.evaluation.tables import ALL, UNITS, structures_of, values_by_case

COLOURS = ("#2a6f97", "#e07a3f", "#5a9367", "#9b5094", "#b8a13a", "#4f5d75", "#c44e52", "#64b5cd", "#8c6d46", "#999999")
"""Told apart by those who confuse red and green as well, by lightness."""
HATCHES = ("", "////", "....")
"""For models beyond the last colour."""


def plot_models(path: Path, models: Mapping[str, Sequence[Measures]], title: str, numbers: Sequence[str]) -> None:
    """A panel for each measure, a group for each structure, in it a box and the cases' points for each model.

    Args:
        path: a .png, written directly; give a temporary name.
        models: measures by the model's name.
        title: above all.
        numbers: measures such as "dice".
    """
    structures = list(dict.fromkeys(s for results in models.values() for s in structures_of(results) if s != ALL))
    width = max(5.0, 1.2 + 0.45 * len(structures) * len(models))
    figure = Figure(figsize=(min(width, 24.0), 3.4 * len(numbers)), layout="constrained")
    styles = {
        name: {"facecolor": COLOURS[i % len(COLOURS)], "hatch": HATCHES[i // len(COLOURS) % len(HATCHES)]}
        for i, name in enumerate(models)
    }
    panels = figure.subplots(len(numbers), 1, squeeze=False)[:, 0]
    for panel, number in zip(panels, numbers, strict=True):
        for i, (name, results) in enumerate(models.items()):
            places = [s * (len(models) + 1) + i for s in range(len(structures))]
            values = [_defined(values_by_case(results, s, number)) for s in structures]
            _boxes(panel, places, values, styles[name])
        centre = (len(models) - 1) / 2
        panel.set_xticks([s * (len(models) + 1) + centre for s in range(len(structures))], structures)
        panel.set_xlim(-1, len(structures) * (len(models) + 1) - 1)
        panel.set_ylabel(UNITS.get(number, number.replace("_", " ")))
        panel.grid(axis="y", alpha=0.3)
        panel.tick_params(axis="x", rotation=20 if len(structures) > 4 else 0)
    if len(models) > 1:
        handles = [Patch(label=name, alpha=0.5, **style) for name, style in styles.items()]
        figure.legend(handles=handles, loc="outside right upper", frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150, format="png")


def _defined(values: Mapping[str, float]) -> list[float]:
    return [value for value in values.values() if not math.isnan(value)]


def _boxes(panel: Any, places: Sequence[int], values: Sequence[Sequence[float]], style: Mapping[str, Any]) -> None:
    filled = [(place, column) for place, column in zip(places, values, strict=True) if column]
    if not filled:
        return
    panel.boxplot(
        [column for _, column in filled], positions=[place for place, _ in filled], widths=0.7, showfliers=False,
        patch_artist=True, boxprops={**style, "alpha": 0.35, "linewidth": 0.8}, manage_ticks=False,
        medianprops={"color": style["facecolor"], "linewidth": 1.6},
    )  # fmt: skip
    spread = np.random.default_rng(0)  # the same scatter in every picture
    x = [place + spread.uniform(-0.2, 0.2) for place, column in filled for _ in column]
    y = [value for _, column in filled for value in column]
    panel.scatter(x, y, s=9, color=style["facecolor"], alpha=0.7, linewidths=0)
