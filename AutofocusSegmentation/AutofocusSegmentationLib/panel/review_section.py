"""The panel's section for going through a result: its uncertainty, points, report, and comparison with another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusCore.errors import AutofocusError, InputError
from AutofocusSegmentationLib.panel.comparison_table import ComparisonTable
from AutofocusSegmentationLib.panel.messages import show_warnings
from AutofocusSegmentationLib.scene.geometry import snapshot
from AutofocusSegmentationLib.scene.handover import hand_over
from AutofocusSegmentationLib.scene.provenance_node import provenance_of
from AutofocusSegmentationLib.scene.result_identity import is_edited, scan_of
from AutofocusSegmentationLib.scene.review_points import add_points
from AutofocusSegmentationLib.scene.review_record import places_of, review_of
from AutofocusSegmentationLib.worker.errand import Errands


class ReviewSection:
    """Acts on one segmentation node.

    Args:
        ui: the panel's widgets.
        errands: sends requests to the worker.
        say: shows a sentence to the user; `error=True` for a complaint.
        show_uncertainty: lays the map over the scan, or takes it off.
    """

    def __init__(
        self, ui: Any, errands: Errands, say: Callable[..., None], show_uncertainty: Callable[[bool], None]
    ) -> None:
        self._ui, self._errands, self._say = ui, errands, say
        self._node: Any = None
        self._has_uncertainty = False
        self.comparison = ComparisonTable(ui.comparisonTable)
        ui.uncertaintyButton.connect("clicked(bool)", show_uncertainty)
        ui.pointsButton.connect("clicked(bool)", lambda checked=False: self.make_points())
        ui.reportButton.connect("clicked(bool)", lambda checked=False: self.report())
        ui.compareButton.connect("clicked(bool)", lambda checked=False: self.compare())
        ui.compareSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._forget_comparison())
        self.show(None)

    def show(self, node: Any) -> None:
        """Act on this segmentation node, or on nothing."""
        self._node = node
        self._forget_comparison()

    def offer_uncertainty(self, there: bool, shown: bool) -> None:
        """Say whether there is a map of uncertainty, and whether it lies over the scan."""
        self._has_uncertainty = there
        self._ui.uncertaintyButton.checked = shown
        self.update()

    def update(self) -> None:
        """Enable what can be done now."""
        idle = self._node is not None and not self._errands.busy
        other = self._ui.compareSelector.currentNode()
        self._ui.uncertaintyButton.enabled = self._node is not None and self._has_uncertainty
        self._ui.pointsButton.enabled = bool(places_of(self._node))
        self._ui.reportButton.enabled = idle
        self._ui.compareButton.enabled = idle and other is not None and other is not self._node

    def make_points(self) -> Any:
        """The places to check as a point list in the scene."""
        node = add_points(self._node)
        count = node.GetNumberOfControlPoints()
        self._say(_("{count} places are now points of {name}.").format(count=count, name=node.GetName()))
        return node

    def report(self, path: str = "") -> None:
        """Write the report of the result as it is now, and open it; asks for the file where it is not given."""
        scan = scan_of(self._node)
        record = provenance_of(self._node) or {}
        try:
            if scan is None:
                raise InputError(_("The scan of this result is not in the scene"), _("load it, and segment it again"))
            if not (record.get("model") or {}).get("name"):
                cause = _("{name} was not made by a model").format(name=self._node.GetName())
                raise InputError(cause, _("choose a result of this module"))
            handed, image = hand_over(self._node), snapshot(scan)
        except AutofocusError as error:
            self._say(str(error), error=True)
            return
        if not path:
            title, suggestion = _("Report of the result"), f"{self._node.GetName()}.html"
            path = str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, suggestion, "*.html"))
        if not path:
            return
        path = path if path.lower().endswith(".html") else f"{path}.html"
        if is_edited(self._node):
            edited = _(
                "The contours were changed after they had been segmented. Volumes and pictures are those of the "
                "changed contours; estimates and places to check are those of the original ones."
            )
            record = {**record, "warnings": [edited, *(record.get("warnings") or ())]}
        places = places_of(self._node)
        review = {
            **review_of(self._node),
            "places": [{key: value for key, value in place.items() if key != "done"} for place in places],
        }
        self._say(_("The report is being written…"))
        self._errands.send(
            "report",
            {"labels": handed.labels, "image": image},
            structures=handed.structures,
            model=record["model"]["name"],
            review=review,
            done=[number for number, place in enumerate(places) if place.get("done")],
            provenance={key: value for key, value in record.items() if key != "review"},
            output=path,
            on_result=self._open_report,
            on_error=self._complain,
        )

    def compare(self) -> None:
        """Compare the result with the other one that is chosen."""
        other = self._ui.compareSelector.currentNode()
        try:
            this, that = hand_over(self._node), hand_over(other, beside=self._node)
        except AutofocusError as error:
            self._say(str(error), error=True)
            return
        self._say(_("The results are being compared…"))
        asked = (self._node, other)
        self._errands.send(
            "compare",
            {"first": that.labels, "second": this.labels},
            first_structures=that.structures,
            second_structures=this.structures,
            on_result=lambda message: self._show_comparison(message, asked),
            on_error=self._complain,
        )

    def _show_comparison(self, message: dict[str, Any], asked: tuple[Any, Any]) -> None:
        if asked != (self._node, self._ui.compareSelector.currentNode()):
            return  # something else was chosen meanwhile
        self.comparison.fill(message["structures"])
        show_warnings(self._ui.comparisonWarningLabel, message.get("warnings") or [])
        self._say(_("{name} compared with {other}.").format(name=self._node.GetName(), other=asked[1].GetName()))

    def _forget_comparison(self) -> None:
        self.comparison.fill([])
        show_warnings(self._ui.comparisonWarningLabel, [])
        self.update()

    def _open_report(self, message: dict[str, Any]) -> None:
        path = message["files"][0]
        self._say(_("Written: {files}.").format(files=path))
        if not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(path)):
            self._say(_("Written: {files}. No browser could be opened to show it.").format(files=path))

    def _complain(self, message: dict[str, Any]) -> None:
        self._say(message["message"], error=True)
