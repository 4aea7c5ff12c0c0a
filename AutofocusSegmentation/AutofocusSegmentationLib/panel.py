"""The panel: brings inputs, models, devices, the run, its result and the attention together.

It waits for nothing: requests go to the worker, and a timer hears the answers (mailbox.py, worker_session.py).
"""

from __future__ import annotations

import html
import time
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from AutofocusSegmentationLib import requirements
from AutofocusSegmentationLib.attention_view import AttentionView
from AutofocusSegmentationLib.device_choice import DeviceChoice, plan_text
from AutofocusSegmentationLib.inputs import Inputs
from AutofocusSegmentationLib.mailbox import Mailbox
from AutofocusSegmentationLib.model_list import ModelList, duration
from AutofocusSegmentationLib.orders import make_order, plan_fields
from AutofocusSegmentationLib.result_view import ResultView
from AutofocusSegmentationLib.run import ENDED, Order, Run, State
from AutofocusSegmentationLib.scene_results import add_to_scene
from AutofocusSegmentationLib.worker_session import WorkerSession

POLL_MS = 20
PLAN_DELAY_MS = 250
ERROR_COLOUR = "#c0392b"


def stage_title(stage: str) -> str:
    """A stage of a run in words."""
    titles = {
        "export": _("Handing over the volume"),
        "read": _("Reading"),
        "prepare": _("Resampling and normalising"),
        "predict": _("Segmenting"),
        "resample": _("Bringing the result to the volume's grid"),
        "write": _("Collecting"),
        "import": _("Bringing the result into the scene"),
    }
    return titles.get(stage, stage)


