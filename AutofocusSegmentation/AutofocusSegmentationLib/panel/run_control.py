"""From the click on Segment to the nodes in the scene, or to a sentence that says why there are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.device_choice import DeviceChoice
from AutofocusSegmentationLib.panel.messages import Messages
from AutofocusSegmentationLib.panel.model_list import duration
from AutofocusSegmentationLib.panel.output import confirm_output
from AutofocusSegmentationLib.panel.requests import make_request
from AutofocusSegmentationLib.scene.results import Added, add_frames, add_labels, add_maps
from AutofocusSegmentationLib.worker.frame_runs import FrameRuns
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.run import ENDED, Run, State
from AutofocusSegmentationLib.worker.session import WorkerSession

# Where each stage begins and ends on the bar, about as long as it takes: the bar moves forward only.
STAGES = {
    "export": (0.00, 0.02),
    "read": (0.02, 0.04),
    "prepare": (0.04, 0.12),
    "predict": (0.12, 0.85),
    "resample": (0.85, 0.95),
    "write": (0.95, 0.98),
    "import": (0.98, 1.00),
}


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


class RunControl:
    """One run at a time, or one for each frame of a sequence.

    Args:
        ui: the panel's widgets.
        session, main_thread: the worker, and the queue for its answers.
        messages: what is told to the user.
        devices: what is chosen to compute on.
        on_clear: takes from the views what a new result replaces.
        on_added: takes the nodes of a finished run and the volume that they belong to.
        on_change: called when a run begins and when it has ended.
    """

    def __init__(
        self,
        ui: Any,
        session: WorkerSession,
        main_thread: MainThreadQueue,
        messages: Messages,
        devices: DeviceChoice,
        on_clear: Callable[[], None],
        on_added: Callable[[Added, Any], None],
        on_change: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._session, self._main_thread = session, main_thread
        self._messages, self._devices = messages, devices
        self._on_clear, self._on_added, self._on_change = on_clear, on_added, on_change
        self._channels: list[Any] = []
        self._model: dict[str, Any] = {}
        self._parameters: Any = None
        self._output: Any = None
        self._frames: FrameRuns | None = None
        self._started = 0.0
        self._steps: Iterator[None] | None = None
        self.run: Run | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way, or its result on its way into the scene."""
        return self._steps is not None or (self.run is not None and self.run.state not in ENDED)

    def start(self, channels: list[Any], model: dict[str, Any], parameters: Any) -> None:
        """Segment these volume nodes; returns at once."""
        if self.running or not requirements.ensure_torch():
            return
        if not confirm_output(parameters.output, channels[0], model):
            self._messages.say(
                _("Nothing was started. Choose “Create new segmentation” as the output, and click Segment.")
            )
            return
        self._channels, self._model, self._parameters = channels, model, parameters
        self._output = parameters.output
        self._started = time.monotonic()
        self._frames = FrameRuns.of(channels) if parameters.every_frame else None
        names = ", ".join(node.GetName() for node in channels)
        self._messages.log(_("Segmenting {volumes} with {model}.").format(volumes=names, model=model["title"]))
        self._begin()

    def cancel(self) -> None:
        """End the run; one that has been computed is brought in all the same."""
        if self.running:
            self.run.cancel()

    def node_removed(self, node: Any) -> None:
        """A volume that is being segmented leaves the scene: so does the reason to go on."""
        if self.running and any(node is channel for channel in self._channels):
            self.run.cancel()
            self._messages.say(_("Cancelled, because {name} was removed.").format(name=node.GetName()))

    def scene_closes(self) -> None:
        """Cancel the run, because the scene is being emptied."""
        if self.running:
            self.run.cancel()
            if self._steps is not None:
                self._rest()
            self._messages.say(_("Cancelled, because the scene was closed."))

    def _begin(self) -> None:
        """Send the request for the chosen volumes, or for the next frame."""
        try:
            images = None if self._frames is None else self._frames.images()
            request = make_request(
                self._channels, self._model["name"], self._devices.settings(), self._parameters, images=images
            )
        except Exception as error:
            self._messages.say(str(error), error=True)
            self._rest()
            return
        if self._frames is not None and not self._frames.shows:
            request = replace(request, attention=False)
        self.run = Run(self._session, self._main_thread, self._progressed, self._ended)
        self._ui.progressBar.value = 0
        self._ui.progressBar.visible = True
        self._on_change()
        self.run.start(request)

    def _progressed(self, stage: str, share: float, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else ", " + _("{time} left").format(time=duration(seconds_left))
        frame = ""
        if self._frames is not None:
            total = len(self._frames.reference)
            frame = _("Frame {number} of {total}: ").format(number=self._frames.number + 1, total=total)
        self._ui.statusLabel.text = f"{frame}{stage_title(stage)}{left}"
        begin, end = STAGES.get(stage, (0.0, 0.0))
        self._ui.progressBar.value = max(self._ui.progressBar.value, round(1000 * (begin + (end - begin) * share)))

    def _ended(self, run: Run) -> None:
        if run.state is State.FINISHED:
            if self._frames is not None and self._frames.take(run.result):
                self._begin()
                return
            self._steps = self._bring_in(run)
            self._main_thread.post(self._go_on)
            return
        if run.state is State.CANCELLED:
            time_taken = duration(time.monotonic() - self._started)
            sentence = _("Cancelled after {time}; the scene is as it was. Click Segment to start again.")
            self._messages.say(sentence.format(time=time_taken))
        elif run.fault is not None:
            self._messages.say(str(run.fault), error=True)
        self._rest()
        if run.fault is not None and run.fault.code == "device":
            self._offer_another_device()

    def _bring_in(self, run: Run) -> Iterator[None]:
        """Put the result into the scene, in steps between which the application goes on."""
        reference, output = self._channels[0], self._output
        self._on_clear()  # what is replaced is not drawn again meanwhile
        yield
        if reference.GetScene() is None:
            self._messages.say(_("The volume was removed meanwhile, so that the result has no place."), error=True)
            return
        if output is not None and output.GetScene() is None:
            output = None  # it was removed meanwhile
        result = run.result if self._frames is None else self._frames.shown_result()
        if self._frames is not None:
            segmentation, kept = add_frames(reference, self._frames, self._model, replace=output)
        else:
            segmentation, kept = add_labels(reference, result, self._model, replace=output)
        yield
        attention = add_maps(reference, result, segmentation)
        yield
        self._on_added(Added(segmentation, attention, kept), reference)
        found = run.result
        sentence = _("Done in {time} on {device}. Check every contour: click a structure to go there.").format(
            time=duration(time.monotonic() - self._started), device=found.device
        )
        if kept is not None:
            sentence += " " + _("What was there before is kept as {name}.").format(name=kept.GetName())
        self._messages.say(sentence)
        self._messages.log(f"{found.plan} {found.precision}")
        for warning in found.warnings:
            self._messages.log(warning)

    def _go_on(self) -> None:
        """Do the next step of adding a result to the scene."""
        if self._steps is None:
            return  # the scene was closed
        try:
            next(self._steps)
        except StopIteration:
            self._rest()
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            sentence = _(
                "The result could not be brought into the scene ({error}). Click Segment again; if it happens again, "
                "report it with the lines in the log below."
            )
            self._messages.say(sentence.format(error=what), error=True)
            self._rest()
            raise
        else:
            self._main_thread.post(self._go_on)

    def _rest(self) -> None:
        self._frames, self._channels, self._parameters, self._output, self._steps = None, [], None, None, None
        self._ui.progressBar.visible = False
        self._on_change()

    def _offer_another_device(self) -> None:
        question = _(
            "{device} cannot be used now. Choose Automatic instead, which takes the fastest device that is there?"
        ).format(device=self._devices.device)
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Device")):
            self._devices.choose("auto")
