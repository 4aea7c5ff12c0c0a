"""Draw Documentation/Pictures/architecture.svg: the rooms of the core by level, and the programs that use them.

    python -m Documentation.draw_architecture

The levels are those that Testing/test_house.py enforces, so the picture cannot show another order than the code has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from Testing.test_house import ORDER

PICTURE = Path(__file__).resolve().parent / "Pictures" / "architecture.svg"
CORE_COLOUR, SLICER_COLOUR, TRAINING_COLOUR, FRAME_COLOUR = "#d1e5f0", "#fddbc7", "#e6e6e6", "#f7f7f7"
LEVEL_HEIGHT = 0.62
SLICER_ROOMS = {
    "panel": "what the user sees and clicks",
    "batch": "a scene file for every case",
    "worker": "starts and asks the worker process",
    "scene": "nodes of the MRML scene",
}
TRAINING_ROOMS = {
    "scripts": "train, evaluate, predict, export, …",
    "preparing · evaluation · calibrating": "labelled scans in, tables out",
    "loop": "data, losses, optimisers, steps",
    "configuration": "one TOML file per experiment",
}


class Drawing:
    """A figure of boxes with text; coordinates in inches from the lower left."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A box with round corners."""
        style = "round,pad=0,rounding_size=0.06"
        self.axes.add_patch(
            FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=colour, edgecolor="#555555", lw=0.8)
        )

    def text(self, x: float, y: float, words: str, *, size: float = 9, bold: bool = False) -> None:
        """Text, centred."""
        self.axes.text(x, y, words, size=size, ha="center", va="center", weight="bold" if bold else "normal")

    def room(self, x: float, y: float, width: float, name: str, about: str, colour: str) -> None:
        """A box with a name and a line below it."""
        self.box(x, y, width, 0.52, colour)
        self.text(x + width / 2, y + 0.35, name, bold=True)
        self.text(x + width / 2, y + 0.15, about, size=7.5)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], style: str = "-|>") -> None:
        """An arrow."""
        self.axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=12, color="#333333", lw=1.2))


def draw() -> Figure:
    """The whole picture."""
    levels = [sorted(rooms - {"_version"}) for rooms in ORDER]
    height = len(levels) * LEVEL_HEIGHT + 1.0
    drawing = Drawing(9.6, height)
    drawing.box(0.15, 0.15, 3.9, height - 0.3, FRAME_COLOUR)
    drawing.text(2.1, height - 0.4, "AutofocusCore", size=11, bold=True)
    drawing.text(2.1, height - 0.62, "a room imports only from rooms below it", size=7.5)
    for level, rooms in enumerate(levels):
        width = (3.5 - 0.1 * (len(rooms) - 1)) / len(rooms)
        for place, name in enumerate(rooms):
            x, y = 0.35 + place * (width + 0.1), 0.3 + level * LEVEL_HEIGHT
            drawing.box(x, y, width, LEVEL_HEIGHT - 0.14, CORE_COLOUR)
            drawing.text(x + width / 2, y + (LEVEL_HEIGHT - 0.14) / 2, name)
    top = height - 0.15
    _program(drawing, top, "AutofocusSegmentation (in 3D Slicer)", SLICER_ROOMS, SLICER_COLOUR)
    _program(drawing, top - 3.4, "Training", TRAINING_ROOMS, TRAINING_COLOUR)
    worker = next(level for level, rooms in enumerate(levels) if "worker" in rooms)
    middle = 0.3 + (worker + 0.5) * LEVEL_HEIGHT - 0.07
    drawing.arrow((5.55, middle), (4.05, middle), "<|-|>")
    drawing.text(4.8, middle + 0.16, "JSON lines", size=7.5)
    drawing.text(4.8, middle - 0.17, "another process", size=7.5)
    drawing.arrow((5.55, top - 5.0), (4.05, top - 5.0))
    drawing.text(4.8, top - 4.85, "imports", size=7.5)
    return drawing.figure


def _program(drawing: Drawing, top: float, title: str, rooms: dict[str, str], colour: str) -> None:
    drawing.box(5.55, top - 3.1, 3.9, 3.1, FRAME_COLOUR)
    drawing.text(7.5, top - 0.27, title, size=11, bold=True)
    for place, (name, about) in enumerate(rooms.items()):
        drawing.room(5.75, top - 1.05 - place * 0.64, 3.5, name, about, colour)


def main() -> None:
    """Write the picture."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "architecture", "font.family": "sans-serif"}):
        draw().savefig(PICTURE, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()
