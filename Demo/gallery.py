"""The pictures of the demo: slices with segments, slices with the attention overlay, surfaces, a sheet with all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from Demo.layout import GAP, INK, Picture, band, below, beside, save_png, write
from Demo.planes import Planes, choose_planes
from Demo.scene import LEGEND_SIZE, Scene, segment_names_and_colours
from Demo.views import SliceView, ThreeDView

ORIENTATIONS = ("Axial", "Sagittal", "Coronal")
SLICE_SIZE = (440, 384)  # pixels
SURFACE_SIZE = ((3 * SLICE_SIZE[0] + GAP) // 2, 440)  # two of them are as wide as three slices
OVERLAY_OPACITY = 0.6
LEGEND_LOW = 0.03  # of the view's height: the letters of the patient's sides are in the middle
EYES = {"From the front": (0.10, 1.0, 0.22), "From behind, left": (-0.75, -1.0, 0.35)}  # directions in RAS


@dataclass(frozen=True)
class Views:
    """The four views of Slicer's default layout, the last one twice as wide."""

    slices: dict[str, SliceView]
    surfaces: ThreeDView


def open_views(scene: Scene) -> Views:
    """The views of an empty scene, made before the nodes that they show, as in the application."""
    slices = {orientation: SliceView(scene, orientation, SLICE_SIZE) for orientation in ORIENTATIONS}
    return Views(slices, ThreeDView(scene, SURFACE_SIZE))


def draw(views: Views, scan: Any, segmentation: Any, dilation: Any | None, folder: Path, *, what: str) -> list[Path]:
    """Draw every picture of scan and segmentation into a folder.

    Args:
        views: views that were opened before the nodes were loaded.
        scan: volume node.
        segmentation: segmentation node.
        dilation: volume node of the effective dilation; None: no attention overlay.
        folder: folder of the pictures.
        what: description of the scan for the captions ("synthetic CT").

    Returns:
        The picture files, the sheet first.
    """
    planes = choose_planes(segmentation, scan)
    keys = segment_names_and_colours(segmentation)
    segments = _segment_slices(views, scan, planes)
    rows = [("segments", band(segments.shape[1], "Segments", keys, remark=what), segments)]
    if dilation is not None:
        overlay = _attention_slices(views, scan, segmentation, dilation, planes)
        caption = band(
            overlay.shape[1],
            f"Attention: {dilation.GetName().lower()}",
            remark="blue: near · orange: far",
        )
        rows.append(("attention", caption, overlay))
    surfaces = _surfaces(views)
    rows.append(("surfaces", band(surfaces.shape[1], "Surfaces"), surfaces))
    pictures = {name: below([caption, row]) for name, caption, row in rows}
    files = []
    for name, picture in {"sheet": below(list(pictures.values())), **pictures}.items():
        files.append(folder / f"{name}.png")
        save_png(files[-1], picture)
    return files


def _segment_slices(views: Views, scan: Any, planes: Planes) -> Picture:
    pictures = []
    for view in views.slices.values():
        view.node.SetRulerType(view.node.RulerTypeThin)
        view.show(scan)
        pictures.append(_slice(view, planes))
    return beside(pictures)


def _attention_slices(views: Views, scan: Any, segmentation: Any, dilation: Any, planes: Planes) -> Picture:
    """The overlay under the outlines of the segments, in colours that it does not have; its legend in one view."""
    from AutofocusSegmentationLib.scene.outlines import show_as_before, show_as_outlines

    show_as_outlines(segmentation)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(dilation)
    if legend is not None:
        legend.RemoveAllViewNodeIDs()
        legend.AddViewNodeID(views.slices[ORIENTATIONS[-1]].node.GetID())
        legend.SetSize(*LEGEND_SIZE)  # which the panel has chosen for a view of another size
        legend.SetPosition(legend.GetPosition()[0], LEGEND_LOW)
        legend.SetVisibility(True)
    pictures = []
    for view in views.slices.values():
        view.node.SetRulerType(view.node.RulerTypeNone)
        view.show(scan, dilation, OVERLAY_OPACITY)
        pictures.append(_slice(view, planes))
    show_as_before(segmentation)
    return beside(pictures)


def _slice(view: SliceView, planes: Planes) -> Picture:
    """One slice with the plane's name and the letters of the patient's sides."""
    scale = planes.millimetres_per_pixel(view.size)
    shown = [0.0, 0.0, 0.0]
    for axis, pixels in zip(view.axes(), view.size, strict=True):
        shown[axis] = scale * pixels
    view.look_at(planes.crossing, planes.middle((shown[0], shown[1], shown[2])), scale)
    picture = view.picture()
    height, width, _ = picture.shape
    write(picture, view.node.GetOrientation(), (10, 8), size=14, anchor=(0, 0), shadow=True)
    left, right, _, top = view.sides()
    for letter, at, anchor in (
        (left, (10, height / 2), (0.0, 0.5)),
        (right, (width - 10, height / 2), (1.0, 0.5)),
        (top, (width / 2, 8), (0.5, 0.0)),
    ):
        write(picture, letter, at, size=15, anchor=anchor, bold=True, shadow=True)
    return picture


def _surfaces(views: Views) -> Picture:
    pictures = []
    for name, direction in EYES.items():
        views.surfaces.look_from(direction)
        pictures.append(views.surfaces.picture())
        write(pictures[-1], name, (10, 8), size=14, colour=INK, anchor=(0, 0))
    return beside(pictures)
