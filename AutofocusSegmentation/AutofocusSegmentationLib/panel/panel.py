"""The panel: brings inputs, models, devices, the run, its result and the attention together.

It waits for nothing: requests go to the worker, and a timer hears the answers (mailbox.py, worker/session.py).
"""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.attention_view import AttentionView
from AutofocusSegmentationLib.panel.device_choice import DeviceChoice
from AutofocusSegmentationLib.panel.inputs import Inputs
from AutofocusSegmentationLib.panel.messages import Messages
from AutofocusSegmentationLib.panel.model_list import ModelList
from AutofocusSegmentationLib.panel.planner import Planner
from AutofocusSegmentationLib.panel.result_view import ResultView
from AutofocusSegmentationLib.panel.run_control import RunControl
from AutofocusSegmentationLib.scene.results import Added
from AutofocusSegmentationLib.worker.mailbox import Mailbox
from AutofocusSegmentationLib.worker.run import Run
from AutofocusSegmentationLib.worker.session import WorkerSession

POLL_MS = 20


class Panel:
    """Everything behind the widgets of AutofocusSegmentation.ui.

    Args:
        ui: the widgets, as slicer.util.childWidgetVariables gives them.
    """

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self.parameters: Any = None
        self._gui_tag: Any = None
        self._observations: list[tuple[Any, int]] = []
        self._asked = False

        self.mailbox = Mailbox()
        self.messages = Messages(ui)
        self.session = WorkerSession(self.mailbox, on_log=self.messages.log)
        self.inputs = Inputs(ui, self._changed)
        self.devices = DeviceChoice(ui, self._changed)
        self.models = ModelList(ui, self._model_changed, self.session.request, self.load_models)
        self.planner = Planner(ui, self.session, self.inputs, self.models, self.devices)
        self.result = ResultView(ui, self.messages.say)
        self.attention = AttentionView(ui)
        self.control = RunControl(
            ui,
            self.session,
            self.mailbox,
            self.messages,
            self.devices,
            on_clear=lambda: self.attention.set_attention(None, None),
            on_added=self._added,
            on_change=self._run_changed,
        )

        ui.segmentButton.connect("clicked(bool)", lambda checked=False: self.segment())
        ui.cancelButton.connect("clicked(bool)", lambda checked=False: self.control.cancel())
        ui.refreshDevicesButton.connect("clicked(bool)", lambda checked=False: self.load_devices())
        ui.roiSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._changed())
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._result_chosen)
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.mailbox.empty)
        self._observe(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self._node_added)
        self._observe(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._node_removed)

    @property
    def run(self) -> Run | None:
        """The present run, or the last one."""
        return self.control.run

    # Life

    def enter(self, parameters: Any) -> None:
        """The module is shown, with this parameter node."""
        self.set_parameters(parameters)
        self.timer.start()
        if not self._asked:
            self._asked = True
            self.load_models()
            self.load_devices()
        self.attention.enter()

    def exit(self) -> None:
        """Another module is shown. A run goes on."""
        self.attention.exit()

    def close(self) -> None:
        """The application ends, or the module is loaded again."""
        self.timer.stop()
        self.planner.stop()
        self.control.cancel()
        self.set_parameters(None)
        self.attention.close()
        self.result.close()
        self.session.close()
        for caller, tag in self._observations:
            caller.RemoveObserver(tag)
        self._observations = []

    def scene_closes(self) -> None:
        """The scene is being emptied."""
        self.control.scene_closes()
        self.set_parameters(None)

    def set_parameters(self, parameters: Any) -> None:
        """Show and keep the choices of this parameter node; None while the scene has none."""
        if self.parameters is not None and self._gui_tag is not None:
            self.parameters.disconnectGui(self._gui_tag)
            self._gui_tag = None
        self.parameters = parameters
        self.devices.set_parameters(parameters)
        self.planner.set_parameters(parameters)
        self.inputs.set_parameter_node(parameters.parameterNode if parameters is not None else None)
        self.attention.set_parameters(parameters)
        if parameters is None:
            self.result.show(None)
            return
        self._gui_tag = parameters.connectGui(self.ui)
        if parameters.model_name:
            self.models.choose(parameters.model_name)
        elif self.models.chosen is not None:
            parameters.model_name = self.models.chosen["name"]
        self.inputs.prefill()
        self._result_chosen(parameters.segmentation)
        self._changed()

    # What there is to choose from

    def load_models(self) -> None:
        """Ask for the models."""
        self.session.request("models", on_result=self._got_models, on_error=self.messages.complain)

    def load_devices(self) -> None:
        """Ask for the devices; without PyTorch there is nobody to ask."""
        if requirements.missing() is None:
            self.session.request("devices", on_result=self._got_devices, on_error=self.messages.complain)

    def _got_models(self, message: dict[str, Any]) -> None:
        self.models.fill(message["models"], self.parameters.model_name if self.parameters is not None else "")
        for sentence in message.get("damaged") or []:
            self.messages.log(sentence)

    def _got_devices(self, message: dict[str, Any]) -> None:
        self.devices.fill(message["devices"])
        if not self.control.running:
            self.planner.soon(anew=True)

    def _model_changed(self, model: dict[str, Any] | None) -> None:
        if model is not None:
            if self.parameters is not None and self.parameters.model_name != model["name"]:
                self.parameters.model_name = model["name"]
            self.inputs.set_channels(model["channels"])
        self._changed()

    def _changed(self) -> None:
        """Something else is chosen: what is missing, and what the plan is, may have changed."""
        self._show_readiness()
        if not self.control.running:
            self.planner.soon()

    # The run

    def missing(self) -> list[str]:
        """Sentences about what is still missing before Segment can be clicked."""
        if self.control.running:
            return [_("A run is under way.")]
        if self.parameters is None:
            return [_("The scene is being closed.")]
        if self.models.chosen is None:
            return [_("Choose a model.")]
        return self.inputs.missing()

    def segment(self) -> None:
        """The click on Segment."""
        self._show_readiness()
        if not self.missing():
            self.timer.start()
            self.control.start(self.inputs.nodes(), self.models.chosen, self.parameters)

    def _run_changed(self) -> None:
        if self.control.running:
            self.planner.stop()
        self._show_readiness()

    def _added(self, added: Added, reference: Any) -> None:
        if self.parameters is not None:
            self.parameters.segmentation = added.segmentation
        self.result.show(added.segmentation)
        self.attention.set_attention(added.attention, reference)

    def _show_readiness(self) -> None:
        lacking = self.missing()
        self.ui.segmentButton.enabled = not lacking
        self.ui.cancelButton.enabled = self.control.running
        hint = _("Segment the chosen volume with the chosen model.")
        need = requirements.missing() if not lacking else None
        if need is not None:
            hint = f"{need.cause}; {need.remedy}."
        self.ui.segmentButton.toolTip = "\n".join(lacking) if lacking else hint

    # The scene

    def _node_added(self, caller: Any, event: Any, node: Any) -> None:
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode") and self.parameters is not None:
            qt.QTimer.singleShot(0, self._fill_in)  # when the node has its name and its image

    def _fill_in(self) -> None:
        if self.parameters is not None and not slicer.mrmlScene.IsBatchProcessing():
            self.inputs.prefill()
            self._changed()

    def _node_removed(self, caller: Any, event: Any, node: Any) -> None:
        self.control.node_removed(node)
        if node is self.result.node:
            self.result.show(None)
        self.attention.node_removed(node)
        if self.parameters is not None and node.IsA("vtkMRMLVolumeNode"):
            self._changed()

    def _result_chosen(self, node: Any) -> None:
        self.result.show(node)
        self.attention.find(node)

    def _observe(self, caller: Any, event: Any, call: Any) -> None:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def heard(source: Any, name: Any, data: Any) -> None:
            call(source, name, data)

        self._observations.append((caller, caller.AddObserver(event, heard)))
