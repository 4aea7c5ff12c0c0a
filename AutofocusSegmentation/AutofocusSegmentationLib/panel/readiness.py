"""State of the panel before a run: whether Segment can be clicked, warnings, and the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.messages import show_warnings
from AutofocusSegmentationLib.panel.model_list import duration
from AutofocusSegmentationLib.panel.plausibility import warnings_before

if TYPE_CHECKING:
    from AutofocusSegmentationLib.panel.panel import Panel

GIB = 2**30


def show_readiness(panel: Panel, *, hint: bool) -> None:
    """Enable the buttons, and show warnings about what is chosen.

    Args:
        panel: whose widgets.
        hint: whether the status line shows the next step; otherwise it keeps its text.
    """
    lacking, running = panel.missing(), panel.control.running
    panel.ui.segmentButton.enabled = not lacking
    panel.ui.cancelButton.enabled = running
    need = requirements.missing() if not lacking else None
    sentence = next_step(panel)
    panel.ui.segmentButton.toolTip = "\n".join(lacking) if lacking else sentence
    if hint:
        panel.messages.hint(sentence)
        panel.control.news = False
    if not running:
        model = panel.models.chosen
        doubts = warnings_before(panel.inputs.nodes(), model) if model is not None and need is None else []
        show_warnings(panel.ui.warningLabel, doubts)


def next_step(panel: Panel) -> str:
    """A sentence about what to do next."""
    lacking = panel.missing()
    if lacking:
        return " ".join(lacking)
    need = requirements.missing()
    if need is not None:
        return str(need)
    plan = panel.planner.estimate
    if plan is None or not plan.get("seconds"):
        return _("Click Segment.")
    return _("Click Segment: about {time} on {device}, {memory:.1f} GiB of memory.").format(
        time=duration(plan["seconds"]), device=plan["device"], memory=plan["peak_bytes"] / GIB
    )
