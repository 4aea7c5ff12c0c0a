"""The panel: brings inputs, models, devices, the run, its result and the attention together.

It never waits: requests go to the worker (worker/session.py), and a timer takes the answers from a queue
(worker/main_thread_queue.py).
"""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.attention_view import AttentionView
from AutofocusSegmentationLib.panel.closing import CloseGuard
from AutofocusSegmentationLib.panel.device_choice import DeviceChoice
from AutofocusSegmentationLib.panel.inputs import Inputs
from AutofocusSegmentationLib.panel.messages import Messages
from AutofocusSegmentationLib.panel.model_list import ModelList
from AutofocusSegmentationLib.panel.nodes_watch import NodesWatch
from AutofocusSegmentationLib.panel.output import fitting_output
from AutofocusSegmentationLib.panel.parameters import choose_node
from AutofocusSegmentationLib.panel.planner import Planner
from AutofocusSegmentationLib.panel.readiness import Readiness
from AutofocusSegmentationLib.panel.result_view import ResultView
from AutofocusSegmentationLib.panel.review_section import ReviewSection
from AutofocusSegmentationLib.panel.run_control import RunControl
from AutofocusSegmentationLib.panel.shown_volume import ViewsWatch
from AutofocusSegmentationLib.panel.teach_section import TeachSection
from AutofocusSegmentationLib.scene.result_identity import newest_result, scan_of
from AutofocusSegmentationLib.scene.results import Added
from AutofocusSegmentationLib.worker.errand import Errands
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
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
        self._asked = False
        self._input: Any = None  # the scan whose result is shown

        self.main_thread = MainThreadQueue()
        self.messages = Messages(ui)
        self.session = WorkerSession(self.main_thread, on_log=self.messages.log)
        self.inputs = Inputs(ui, self._changed)
        self.devices = DeviceChoice(ui, self._changed)
        self.models = ModelList(ui, self._model_changed, self.session.request, self.load_models)
        self.planner = Planner(
            ui, self.session, self.inputs, self.models, self.devices, lambda: self.readiness.show_plan()
        )
        self.errands = Errands(self.session, self.main_thread, on_change=lambda: self.review.update())
        self.review = ReviewSection(
            ui, self.errands, self.messages.say, lambda wanted: self.attention.show_uncertainty(wanted)
        )
        self.teaching = TeachSection(
            ui,
            self.main_thread,
            self.messages,
            (self.inputs, self.models, self.devices),
            segmenting=lambda: self.control.running,
            on_change=lambda: self.readiness.show(hint=True),
            on_taught=self.load_models,
        )
        self.result = ResultView(ui, self.errands, self.messages.say, self.review.show, self.teaching.show)
        self.attention = AttentionView(ui, self._maps_changed)
        self.control = RunControl(
            ui,
            self.session,
            self.main_thread,
            self.messages,
            self.devices,
            on_clear=lambda: self.attention.set_attention(None),
            on_added=self._added,
            on_change=self._run_changed,
        )
        self.readiness = Readiness(
            ui, self.messages, self.inputs, self.models, self.planner, self.control, self.teaching
        )

        ui.segmentButton.connect("clicked(bool)", lambda checked=False: self.segment())
        ui.cancelButton.connect("clicked(bool)", lambda checked=False: self.control.cancel())
        ui.refreshDevicesButton.connect("clicked(bool)", lambda checked=False: self.load_devices())
        for selector in (ui.roiSelector, ui.outputSelector):
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._changed())
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._result_chosen)
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self._tick)
        self.nodes = NodesWatch(self._node_added, self._node_removed)
        self.views = ViewsWatch(self._views_changed)
        self.guard = CloseGuard()
        segmenting, learning = _("A segmentation is running."), _("A model is being taught.")
        self.guard.watch((segmenting, self.control), (learning, self.teaching.lesson))

    @property
    def run(self) -> Run | None:
        """The present run, or the last one."""
        return self.control.run

    # Life

    def enter(self, parameters: Any) -> None:
        """The module is shown, with this parameter node."""
        self.set_parameters(parameters)
        self.timer.start()
        if not self._asked or not self.models.names:
            self._asked = True
            self.load_models()
            self.load_devices()
        self.attention.enter()

    def exit(self) -> None:
        """Another module is shown. A run goes on."""
        self.attention.exit()

    def close(self) -> None:
        """Release everything: the application is ending, or the module is being reloaded."""
        for part in (self.timer, self.guard, self.views, self.messages):
            part.stop()
        self.control.cancel()
        self.set_parameters(None)
        self.planner.stop()  # last, as the end of a run asks for a plan
        self.attention.close()
        self.result.close()
        self.teaching.close()
        self.session.close()
        self.nodes.stop()

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
        self.readiness.set_parameters(parameters)
        self.inputs.set_parameters(parameters)
        self.attention.set_parameters(parameters)
        if parameters is None:
            self._input = None
            self.result.show(None)
            return
        self._gui_tag = parameters.connectGui(self.ui)
        if parameters.model_name:
            self.models.choose(parameters.model_name)
        elif self.models.chosen is not None:
            parameters.model_name = self.models.chosen["name"]
        self.inputs.follow()
        self._input = next(iter(self.inputs.nodes()), None)
        self._result_chosen(parameters.segmentation)
        self._changed()

    # What there is to choose from

    def load_models(self, choose: str = "") -> None:
        """Ask for the models, and choose one of them, such as a new one; "" keeps the choice."""
        if choose and self.parameters is not None:
            self.parameters.model_name = choose
        self.session.request("models", on_result=self._got_models, on_error=self._no_models)

    def load_devices(self) -> None:
        """Ask for the devices; without PyTorch there is no worker to ask."""
        if requirements.missing() is None:
            self.session.request("devices", on_result=self._got_devices, on_error=self.messages.complain)

    def _got_models(self, message: dict[str, Any]) -> None:
        self.models.fill(message["models"], self.parameters.model_name if self.parameters is not None else "")
        if not self.devices.known:  # the process could not be started when they were asked for
            self.load_devices()
        for sentence in message.get("damaged") or []:
            self.messages.log(sentence)

    def _no_models(self, message: dict[str, Any]) -> None:
        self.models.fail(message)
        self.messages.complain(message)

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
        """A choice has changed: update what is missing, the plan and the result that is shown."""
        if self.parameters is not None and not self.control.running:
            scan = next(iter(self.inputs.nodes()), None)
            output = self.parameters.output
            fitting = fitting_output(output, self.inputs.nodes(), self.models.chosen)
            if fitting is not output:
                choose_node(self.ui, self.parameters, "output", fitting)
            if scan is not self._input:
                self._input = scan
                self._show_result(newest_result(scan))
            self.planner.soon()
        self.readiness.show(hint=True)

    # The run

    def segment(self) -> None:
        """Handle a click on Segment."""
        lacking = self.readiness.missing()
        self.readiness.show(hint=bool(lacking))
        if not lacking:
            self.timer.start()
            self.control.start(self.inputs.nodes(), self.models.chosen, self.parameters)

    def _run_changed(self) -> None:
        if self.control.running:
            self.planner.stop()
        else:
            self.planner.soon(anew=True)
        self.readiness.show()

    def _added(self, added: Added, reference: Any) -> None:
        if self.parameters is not None:
            choose_node(self.ui, self.parameters, "output", added.segmentation)
            choose_node(self.ui, self.parameters, "segmentation", added.segmentation)
        self.attention.set_attention(added.attention)
        self.result.show_new(added.segmentation)

    def _tick(self) -> None:
        self.main_thread.empty()
        self.session.rest()

    # The scene

    def _node_added(self, node: Any) -> None:
        if node is None or self.parameters is None:
            return
        self.views.add(node)
        if node.IsA("vtkMRMLScalarVolumeNode"):
            qt.QTimer.singleShot(0, self._fill_in)  # when the node has its name and its image

    def _fill_in(self) -> None:
        if self.parameters is not None and not slicer.mrmlScene.IsBatchProcessing() and self.inputs.follow():
            self._changed()

    def _views_changed(self) -> None:
        """The views show other volumes: the input follows, unless it was chosen; what belongs to a scan stays on it."""
        self._fill_in()
        self.inputs.refresh()
        self.attention.update()

    def _node_removed(self, node: Any) -> None:
        self.control.node_removed(node)
        if node is self.result.node:
            self.result.show(None)
        self.attention.node_removed(node)
        if self.parameters is not None and node.IsA("vtkMRMLVolumeNode"):
            self._changed()

    def _result_chosen(self, node: Any) -> None:
        self.result.show(node)
        self.attention.find(node)
        self.readiness.show()

    def _maps_changed(self) -> None:
        attention = getattr(self, "attention", None)  # which says so while it is being made
        if attention is not None:
            self.review.offer_uncertainty(attention.has_uncertainty, attention.shows_uncertainty)

    def _show_result(self, node: Any) -> None:
        """Show a result of the scan that is the input now; results of other scans go with their scans."""
        shown = self.parameters.segmentation
        if node is None and shown is not None and scan_of(shown) in (None, self._input):
            return
        choose_node(self.ui, self.parameters, "segmentation", node)
        self._result_chosen(node)
