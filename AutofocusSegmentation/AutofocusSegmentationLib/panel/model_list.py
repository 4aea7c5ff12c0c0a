"""The panel's list of models: a button that opens it, a search field, and key facts about each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.messages import plain, red

TITLE, MODALITY, DICE, TIME, STRUCTURES, LICENCE = range(6)
MOST_NAMES = 4  # of structures that the summary lists; its tooltip has all
POPUP_SIZE = (480, 290)  # pixels, at least as wide as the button


def mean_dice(model: dict[str, Any]) -> float | None:
    """Mean over the structures, on cases that were not trained on; None where it was not measured."""
    values = list((model.get("dice") or {}).values())
    return sum(values) / len(values) if values else None


def modality(model: dict[str, Any]) -> str:
    """What images a model takes: "CT", or "MR" once for several channels."""
    return "/".join(dict.fromkeys(channel.get("modality") or "?" for channel in model["channels"]))


def words(model: dict[str, Any]) -> str:
    """The text that the search looks through, in lower case."""
    structures = " ".join(structure["name"] for structure in model["structures"])
    return " ".join([model["name"], model["title"], modality(model), structures]).lower()


def duration(seconds: float) -> str:
    """Seconds for people: "8 s", "2 min", "1.5 h"."""
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count:.1f} h").format(count=seconds / 3600)


def summary(model: dict[str, Any]) -> str:
    """Two lines about a model: what it finds and how well, and what it may be used for."""
    names = [structure["name"] for structure in model["structures"]]
    listed = ", ".join(names[:MOST_NAMES]) + (_(" and {count} more").format(count=len(names) - MOST_NAMES)
                                              if len(names) > MOST_NAMES else "")  # fmt: skip
    measured = measured_dice(model)
    return plain(f"{listed}; {measured}." if measured else f"{listed}.")


def measured_dice(model: dict[str, Any]) -> str:
    """The mean Dice in words, and of which structures, if not of all; empty where it was not measured."""
    dice, names = mean_dice(model), list(model.get("dice") or {})
    if dice is None:
        return ""
    if len(names) >= len(model["structures"]):
        return _("mean Dice {dice:.2f} on unseen cases").format(dice=dice)
    listed = ", ".join(names) if len(names) <= MOST_NAMES else _("{count} structures").format(count=len(names))
    return _("Dice {dice:.2f} on unseen cases, measured of {structures} alone").format(dice=dice, structures=listed)


def button_text(model: dict[str, Any] | None) -> str:
    """Text of the button that opens the list."""
    return _("Choose a model…") if model is None else f"{model['title']} ({modality(model)})"


class ModelList:
    """The button, and the list that it opens: a tree with a search field, and buttons below.

    Args:
        ui: the panel's widgets.
        on_change: called with the chosen model, or None.
        request: sends a request to the worker, as WorkerSession.request.
        reload: asks for the list again; takes the name of a model to choose, if it is to be another one.
    """

    def __init__(
        self,
        ui: Any,
        on_change: Callable[[dict[str, Any] | None], None],
        request: Callable[..., Any],
        reload: Callable[..., None],
    ) -> None:
        self._ui = ui
        self._on_change = on_change
        self._request = request
        self._reload = reload
        self._models: dict[str, dict[str, Any]] = {}
        self._items: dict[str, Any] = {}
        self._chosen = ""
        self._filling = False
        self.error = ""  # why there are no models
        ui.modelPopup.setWindowFlags(qt.Qt.Popup)
        ui.modelPopup.hide()
        ui.modelButton.connect("clicked(bool)", lambda checked=False: self.open())
        ui.reloadModelsButton.connect("clicked(bool)", lambda checked=False: self._reload())
        ui.modelTree.connect("itemClicked(QTreeWidgetItem*,int)", lambda item, column: ui.modelPopup.hide())
        ui.modelSearchLineEdit.connect("textChanged(QString)", self._search)
        ui.modelTree.connect("itemSelectionChanged()", self._selected)
        ui.modelDetailsButton.connect("clicked(bool)", lambda checked=False: self.show_card())
        ui.importModelButton.connect("clicked(bool)", lambda checked=False: self.import_file())

    def fill(self, models: Sequence[dict[str, Any]], wanted: str = "") -> None:
        """Show these models, and choose `wanted` or the model that was chosen before."""
        self._chosen = wanted or self._chosen
        self.error = ""
        self._filling = True
        tree = self._ui.modelTree
        tree.clear()
        self._models = {model["name"]: model for model in models}
        self._items = {}
        for model in models:
            item = qt.QTreeWidgetItem()
            title = model["title"] + (_(" (synthetic)") if model.get("synthetic") else "")
            names = ", ".join(structure["name"] for structure in model["structures"])
            dice = mean_dice(model)
            cells = [title, modality(model), "" if dice is None else f"{dice:.2f}", "", names, model["licence"]]
            tips = {STRUCTURES: names, DICE: measured_dice(model)}
            for column, text in enumerate(cells):
                item.setText(column, text)
                item.setToolTip(column, tips.get(column) or model.get("intended_use") or text)
            tree.addTopLevelItem(item)  # the tree owns the item now; with the tree as its parent, Python would
            self._items[model["name"]] = item
        for column in (TITLE, MODALITY, DICE, TIME):
            tree.resizeColumnToContents(column)
        self._filling = False
        self._search(self._ui.modelSearchLineEdit.text)
        self.choose(self._chosen if self._chosen in self._models else next(iter(self._models), ""))

    def open(self) -> None:
        """Open the list under the button; where it is empty, read it again."""
        if not self._models:
            self._reload()
            return
        popup, button = self._ui.modelPopup, self._ui.modelButton
        popup.resize(max(button.width, POPUP_SIZE[0]), POPUP_SIZE[1])
        popup.move(button.mapToGlobal(qt.QPoint(0, button.height)))
        popup.show()
        self._ui.modelSearchLineEdit.setFocus()

    def fail(self, message: dict[str, Any]) -> None:
        """The models could not be read; the button tries again."""
        if message.get("code") != "cancelled" and not self._models:
            self.error = str(message["message"])
            self._ui.modelButton.text = _("No models: click to try again")
            self._on_change(None)

    @property
    def names(self) -> list[str]:
        """Names of all models."""
        return list(self._models)

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The chosen model's description."""
        return self._models.get(self._chosen)

    def choose(self, name: str) -> None:
        """Choose a model by its name; an unknown name is kept until the list holds it."""
        self._chosen = name
        item = self._items.get(name)
        if item is not None and not item.isSelected():
            self._filling = True
            self._ui.modelTree.setCurrentItem(item)
            self._filling = False
        model = self.chosen
        self._ui.modelButton.text = button_text(model)
        self._ui.modelSummaryLabel.text = summary(model) if model else ""
        self._ui.modelSummaryLabel.toolTip = _tip(model) if model else ""
        self._ui.modelDetailsButton.enabled = model is not None
        self._on_change(model)

    def set_time(self, name: str, seconds: float | None) -> None:
        """The expected time of a model on the chosen device."""
        item = self._items.get(name)
        if item is not None:
            item.setText(TIME, "" if seconds is None else duration(seconds))
            self._ui.modelTree.resizeColumnToContents(TIME)

    def show_card(self) -> None:
        """The model card in a window of its own."""
        if self.chosen is not None:
            self._request("card", model=self._chosen, on_result=self._open_card, on_error=self._complain)

    def import_file(self, path: str = "", checksum: str | None = None) -> None:
        """Add a model to the user's folder; asks for the file and its checksum where they are not given."""
        if not path:
            path = qt.QFileDialog.getOpenFileName(
                slicer.util.mainWindow(), _("Import a model"), "", _("Models (*.zip);;All files (*)")
            )
            if not path:
                return
            checksum = _ask_checksum(Path(path).name)
            if checksum is None:
                return  # Escape: nothing is imported
        fields = {"path": str(path)}
        if checksum and checksum.strip():
            fields["sha256"] = checksum.strip().lower()
        self._import(fields)

    def _import(self, fields: dict[str, Any]) -> None:
        self._request(
            "import", on_result=self._imported, on_error=lambda message: self._not_imported(message, fields), **fields
        )

    def _not_imported(self, message: dict[str, Any], fields: dict[str, Any]) -> None:
        if message.get("code") != "model-there":
            self._complain(message)
            return
        question = _("{cause}. Use the imported one in its place?").format(cause=message["cause"])
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Import a model")):
            self._import({**fields, "replace": True})

    def _imported(self, message: dict[str, Any]) -> None:
        self._reload(message["name"])

    def _complain(self, message: dict[str, Any]) -> None:
        if message.get("code") != "cancelled":
            self._ui.modelSummaryLabel.text = red(message["message"])

    def _open_card(self, message: dict[str, Any]) -> None:
        dialog = qt.QDialog(slicer.util.mainWindow())
        dialog.windowTitle = _("Model card")
        layout = qt.QVBoxLayout(dialog)
        browser = qt.QTextBrowser()
        browser.setOpenExternalLinks(True)
        browser.setMarkdown(message["text"])
        layout.addWidget(browser)
        dialog.resize(760, 640)
        dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
        dialog.show()
        self.card = dialog

    def _search(self, text: str) -> None:
        wanted = text.lower().split()
        for name, item in self._items.items():
            item.setHidden(not all(word in words(self._models[name]) for word in wanted))

    def _selected(self) -> None:
        if self._filling:
            return
        for name, item in self._items.items():
            if item.isSelected():
                if name != self._chosen:
                    self.choose(name)
                return


def _ask_checksum(file: str) -> str | None:
    """The checksum that the user knows of a file, empty for none; None if the question was cancelled."""
    dialog = qt.QInputDialog(slicer.util.mainWindow())  # its static form does not tell Cancel from an empty text
    dialog.setWindowTitle(_("Import a model"))
    question = _("SHA-256 checksum of {file} from where you got it (leave empty if it has none):")
    dialog.setLabelText(question.format(file=file))
    return str(dialog.textValue) if dialog.exec_() == qt.QDialog.Accepted else None


def _tip(model: dict[str, Any]) -> str:
    """All structures, licence and intended use, as plain text."""
    names = ", ".join(structure["name"] for structure in model["structures"])
    return "\n".join([names, model["licence"], model.get("intended_use") or ""])
