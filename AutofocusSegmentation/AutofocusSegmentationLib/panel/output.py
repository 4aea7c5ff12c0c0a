"""Output of the next run: a new segmentation, or an earlier result of the same scan and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.scene.result_identity import is_edited, is_result_of


def confirm_output(node: Any, scan: Any, model: dict[str, Any]) -> bool:
    """Ask before a segmentation with other content is replaced. True: replace it, and keep a copy.

    Args:
        node: the chosen output; None: a new segmentation.
        scan: the volume that is going to be segmented.
        model: by which model.
    """
    if node is None or not node.GetSegmentation().GetNumberOfSegments():
        return True
    same = is_result_of(node, scan, model)
    if same and not is_edited(node):
        return True
    if same:
        why = _("{name} was changed after it had been segmented.")
    else:
        why = _("{name} is no result of {model} on {scan}.")
    question = _("{why} Put the new result in its place? What is there now is kept as a copy, “{name} (kept)”.")
    names = {"name": node.GetName(), "model": model["title"], "scan": scan.GetName()}
    text = question.format(why=why.format(**names), name=node.GetName())
    return bool(slicer.util.confirmYesNoDisplay(text, windowTitle=_("Output")))


def fitting_output(node: Any, channels: Sequence[Any], model: dict[str, Any] | None) -> Any:
    """The chosen output, or None once it is a result of another scan or model than is chosen now.

    A segmentation that was not made by a run stays chosen; the user is asked before it is replaced.
    """
    if node is None or model is None or not channels or channels[0] is None:
        return node
    made = node.GetAttribute("AutofocusSegmentation.Made")
    return node if not made or is_result_of(node, channels[0], model) else None