class Panel:
    """Everything behind the widgets of AutofocusSegmentation.ui.

    Args:
        ui: the widgets, as slicer.util.childWidgetVariables gives them.
        session: the worker; None: one is made.
    """

    def __init__(self, ui: Any, session: WorkerSession | None = None) -> None:
        self.ui = ui
        self.mailbox = Mailbox()
        self.session = session or WorkerSession(self.mailbox, on_log=self.log)
        self.parameters: Any = None
        self.run: Run | None = None
        self._gui_tag: Any = None
        self._observations: list[tuple[Any, int]] = []
        self._references: list[Any] = []
        self._browser_frames: Any = None
        self._greeted = False
        self._plan_request: int | None = None

        self.inputs = Inputs(ui, self._input_changed)
        self.devices = DeviceChoice(ui, self.plan_soon)
        self.models = ModelList(ui, self._model_changed, self.session.request, self.load_models)
        self.result = ResultView(ui, self.say)
        self.attention = AttentionView(ui)
        ui.segmentButton.connect("clicked(bool)", lambda checked=False: self.segment())
        ui.cancelButton.connect("clicked(bool)", lambda checked=False: self.cancel())
        ui.refreshDevicesButton.connect("clicked(bool)", lambda checked=False: self.load_devices())
        ui.roiSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self.plan_soon())
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._result_chosen)

        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_MS)
        self.timer.connect("timeout()", self.mailbox.empty)
        self._plan_timer = qt.QTimer()
        self._plan_timer.setSingleShot(True)
        self._plan_timer.setInterval(PLAN_DELAY_MS)
        self._plan_timer.connect("timeout()", self.plan)
        scene = slicer.mrmlScene
        for event, call in (
            (slicer.vtkMRMLScene.NodeAddedEvent, self._node_added),
            (slicer.vtkMRMLScene.NodeRemovedEvent, self._node_removed),
        ):
            self._observe(scene, event, call)

    # Life of the panel

    def enter(self, parameters: Any) -> None:
        """The module is shown, with this parameter node."""
        self.set_parameters(parameters)
        self.timer.start()
        if not self._greeted:
            self._greeted = True
            self.load_models()
            self.load_devices()
        self.attention.enter()
        self._show_readiness()

    def exit(self) -> None:
        """Another module is shown. A run goes on."""
        self.attention.exit()

    def close(self) -> None:
        """The application ends, or the module is loaded again."""
        self.timer.stop()
        self._plan_timer.stop()
        if self.run is not None and self.run.state not in ENDED:
            self.run.cancel()
        self.set_parameters(None)
        self.attention.close()
        self.session.close()
        for caller, tag in self._observations:
            caller.RemoveObserver(tag)
        self._observations = []

    def set_parameters(self, parameters: Any) -> None:
        """Show and keep the choices of this parameter node; None while the scene has none."""
        if self.parameters is not None and self._gui_tag is not None:
            self.parameters.disconnectGui(self._gui_tag)
            self._gui_tag = None
        self.parameters = parameters
        self.devices.set_parameters(parameters)
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
        self.plan_soon()

    def scene_closes(self) -> None:
        """The scene is being emptied: whatever is computed has no place any more."""
        if self.run is not None and self.run.state not in ENDED:
            self.run.cancel()
            self.say(_("Cancelled, because the scene was closed."))
        self.set_parameters(None)

    # What there is to choose from

    def load_models(self) -> None:
        """Ask for the models."""
        self.session.request("models", on_result=self._got_models, on_error=self._complain)

    def load_devices(self) -> None:
        """Ask for the devices."""
        lacking = requirements.missing()
        if lacking is not None:
            self.ui.planLabel.text = f"{lacking.cause}; {lacking.remedy}."
            return
        self.session.request("devices", on_result=self._got_devices, on_error=self._complain)

    def _got_models(self, message: dict[str, Any]) -> None:
        if self.parameters is not None and self.parameters.model_name:
            self.models.choose(self.parameters.model_name)
        self.models.fill(message["models"])
        for sentence in message.get("damaged") or []:
            self.log(sentence)

    def _got_devices(self, message: dict[str, Any]) -> None:
        self.devices.fill(message["devices"])
        self.plan_soon()

    def _model_changed(self, model: dict[str, Any] | None) -> None:
        if model is not None:
            if self.parameters is not None and self.parameters.model_name != model["name"]:
                self.parameters.model_name = model["name"]
            self.inputs.set_channels(model["channels"])
        self.plan_soon()

    def _input_changed(self) -> None:
        self.plan_soon()

    # The plan

    def plan_soon(self) -> None:
        """Plan again when the choices have come to rest."""
        self._show_readiness()
        self._plan_timer.start()

    def plan(self) -> None:
        """Ask how the chosen volume would be computed, and what each model would take."""
        if self.parameters is None or self._running or requirements.missing() is not None:
            return
        reference = next(iter(self.inputs.nodes()), None)
        model = self.models.chosen
        if reference is None or reference.GetImageData() is None or model is None:
            self.ui.planLabel.text = _("Shown as soon as a volume and a model are chosen.")
            return
        try:
            fields = plan_fields(reference, self.parameters.roi, self._settings())
        except Exception as error:
            self.ui.planLabel.text = self._red(str(error))
            return
        self.session.forget(self._plan_request)
        self._plan_request = self.session.request(
            "plan", model=model["name"], on_result=self._planned, on_error=self._not_planned, **fields
        )
        for name in self.models.names:
            if name != model["name"]:
                self.session.request(
                    "plan", model=name, on_result=lambda m, n=name: self.models.set_time(n, m.get("seconds")), **fields
                )

    def _planned(self, message: dict[str, Any]) -> None:
        self.ui.planLabel.text = html.escape(plan_text(message))
        if self.models.chosen is not None:
            self.models.set_time(self.models.chosen["name"], message.get("seconds"))

    def _not_planned(self, message: dict[str, Any]) -> None:
        if message.get("code") != "cancelled":
            self.ui.planLabel.text = self._red(message["message"])

    # The run

    @property
    def _running(self) -> bool:
        return self.run is not None and self.run.state not in ENDED

    def missing(self) -> list[str]:
        """Sentences about what is still missing before Segment can be clicked."""
        if self._running:
            return [_("A run is under way.")]
        if self.parameters is None:
            return [_("The scene is being closed.")]
        sentences = [] if self.models.chosen is not None else [_("Choose a model.")]
        return sentences + (self.inputs.missing() if self.models.chosen is not None else [])

    def segment(self) -> None:
        """The click on Segment."""
        self._show_readiness()
        if self.missing() or not requirements.ensure_torch():
            return
        references = self.inputs.nodes()
        try:
            order = make_order(references, self.models.chosen["name"], self._settings(), self.parameters)
        except Exception as error:
            self.say(str(error), error=True)
            return
        self._start(order, references)

    def cancel(self) -> None:
        """The click on Cancel."""
        if self._running:
            self.run.cancel()

    def _start(self, order: Order, references: list[Any]) -> None:
        self._references = references
        self._plan_timer.stop()
        self.log(_("Segmenting {volumes} with {model}.").format(
            volumes=", ".join(node.GetName() for node in references), model=order.model
        ))  # fmt: skip
        self.run = Run(self.session, self.mailbox, self._progressed, self._ended)
        self.timer.start()
        self.ui.progressBar.value = 0
        self.ui.progressBar.visible = True
        self._show_readiness()
        self.run.start(order)

    def _progressed(self, stage: str, share: float, seconds_left: float | None) -> None:
        self.ui.progressBar.value = round(1000 * share)
        left = "" if seconds_left is None else ", " + _("{time} left").format(time=duration(seconds_left))
        self.ui.statusLabel.text = f"{stage_title(stage)}{left}"
        self.ui.progressBar.setFormat(f"{stage_title(stage)} %p%")

    def _ended(self, run: Run) -> None:
        self.ui.progressBar.visible = False
        if run.state is State.FINISHED:
            self._bring_in(run)
        elif run.state is State.CANCELLED:
            self.say(_("Cancelled after {time}; the scene is as it was.").format(time=duration(run.seconds)))
        elif run.fault is not None:
            self.say(str(run.fault), error=True)
            if run.fault.code == "device":
                self._offer_another_device()
        self._references = []
        self._show_readiness()

    def _bring_in(self, run: Run) -> None:
        reference = self._references[0]
        if self.parameters is None or reference.GetScene() is None:
            self.say(_("The volume was removed meanwhile, so that the result has no place."), error=True)
            return
        started = time.monotonic()
        replace = self.parameters.segmentation if self.parameters.update_result else None
        added = add_to_scene(reference, run.result, self.models.chosen, replace=replace)
        self.parameters.segmentation = added.segmentation
        self.result.show(added.segmentation)
        self.attention.set_attention(added.attention, reference)
        message = run.result.message
        self.say(_("Done in {time} on {device}, {precision}.").format(
            time=duration(run.seconds), device=message.get("device"), precision=message.get("precision")
        ), warnings=message.get("warnings") or [])  # fmt: skip
        self.log(str(message.get("plan")))
        self.log(_("Brought into the scene in {ms:.0f} ms.").format(ms=1000 * (time.monotonic() - started)))

    def _offer_another_device(self) -> None:
        question = _(
            "{device} cannot be used now. Choose Automatic instead, which takes the fastest device that is there?"
        ).format(device=self.devices.device)
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Device")):
            self.devices.choose("auto")
            self.load_devices()

    def _settings(self) -> dict[str, Any]:
        return self.devices.settings()

    # Scene

    def _node_added(self, caller: Any, event: Any, node: Any) -> None:
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode") and self.parameters is not None:
            qt.QTimer.singleShot(0, self._fill_in)  # when the node has its name and its image

    def _fill_in(self) -> None:
        if self.parameters is not None and not slicer.mrmlScene.IsBatchProcessing():
            self.inputs.prefill()
            self.plan_soon()

    def _node_removed(self, caller: Any, event: Any, node: Any) -> None:
        if self._running and any(node is reference for reference in self._references):
            self.run.cancel()
            self.say(_("Cancelled, because {name} was removed.").format(name=node.GetName()))
        if node is self.result.node:
            self.result.show(None)
        self.attention.node_removed(node)
        if self.parameters is not None:
            self.plan_soon()

    def _result_chosen(self, node: Any) -> None:
        self.result.show(node)
        self.attention.find(node)

    def _observe(self, caller: Any, event: Any, call: Any) -> None:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def heard(source: Any, name: Any, data: Any) -> None:
            call(source, name, data)

        self._observations.append((caller, caller.AddObserver(event, heard)))

    # Words

    def say(self, sentence: str, *, error: bool = False, warnings: list[str] | tuple[str, ...] = ()) -> None:
        """Show a sentence under the buttons, and keep it in the log."""
        lines = [self._red(sentence) if error else html.escape(sentence), *map(html.escape, warnings)]
        self.ui.statusLabel.text = "<br>".join(lines)
        for line in (sentence, *warnings):
            self.log(line)

    def log(self, line: str) -> None:
        """A line in the log."""
        self.ui.logText.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")

    def _complain(self, message: dict[str, Any]) -> None:
        if message.get("code") != "cancelled":
            self.say(message["message"], error=True)

    def _red(self, sentence: str) -> str:
        return f'<span style="color:{ERROR_COLOUR}">{html.escape(sentence)}</span>'

    def _show_readiness(self) -> None:
        lacking = self.missing()
        running = self._running
        self.ui.segmentButton.enabled = not lacking
        self.ui.cancelButton.enabled = running
        hint = _("Segment the chosen volume with the chosen model.")
        need = requirements.missing()
        if not lacking and need is not None:
            hint = f"{need.cause}; {need.remedy}."
        self.ui.segmentButton.toolTip = "\n".join(lacking) if lacking else hint
