"""From the click on Teach to a new model in the list, or to a sentence that says why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusCore.jobs.teach_output import lesson_file
from AutofocusCore.models.store import user_model_folder
from AutofocusSegmentationLib.panel.messages import Messages, plain
from AutofocusSegmentationLib.panel.model_list import duration
from AutofocusSegmentationLib.panel.taught_table import TaughtTable, counted_cases
from AutofocusSegmentationLib.worker.session import WorkerSession

# Where each stage begins and ends on the bar, about as long as it takes: the bar moves forward only.
STAGES = {
    "read": (0.00, 0.04),
    "before": (0.04, 0.12),
    "keep": (0.12, 0.17),
    "teach": (0.17, 0.90),
    "after": (0.90, 1.00),
}
LEARNED = ("teach", "after")  # stages of which something may be saved


def stage_title(stage: str) -> str:
    """A stage of a lesson in words."""
    titles = {
        "read": _("Reading the cases"),
        "before": _("Measuring the model as it is"),
        "keep": _("Noting what is to stay"),
        "teach": _("Learning"),
        "after": _("Measuring the new model"),
    }
    return titles.get(stage, stage)


class Lesson:
    """One lesson at a time, in a worker process of its own: reports and comparisons go on meanwhile.

    Args:
        ui: the panel's widgets.
        session: the worker; it is ended after each lesson, to free its memory.
        messages: the log.
        say: shows a sentence to the user; `error=True` for a complaint.
        on_change: called when a lesson begins and when it has ended.
        on_taught: takes the name of a new model.
    """

    def __init__(
        self,
        ui: Any,
        session: WorkerSession,
        messages: Messages,
        say: Callable[..., None],
        on_change: Callable[[], None],
        on_taught: Callable[[str], None],
    ) -> None:
        self._ui, self._session, self._messages, self._say = ui, session, messages, say
        self._on_change, self._on_taught = on_change, on_taught
        self._started = 0.0
        self._learning = False  # whether it has begun to learn
        self._said = ""  # whether it goes on, or why it begins anew
        self.running = False
        self.table = TaughtTable(ui.taughtTable, ui.taughtLabel)

    def start(self, fields: dict[str, Any]) -> None:
        """Teach; returns at once.

        Args:
            fields: those of the worker's request "teach".
        """
        self.running, self._started = True, time.monotonic()
        self._learning, self._said = False, ""
        self.table.fill(None)
        self._ui.teachProgressBar.value = 0
        self._ui.teachProgressBar.visible = True
        cases = counted_cases(len(fields["cases"]))
        self._say(_("Teaching {name} with {cases}…").format(name=fields["output"], cases=cases))
        self._on_change()
        self._session.request(
            "teach",
            on_result=lambda answer: self._taught(answer, fields),
            on_error=lambda message: self._failed(message, fields),
            on_progress=self._progressed,
            **fields,
        )

    def cancel(self) -> None:
        """End the lesson now. Its process goes with it; no model is written."""
        if self.running:
            self._session.cancel()

    def close(self) -> None:
        """The panel goes."""
        self._session.close()

    def _progressed(self, message: dict[str, Any]) -> None:
        if message.get("said"):
            self._said = str(message["said"])
            self._messages.log(self._said)
        stage, left = str(message.get("stage")), message.get("seconds_left")
        rest = "" if left is None else ", " + _("{time} left").format(time=duration(left))
        self._learning = self._learning or stage in LEARNED
        self._ui.teachStatusLabel.text = plain(
            f"{stage_title(stage)}{rest}" + (f". {self._said}" if self._said else "")
        )
        share = min((message.get("done") or 0) / (message.get("total") or 1), 1.0)
        begin, end = STAGES.get(stage, (0.0, 0.0))
        bar = self._ui.teachProgressBar
        bar.value = max(bar.value, round(1000 * (begin + (end - begin) * share)))

    def _taught(self, answer: dict[str, Any], fields: dict[str, Any]) -> None:
        self._rest()
        self.table.fill(answer)
        for warning in answer.get("warnings") or []:
            self._messages.log(warning)
        gain = answer.get("gain")
        change = "" if gain is None else " " + _("(mean change of the Dice {gain:+.3f})").format(gain=gain)
        if answer.get("written"):
            sentence = _(
                "{name} was taught in {time}{change}.{resumed} It is in the list of models now, and chosen: Segment "
                "uses it. The cases stay with {parent}."
            )
            seconds = duration(time.monotonic() - self._started)
            told = {"name": fields["output"], "time": seconds, "change": change, "parent": fields["model"]}
            self._say(sentence.format(**told, resumed=_resumed(answer)))
            self._on_taught(fields["output"])
        else:
            sentence = _(
                "The taught model is not better on the cases that were held out{change}, so nothing was written. Add "
                "more cases, or give it more minutes."
            )
            self._say(sentence.format(change=change), error=True)

    def _failed(self, message: dict[str, Any], fields: dict[str, Any]) -> None:
        self._rest()
        if message.get("code") == "model-there":
            question = _("{cause}. Use the new one in its place, if it is better?").format(cause=message["cause"])
            if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Teach")):
                self.start({**fields, "replace": True})
            else:
                self._say(_("Nothing was started. Give the new model another name."))
        elif message.get("code") == "cancelled":
            after = duration(time.monotonic() - self._started)
            sentence = _("Cancelled after {time}; no model was written.").format(time=after)
            if self._learning or lesson_file(user_model_folder() / fields["output"]).is_file():
                rest = _("With the same cases, name and minutes, Teach goes on from the step that was saved last.")
            else:
                rest = _("It had not begun to learn.")
            self._say(f"{sentence} {rest}")
        else:
            self._say(str(message["message"]), error=True)

    def _rest(self) -> None:
        self.running = False
        self._ui.teachProgressBar.visible = False
        self._session.cancel()  # nothing is asked any more, so this only ends the process
        self._on_change()


def _resumed(answer: dict[str, Any]) -> str:
    """Sentence on the steps that were learned before the lesson was stopped; empty without any."""
    steps = int(answer.get("resumed") or 0)
    counted = _("1 step") if steps == 1 else _("{count} steps").format(count=steps)
    return " " + _("It went on after {steps}, where it had been stopped.").format(steps=counted) if steps else ""
