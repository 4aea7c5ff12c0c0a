"""The panel's section for teaching: collect corrected cases, and make a new model that has learned from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from AutofocusCore.batch.collected import safe_case_name
from AutofocusCore.errors import AutofocusError
from AutofocusCore.jobs.teach import FEWEST_TO_HOLD_OUT
from AutofocusCore.jobs.teach_output import lesson_file
from AutofocusCore.models.store import user_model_folder
from AutofocusCore.teaching.taught import check_model_name
from AutofocusSegmentationLib.panel import requirements
from AutofocusSegmentationLib.panel.case_collection import CaseCollection
from AutofocusSegmentationLib.panel.device_choice import DeviceChoice
from AutofocusSegmentationLib.panel.inputs import Inputs
from AutofocusSegmentationLib.panel.lesson import Lesson
from AutofocusSegmentationLib.panel.messages import Messages, plain, red
from AutofocusSegmentationLib.panel.model_list import ModelList
from AutofocusSegmentationLib.panel.structure_choices import StructureChoices
from AutofocusSegmentationLib.scene.result_identity import scan_of
from AutofocusSegmentationLib.scene.teaching_case import suggested_name, teaching_case
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.session import WorkerSession


class TeachSection:
    """Acts on the chosen model, the input volumes and the segmentation that is shown.

    Args:
        ui: the panel's widgets.
        main_thread: queue for results of background work.
        messages: the log.
        choices: what is chosen.
        segmenting: whether a run is under way.
        on_change: called when a lesson begins and when it has ended.
        on_taught: takes the name of a new model.
    """

    def __init__(
        self,
        ui: Any,
        main_thread: MainThreadQueue,
        messages: Messages,
        choices: tuple[Inputs, ModelList, DeviceChoice],
        segmenting: Callable[[], bool],
        on_change: Callable[[], None],
        on_taught: Callable[[str], None],
    ) -> None:
        self._ui, self._messages = ui, messages
        self._inputs, self._models, self._devices = choices
        self._segmenting, self._on_change = segmenting, on_change
        self._node: Any = None
        self._suggested = {"case": "", "model": ""}  # names, as the fields have them until the user types
        self._scan = ""  # id of the volume that the case's name was suggested for
        self._made = False
        session = WorkerSession(main_thread, on_log=messages.log)
        self.lesson = Lesson(ui, session, messages, self._say, self._lesson_changed, on_taught)
        self.collection = CaseCollection(ui, main_thread, self._say, self.update)
        self.choices = StructureChoices(ui.caseStructuresTable, self.update)
        self._made = True
        ui.addCaseButton.connect("clicked(bool)", lambda checked=False: self.add_case())
        ui.caseFolderButton.connect("clicked(bool)", lambda checked=False: self.collection.choose_place())
        ui.removeCaseButton.connect("clicked(bool)", lambda checked=False: self.collection.remove())
        ui.teachButton.connect("clicked(bool)", lambda checked=False: self.teach())
        ui.teachCancelButton.connect("clicked(bool)", lambda checked=False: self.lesson.cancel())
        for line in (ui.caseNameLineEdit, ui.teachNameLineEdit):
            line.connect("textEdited(QString)", lambda text: self.update())
        ui.teachCollapsibleButton.connect("contentsCollapsed(bool)", lambda folded: self._unfolded(not folded))

    @property
    def running(self) -> bool:
        """Whether a lesson is under way."""
        return self.lesson.running

    def show(self, node: Any) -> None:
        """Take the contours of this segmentation node, or of none."""
        self._node = node
        self.update()

    def close(self) -> None:
        """The panel goes."""
        self.choices.stop()
        self.lesson.close()

    def update(self) -> None:
        """Enable what can be done now, and say why the rest cannot."""
        if not self._made:
            return
        model, nodes = self._models.chosen, self._inputs.nodes()
        self._suggest(model, nodes)
        if not self._ui.teachCollapsibleButton.collapsed:
            self.collection.show(model["name"] if model else "")
            self.choices.show(self._node, model)
        to_add, to_teach, to_remove = self._missing_to_add(), self._missing_to_teach(), self._missing_to_remove()
        for button, lacking, tip in (
            (self._ui.addCaseButton, to_add, _("Copy the scan and the ticked contours, as they are now.")),
            (self._ui.teachButton, to_teach, _("Make a new model; the present one stays as it is.")),
            (self._ui.removeCaseButton, to_remove, _("Delete the selected case's copies.")),
        ):
            button.enabled = not lacking
            button.toolTip = lacking or tip
        place = _("Collected in {folder}. The copies are as confidential as the scans; click to choose another folder.")
        self._ui.caseFolderButton.toolTip = place.format(folder=self.collection.folder)
        for widget in (self._ui.caseFolderButton, self._ui.teachNameLineEdit, self._ui.teachMinutesSpinBox):
            widget.enabled = not self.running
        self._ui.teachCancelButton.enabled = self.running
        self._ui.teachHintLabel.text = plain(self._hint(to_add, to_teach))

    def add_case(self) -> None:
        """Handle a click on Add this case."""
        name = safe_case_name(str(self._ui.caseNameLineEdit.text))
        try:
            model = self._models.chosen
            case = teaching_case(model["channels"], self._inputs.nodes(), self._node, self.choices.chosen)
        except AutofocusError as error:
            self._say(str(error), error=True)
            return
        self.collection.add(name, case)

    def teach(self) -> None:
        """Handle a click on Teach."""
        if self._missing_to_teach() or not requirements.ensure_torch():
            return
        cases = [
            {"name": case.name, "images": list(case.images), "labels": case.labels} for case in self.collection.cases
        ]
        settings = {"minutes": float(self._ui.teachMinutesSpinBox.value), "device": self._devices.device}
        model, name = self._models.chosen["name"], str(self._ui.teachNameLineEdit.text).strip()
        self.lesson.start({"model": model, "output": name, "cases": cases, "settings": settings})

    def _unteachable(self) -> str:
        """Why nothing can be taught to the chosen model; empty where it can."""
        model = self._models.chosen
        if model is None:
            return self._models.error or _("The models are being read; this takes some seconds.")
        if (model.get("architecture") or {}).get("domain") != "roi":
            sentence = _(
                "{model} cannot be taught: its network is of the box domain. Choose a model of the ROI domain."
            )
            return sentence.format(model=model["title"])
        return ""

    def _missing_to_add(self) -> str:
        """What is missing before a case can be added, as a sentence."""
        busy = self._unteachable() or (_("A model is being taught.") if self.running else "")
        lacking = self._inputs.missing()
        if busy or lacking:
            return busy or " ".join(lacking)
        scan = self._inputs.nodes()[0]
        if self._node is None:
            return _("Segment the scan first, or choose its contours as the result.")
        if scan_of(self._node) not in (None, scan):
            sentence = _("{contours} are not of {scan}. Choose their scan as the input, or another result.")
            return sentence.format(contours=self._node.GetName(), scan=scan.GetName())
        if not self.choices.chosen:
            return _("No structure is ticked that has a contour and a name that the model knows.")
        if not safe_case_name(str(self._ui.caseNameLineEdit.text)):
            return _("Give the case a name.")
        return _("The case is being written.") if self.collection.adding else ""

    def _missing_to_teach(self) -> str:
        """What is missing before a lesson can begin, as a sentence."""
        if self._unteachable():
            return self._unteachable()
        if self.running:
            return _("A model is being taught.")
        if self._segmenting():
            return _("A segmentation is running. Teach when it is done.")
        if not self.collection.cases or self.collection.adding:
            return _("Add a corrected case first.")
        name = str(self._ui.teachNameLineEdit.text).strip()
        try:
            check_model_name(name, repr(name))
        except AutofocusError as error:
            if not name:
                return _("Give the new model a name.")
            return _("The new model cannot be named {name}; {remedy}.").format(name=name, remedy=error.remedy)
        return ""

    def _missing_to_remove(self) -> str:
        if self.running:
            return _("A model is being taught.")
        return "" if self.collection.selected is not None else _("Select a case in the list first.")

    def _hint(self, to_add: str, to_teach: str) -> str:
        """The sentence at the top: what can be done next."""
        count = len(self.collection.cases)
        if self._unteachable() or (to_add and not count):
            return to_add
        if not count:
            return _("Correct the contours in the Segment Editor, untick what you did not look at, and add the case.")
        if to_teach:
            return to_teach
        if count < FEWEST_TO_HOLD_OUT:
            held_out = _("With {most} cases or more, some are held out to measure whether the new model is better.")
        else:
            held_out = _(
                "About a quarter of the {count} cases is held out, to measure whether the new model is better."
            )
        return f"{self._kept()}{held_out.format(most=FEWEST_TO_HOLD_OUT, count=count)}"

    def _kept(self) -> str:
        """Sentence on the lesson with which a click on Teach may go on; empty without one."""
        name = str(self._ui.teachNameLineEdit.text).strip()
        if not lesson_file(user_model_folder() / name).is_file():
            return ""
        sentence = _(
            "The last lesson of {name} is kept: with the same model, cases and minutes, Teach goes on with it."
        )
        return sentence.format(name=name) + " "

    def _free_name(self, model: str) -> str:
        """A name for a new model that no other has."""
        base = model if model.startswith("our-") else f"our-{model}"
        names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
        return next((name for name in names if name not in self._models.names), base)

    def _suggest(self, model: dict[str, Any] | None, nodes: list[Any]) -> None:
        """Names of the case and of the new model; a name that was typed stays, but no case's for another scan."""
        node = next(iter(nodes), None)
        case, scan = ("", "") if node is None else (suggested_name(node), str(node.GetID() or ""))
        if (case, scan) != (self._suggested["case"], self._scan):
            self._scan = scan
            self._ui.caseNameLineEdit.text = case
        name = self._free_name(model["name"]) if model is not None else ""
        line = self._ui.teachNameLineEdit
        if name != self._suggested["model"] and str(line.text) in ("", self._suggested["model"]):
            line.text = name
        self._suggested = {"case": case, "model": name}

    def _lesson_changed(self) -> None:
        if not self.running:
            self.collection.refresh()  # files may have gone, for which it could not be taught
        self._on_change()

    def _unfolded(self, is_open: bool) -> None:
        if is_open:
            self.collection.refresh()
            self.update()

    def _say(self, sentence: str, *, error: bool = False) -> None:
        self._ui.teachStatusLabel.text = red(sentence) if error else plain(sentence)
        self._messages.log(sentence)
