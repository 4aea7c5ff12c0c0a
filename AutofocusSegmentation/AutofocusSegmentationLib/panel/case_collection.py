"""The corrected cases that were collected for the chosen model: add one, list them, remove one, choose their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusCore.batch.collected import (
    CollectedCase,
    case_named,
    collected_cases,
    collecting_folder,
    free_name,
    remove_case,
    write_case,
)
from AutofocusCore.errors import AutofocusError
from AutofocusSegmentationLib.panel.rows import fit_rows
from AutofocusSegmentationLib.scene.teaching_case import TeachingCase
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue

SETTING = "AutofocusSegmentation/CollectedCases"
CASE, ADDED, STRUCTURES = range(3)
MOST_ROWS = 6  # that are in sight at once


class CaseCollection:
    """The cases of one model at a time. Files are written and listed in the background.

    Args:
        ui: the panel's widgets.
        main_thread: queue for results of background work.
        say: shows a sentence to the user; `error=True` for a complaint.
        on_change: called when there are other cases, or another one is selected.
    """

    def __init__(
        self, ui: Any, main_thread: MainThreadQueue, say: Callable[..., None], on_change: Callable[[], None]
    ) -> None:
        self._table, self._name = ui.casesTable, ui.caseNameLineEdit
        self._main_thread, self._say, self._on_change = main_thread, say, on_change
        self._model = ""
        self.cases: list[CollectedCase] = []
        self.adding = False  # whether one is being written
        self._looks = 0  # how often the folder was looked into
        header = self._table.horizontalHeader()
        for column in (CASE, STRUCTURES):
            header.setSectionResizeMode(column, qt.QHeaderView.Stretch)
        header.setSectionResizeMode(ADDED, qt.QHeaderView.ResizeToContents)
        self._table.verticalHeader().hide()
        self._table.connect("itemSelectionChanged()", on_change)
        self._fill([])

    @property
    def place(self) -> Path:
        """The folder that holds a folder for each model."""
        chosen = slicer.app.userSettings().value(SETTING)
        return Path(str(chosen)) if chosen else collecting_folder()

    @property
    def folder(self) -> Path:
        """The folder of the chosen model's cases."""
        return self.place / self._model

    @property
    def selected(self) -> CollectedCase | None:
        """The case whose row is selected."""
        row = self._table.currentRow()
        selected = 0 <= row < len(self.cases) and self._table.item(row, CASE).isSelected()
        return self.cases[row] if selected else None

    def show(self, model: str) -> None:
        """List the cases of this model; "" for none."""
        if model != self._model:
            self._model = model
            self._fill([])
            self.refresh()

    def refresh(self) -> None:
        """Look into the folder again."""
        folder, model = self.folder, self._model
        self._looks += 1
        number = self._looks

        def listed(cases: list[CollectedCase]) -> None:
            if (number, folder, model) == (self._looks, self.folder, self._model):  # an older look may end later
                self._fill(cases)
                self._on_change()

        if model:
            self._main_thread.in_background(lambda: collected_cases(folder), listed, self._failed)

    def choose_place(self) -> None:
        """Ask for the folder in which cases are collected."""
        window, title = slicer.util.mainWindow(), _("Folder for corrected cases")
        path = qt.QFileDialog.getExistingDirectory(window, title, str(self.place))
        if path:
            slicer.app.userSettings().setValue(SETTING, str(path))
            self.refresh()

    def add(self, name: str, case: TeachingCase) -> None:
        """Write a case.

        Where one of this name is there, the user is asked whether to replace it; but if that is of another scan, it
        stays, and another name is proposed.
        """
        there = case_named(name, self.cases)
        if there is not None and not there.is_of(case.images):
            self._name.text = free_name(name, case.images, self.cases)
            sentence = _(
                "The case {name} is of another scan, so nothing was added. Click Add this case again to name this "
                "one {other}, or type another name."
            )
            self._say(sentence.format(name=there.name, other=self._name.text), error=True)
            return
        if there is not None:
            question = _("The case {name} was added on {date}. Replace it?").format(name=name, date=_day(there))
            if not slicer.util.confirmYesNoDisplay(question, windowTitle=_("Teach")):
                return
        folder, model, name = self.folder, self._model, name if there is None else there.name
        self.adding = True
        self._on_change()
        self._say(_("The case {name} is being written…").format(name=name))

        def work() -> CollectedCase:
            return write_case(
                folder, name, case.images, case.labels, case.structures, model=model, replace=there is not None
            )

        self._main_thread.in_background(work, self._added, self._failed)

    def remove(self) -> None:
        """Remove the selected case, if the user says so."""
        case = self.selected
        if case is None:
            return
        question = _("Remove the case {name}? Its copies of scan and contours are deleted.").format(name=case.name)
        if not slicer.util.confirmYesNoDisplay(question, windowTitle=_("Teach")):
            return
        try:
            remove_case(case)
        except AutofocusError as error:
            self._say(str(error), error=True)
        else:
            self._say(_("The case {name} was removed.").format(name=case.name))
        self.refresh()

    def _added(self, case: CollectedCase) -> None:
        self.adding = False
        sentence = _("Added {name}: {structures}. What is not listed is unknown in this case.")
        self._say(sentence.format(name=case.name, structures=", ".join(case.structures)))
        self._on_change()
        self.refresh()

    def _failed(self, error: Exception) -> None:
        self.adding = False
        self._say(str(error), error=True)
        self._on_change()

    def _fill(self, cases: list[CollectedCase]) -> None:
        self.cases = cases
        self._table.clearSelection()
        self._table.setRowCount(len(cases))
        for row, case in enumerate(cases):
            structures = ", ".join(case.structures)
            tips = (case.labels, case.added.replace("T", " "), structures)
            for column, text in enumerate((case.name, _day(case), structures)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tips[column])
                self._table.setItem(row, column, item)
        fit_rows(self._table, MOST_ROWS)


def _day(case: CollectedCase) -> str:
    return case.added.partition("T")[0]
