"""RTSTRUCT and DICOM SEG of a result, written by the worker, for scans that came from DICOM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusCore.errors import AutofocusError
from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.scene.dicom_source import dicom_files
from AutofocusSegmentationLib.scene.handover import hand_over
from AutofocusSegmentationLib.scene.provenance_node import provenance_of
from AutofocusSegmentationLib.scene.result_identity import scan_of
from AutofocusSegmentationLib.worker.errand import Errands

TITLES = {"rtstruct": "RTSTRUCT", "seg": "DICOM SEG"}
PACKAGES = {"rtstruct": ("contourpy", "contourpy>=1.2"), "seg": ("highdicom", "highdicom>=0.24")}


class DicomExport:
    """Writes DICOM objects.

    Args:
        errands: sends requests to the worker.
        say: shows a sentence to the user; `error=True` for a complaint.
    """

    def __init__(self, errands: Errands, say: Callable[..., None]) -> None:
        self._errands, self._say = errands, say

    def export(self, node: Any, kind: str, path: str = "") -> None:
        """Write a segmentation node, with the user's corrections; returns at once.

        Args:
            node: the segmentation.
            kind: "rtstruct" or "seg".
            path: the file; asked for where it is not given.
        """
        try:
            files = dicom_files(scan_of(node))
            handed = hand_over(node)
        except AutofocusError as error:
            self._say(_("{what} cannot be written: {why}").format(what=TITLES[kind], why=error), error=True)
            return
        if not requirements.ensure_package(*PACKAGES[kind], TITLES[kind]):
            return
        if not path:
            title = _("Export as {what}").format(what=TITLES[kind])
            suggestion = f"{node.GetName()} {TITLES[kind]}.dcm"
            path = str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, suggestion, "*.dcm"))
        if not path:
            return
        path = path if path.lower().endswith(".dcm") else f"{path}.dcm"
        record = {key: value for key, value in (provenance_of(node) or {}).items() if key != "review"}
        self._say(_("{what} is being written…").format(what=TITLES[kind]))
        self._errands.send(
            "export",
            {"labels": handed.labels},
            structures=handed.structures,
            provenance=record,
            format=kind,
            dicom=files,
            output=path,
            on_result=lambda message: self._say(_("Written: {files}.").format(files=", ".join(message["files"]))),
            on_error=lambda message: self._say(message["message"], error=True),
        )
