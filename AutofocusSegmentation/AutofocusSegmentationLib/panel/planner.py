"""The plan before a run: what would be computed, how much memory it takes, how long each model takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.device_choice import DeviceChoice, plan_text
from AutofocusSegmentationLib.panel.inputs import Inputs
from AutofocusSegmentationLib.panel.messages import plain, red
from AutofocusSegmentationLib.panel.model_list import ModelList
from AutofocusSegmentationLib.panel.observers import Observers
from AutofocusSegmentationLib.panel.requests import plan_fields
from AutofocusSegmentationLib.worker.session import WorkerSession

DELAY_MS = 250


class Planner:
    """Asks the worker for plans when the choices have not changed for a moment.

    Args:
        ui: the panel's widgets.
        session: the worker.
        inputs, models, devices: what is chosen.
        on_plan: called when the plan for what is chosen is known.
    """

    def __init__(
        self,
        ui: Any,
        session: WorkerSession,
        inputs: Inputs,
        models: ModelList,
        devices: DeviceChoice,
        on_plan: Callable[[], None],
    ) -> None:
        self._on_plan = on_plan
        self._ui = ui
        self._session = session
        self._inputs, self._models, self._devices = inputs, models, devices
        self._parameters: Any = None
        self._requests: list[int] = []
        self._planned_for: Any = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY_MS)
        self._timer.connect("timeout()", self.plan)
        self._observers = Observers()
        self._known: dict[str, Any] | None = None  # the plan for `_planned_for`
        self.estimate: dict[str, Any] | None = None  # the plan for what is chosen, once it is known

    def set_parameters(self, parameters: Any) -> None:
        """The parameter node, or None."""
        self._parameters = parameters

    def soon(self, *, anew: bool = False) -> None:
        """Plan after a moment without further changes; `anew`: even if the same was planned before."""
        if anew:
            self._planned_for = None
        self.estimate = None
        self._timer.start()

    def stop(self) -> None:
        """Stop planning, and ignore answers that are still to come."""
        self._timer.stop()
        self._observe([])
        self._forget()

    def _forget(self) -> None:
        for request in self._requests:
            self._session.forget(request)
        self._requests = []

    def _observe(self, nodes: list[Any]) -> None:
        """Plan again when one of these nodes is moved or changed."""
        self._observers.stop()
        for node in nodes:
            for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent):
                if node is not None:
                    self._observers.add(node, event, lambda *_: self._timer.start())

    def plan(self) -> None:
        """Ask how the chosen volume would be computed, and what the other models would take."""
        lacking = requirements.missing()
        if lacking is not None:
            self._ui.planLabel.text = plain(str(lacking))
            return
        reference = next(iter(self._inputs.nodes()), None)
        model = self._models.chosen
        if self._parameters is None or reference is None or reference.GetImageData() is None or model is None:
            self._ui.planLabel.text = _("Shown as soon as a volume and a model are chosen.")
            return
        self._observe([reference, self._parameters.roi])
        try:
            fields = plan_fields(
                reference, self._parameters.roi, self._devices.settings(), bool(self._parameters.keep_attention)
            )
        except Exception as error:
            self._ui.planLabel.text = red(str(error))
            self._forget()
            self._planned_for = self._known = self.estimate = None
            self._on_plan()
            return
        if self._planned_for == (model["name"], self._models.names, fields):
            if self._known is not None:  # no process is started only to get the same plan
                self.estimate = self._known
                self._on_plan()
            return
        self._forget()
        self._planned_for, self._known = (model["name"], self._models.names, fields), None
        for name in sorted(self._models.names, key=lambda name: name != model["name"]):
            chosen = name == model["name"]
            request = self._session.request(
                "plan",
                model=name,
                on_result=partial(self._planned, name=name, chosen=chosen),
                on_error=self._not_planned if chosen else lambda message: None,
                **fields,
            )
            self._requests.append(request)

    def _planned(self, message: dict[str, Any], name: str, chosen: bool) -> None:
        self._models.set_time(name, message.get("seconds"))
        if chosen:
            self.estimate = self._known = message
            self._ui.planLabel.text = plain(plan_text(message))
            self._on_plan()

    def _not_planned(self, message: dict[str, Any]) -> None:
        if message.get("code") != "cancelled":
            self._ui.planLabel.text = red(message["message"])
