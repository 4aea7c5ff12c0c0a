"""The panel's result: the list of structures, warnings, surfaces, statistics, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.dicom_export import DicomExport
from AutofocusSegmentationLib.panel.messages import show_warnings
from AutofocusSegmentationLib.panel.plausibility import warnings_after
from AutofocusSegmentationLib.panel.review_view import ReviewView
from AutofocusSegmentationLib.panel.segments_table import SegmentsTable, jump_to_segments
from AutofocusSegmentationLib.scene.cameras import look_at
from AutofocusSegmentationLib.scene.provenance_node import provenance_of
from AutofocusSegmentationLib.worker.errand import Errands

FORMATS = (
    (".seg.nrrd", "Slicer segmentation (.seg.nrrd)"),
    (".nii.gz", "NIfTI labelmap (.nii.gz)"),
    (".stl", "Surfaces (.stl, one file for each structure)"),
    (".obj", "Surfaces (.obj)"),
)
DICOM_KINDS = (("rtstruct", "RTSTRUCT for planning systems (.dcm)"), ("seg", "DICOM SEG (.dcm)"))


class ResultView:
    """Shows one segmentation node.

    Args:
        ui: the panel's widgets.
        errands: sends requests to the worker.
        say: shows a sentence to the user; `error=True` for a complaint.
        on_show: each is told which node is shown.
    """

    def __init__(self, ui: Any, errands: Errands, say: Callable[..., None], *on_show: Callable[[Any], None]) -> None:
        self._ui = ui
        self._say, self._on_show = say, on_show
        self._node: Any = None
        self.table = SegmentsTable(ui.segmentsTable)
        self.review = ReviewView(ui)
        ui.show3DButton.connect("toggled(bool)", self._show_3d)
        ui.statisticsButton.connect("clicked(bool)", lambda checked=False: self.make_statistics())
        self._menu = qt.QMenu(ui.exportButton)
        for extension, title in FORMATS:
            self._add_action(_(title), lambda checked=False, wanted=extension: self.export(wanted))
        self.dicom = DicomExport(errands, say)
        for kind, title in DICOM_KINDS:
            self._add_action(_(title), lambda checked=False, wanted=kind: self.dicom.export(self._node, wanted))
        ui.exportButton.setMenu(self._menu)
        self.show(None)

    def close(self) -> None:
        """The panel goes."""
        self.table.show(None)
        self.table.stop()

    @property
    def node(self) -> Any:
        """The segmentation that is shown, or None."""
        return self._node

    def show(self, node: Any) -> None:
        """Show a segmentation node, or nothing."""
        self._node = node
        there = node is not None
        self.table.show(node)
        self.review.show(node)
        for widget in (self._ui.show3DButton, self._ui.statisticsButton, self._ui.exportButton):
            widget.enabled = there
        surfaces = there and node.GetSegmentation().ContainsRepresentation("Closed surface")
        visible = bool(surfaces and node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility3D())
        blocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = visible
        self._ui.show3DButton.blockSignals(blocked)
        scan = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) if there else None
        show_warnings(self._ui.resultWarningLabel, warnings_after(provenance_of(node), scan) if there else [])
        for told in self._on_show:
            told(node)

    def show_new(self, node: Any) -> None:
        """Show the result of a run that has just ended: the views go there, surfaces that were shown are made again."""
        in_3d = self._ui.show3DButton.checked
        self.show(node)
        if in_3d:
            self._ui.show3DButton.checked = True
            self._show_3d(True)
        jump_to_segments(node)

    def make_statistics(self) -> Any:
        """A table node with volume and intensity of every segment, by the Segment Statistics module; shown."""
        import SegmentStatistics

        logic = SegmentStatistics.SegmentStatisticsLogic()
        parameters = logic.getParameterNode()
        parameters.SetParameter("Segmentation", self._node.GetID())
        reference = self._node.GetNodeReference(self._node.GetReferenceImageGeometryReferenceRole())
        if reference is not None:
            parameters.SetParameter("ScalarVolume", reference.GetID())
        logic.computeStatistics()
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", f"{self._node.GetName()} statistics")
        logic.exportToTable(table)
        logic.showTable(table)
        return table

    def export(self, extension: str, path: str = "") -> list[str]:
        """Save in one format; asks for the file (for STL the folder) where it is not given."""
        window = slicer.util.mainWindow()
        if not path and extension == ".stl":
            path = qt.QFileDialog.getExistingDirectory(window, _("Folder for the surfaces"))
        elif not path:
            suggestion = f"{self._node.GetName()}{extension}"
            path = qt.QFileDialog.getSaveFileName(window, _("Export the segmentation"), suggestion, f"*{extension}")
        if not path:
            return []
        from AutofocusSegmentationLib.scene import exports

        try:
            written = exports.export(self._node, str(path), extension)
        except Exception as error:
            self._say(str(error), error=True)
            return []
        self._say(_("Written: {files}.").format(files=", ".join(str(file) for file in written)))
        return [str(file) for file in written]

    def _add_action(self, title: str, call: Callable[..., Any]) -> None:
        action = self._menu.addAction(title)
        action.connect("triggered(bool)", call)

    def _show_3d(self, wanted: bool) -> None:
        if self._node is None:
            return
        if wanted:
            self._node.CreateClosedSurfaceRepresentation()
        display = self._node.GetDisplayNode()
        if display is not None:
            display.SetVisibility3D(wanted)
        if wanted:
            look_at(self._node)
