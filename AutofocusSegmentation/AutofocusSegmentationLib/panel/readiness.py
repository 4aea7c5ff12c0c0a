"""State of the panel before a run: whether Segment can be clicked, warnings, and the next step."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.inputs import Inputs
from AutofocusSegmentationLib.panel.messages import Messages, show_warnings
from AutofocusSegmentationLib.panel.model_list import ModelList, duration
from AutofocusSegmentationLib.panel.planner import Planner
from AutofocusSegmentationLib.panel.plausibility import warnings_before
from AutofocusSegmentationLib.panel.requests import region_fault
from AutofocusSegmentationLib.panel.run_control import RunControl
from AutofocusSegmentationLib.panel.teach_section import TeachSection
from AutofocusSegmentationLib.scene.result_identity import is_result_of

GIB = 2**30


class Readiness:
    """Looks at what is chosen, and tells what is still missing.

    Args:
        ui: the panel's widgets.
        messages: the status line.
        inputs, models, planner, control, teaching: what is chosen, its plan, the run, and the section for teaching.
    """

    def __init__(
        self,
        ui: Any,
        messages: Messages,
        inputs: Inputs,
        models: ModelList,
        planner: Planner,
        control: RunControl,
        teaching: TeachSection,
    ) -> None:
        self._ui, self._messages = ui, messages
        self._inputs, self._models, self._planner, self._control = inputs, models, planner, control
        self._teaching = teaching
        self._parameters: Any = None

    def set_parameters(self, parameters: Any) -> None:
        """The parameter node, or None."""
        self._parameters = parameters

    def missing(self) -> list[str]:
        """Sentences about what is still missing before Segment can be clicked."""
        if self._control.running:
            return [_("A run is under way.")]
        if self._teaching.running:
            return [_("A model is being taught. Segment when it is done, or cancel it in the section Teach.")]
        if self._parameters is None:
            return [_("The scene is being closed.")]
        if self._models.chosen is None:
            return [self._models.error or _("The models are being read; this takes some seconds.")]
        lacking = self._inputs.missing()
        return lacking or region_fault(next(iter(self._inputs.nodes()), None), self._parameters.roi)

    def show(self, *, hint: bool = False) -> None:
        """Enable the buttons, and show warnings about what is chosen.

        Args:
            hint: whether the status line shows the next step; otherwise it keeps its text.
        """
        self._teaching.update()
        lacking, running = self.missing(), self._control.running
        self._ui.segmentButton.enabled = not lacking
        self._ui.cancelButton.enabled = running
        sentence = self.next_step()
        self._ui.segmentButton.toolTip = "\n".join(lacking) if lacking else sentence
        if running:
            return
        if hint:
            self._messages.hint(sentence)
        show_warnings(self._ui.warningLabel, self._doubts(lacking))

    def _doubts(self, lacking: list[str]) -> list[str]:
        """Warnings about what is chosen, unless its result is shown, which has its own."""
        model, nodes = self._models.chosen, self._inputs.nodes()
        if model is None or (not lacking and requirements.missing() is not None):
            return []
        shown = self._ui.segmentationSelector.currentNode()
        if shown is not None and nodes and nodes[0] is not None and is_result_of(shown, nodes[0], model):
            return []
        return warnings_before(nodes, model)

    def show_plan(self) -> None:
        """The plan is there, or cannot be made: say so, unless the status line still tells what happened."""
        self.show(hint=not self._messages.news or bool(self.missing()))

    def next_step(self) -> str:
        """A sentence about what to do next."""
        lacking = self.missing()
        if lacking:
            return " ".join(lacking)
        need = requirements.missing()
        if need is not None:
            return str(need)
        plan = self._planner.estimate
        if plan is None or not plan.get("seconds"):
            return _("Click Segment.")
        return _("Click Segment: about {time} on {device}, {memory:.1f} GiB of memory.").format(
            time=duration(plan["seconds"]), device=plan["device"], memory=plan["peak_bytes"] / GIB
        )
