"""Dialogs that a test answers instead of a user: each is recorded, and none waits.

The test puts answers into `answers` before it does what makes the dialog open, in order. An answer is what the dialog
would return (a QMessageBox button, a path, True for an accepted QDialog), or a function of the Dialog that returns it
and may use its widget meanwhile. A dialog without a prepared answer is cancelled; a message with one button is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from Testing.SlicerHost.pythonqt import QtGui, QtWidgets

Box, Files, Input = QtWidgets.QMessageBox, QtWidgets.QFileDialog, QtWidgets.QInputDialog


@dataclass
class Dialog:
    """What a user would have seen.

    Args:
        kind: the class, or for static functions "QFileDialog.getOpenFileName" and the like.
        title: of the window.
        text: what it said, with the informative text below.
        widget: the dialog itself, as long as it lives; None for static functions.
        answer: what was answered.
    """

    kind: str
    title: str
    text: str = ""
    widget: Any = None
    answer: Any = None


class Dialogs:
    """The record and the answers."""

    def __init__(self) -> None:
        self.seen: list[Dialog] = []
        self.answers: deque[Any] = deque()
        self.opened_urls: list[str] = []

    def ask(self, dialog: Dialog, otherwise: Any) -> Any:
        """Record the dialog and answer it."""
        self.seen.append(dialog)
        answer = self.answers.popleft() if self.answers else otherwise
        dialog.answer = answer(dialog) if callable(answer) and not isinstance(answer, type) else answer
        return dialog.answer

    def install(self) -> None:
        """Answer QDialog.exec, the boxes and files of Qt, and what would open a browser."""
        for name in ("exec", "exec_"):
            setattr(QtWidgets.QDialog, name, lambda widget: self._execute(widget))
            setattr(Box, name, lambda widget: self._execute_box(widget))
        for name in ("information", "warning", "critical", "question", "about"):
            setattr(Box, name, staticmethod(self._static_box(name)))
        empty = {"getOpenFileName": "", "getOpenFileNames": (), "getSaveFileName": "", "getExistingDirectory": ""}
        for name, nothing in empty.items():
            setattr(Files, name, staticmethod(self._static(f"QFileDialog.{name}", nothing)))
        for name, nothing in {"getText": "", "getItem": "", "getInt": 0, "getDouble": 0.0}.items():
            setattr(Input, name, staticmethod(self._static(f"QInputDialog.{name}", nothing)))
        open_url = lambda url: self.opened_urls.append(url.toString()) or True  # noqa: E731
        QtGui.QDesktopServices.openUrl = staticmethod(open_url)

    def _execute(self, widget: Any) -> int:
        widget.show()
        answer = self.ask(Dialog(widget.className(), widget.windowTitle, widget=widget), QtWidgets.QDialog.Rejected)
        widget.done(int(answer))
        return int(answer)

    def _execute_box(self, box: Any) -> Any:
        text = "\n".join(part for part in (box.text, box.informativeText, box.detailedText) if part)
        buttons = box.buttons()
        only = box.standardButton(buttons[0]) if len(buttons) == 1 else Box.Ok
        cancels = (Box.Cancel, Box.No, Box.Close, Box.Abort)
        otherwise = next((b for b in cancels if box.standardButtons & b), only)
        return self.ask(Dialog(box.className(), box.windowTitle.strip(), text, box), otherwise)

    def _static_box(self, kind: str) -> Callable[..., Any]:
        otherwise = Box.No if kind == "question" else Box.Ok

        def show(parent: Any, title: str, text: str, *_: Any) -> Any:
            return self.ask(Dialog(f"QMessageBox.{kind}", title, text), otherwise)

        return show

    def _static(self, kind: str, nothing: Any) -> Callable[..., Any]:
        """PythonQt returns the choice alone; PySide6 would return the filter, or whether it was Ok, beside it."""

        def show(parent: Any = None, title: str = "", *rest: Any) -> Any:
            return self.ask(Dialog(kind, title, " ".join(str(part) for part in rest)), nothing)

        return show
