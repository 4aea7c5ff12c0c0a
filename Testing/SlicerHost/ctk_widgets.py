"""The module `ctk`: plain-Qt stand-ins for the few CTK widgets that the panel is made of.

They have the properties, signals and setters of the CTK classes of the same names, and look similar; they do not share
their drawing. What is not here is an AttributeError, not a silent nothing.
"""

# ruff: noqa: N801, N802, N815 (the names are the application’s)

from __future__ import annotations

import types
from typing import Any

from PySide6.QtCore import Property, QRect, QSize, Qt, Signal

from Testing.SlicerHost.ctk_numbers import ctkRangeWidget, ctkSliderWidget
from Testing.SlicerHost.pythonqt import QtGui, QtWidgets

COLLAPSED_HEIGHT = 10  # that ctk leaves under a folded header, unless it is told not to
UNLIMITED = 16777215  # Qt's QWIDGETSIZE_MAX
HEADER = 24  # pixels


class _Foldable:
    """What ctkCollapsibleButton and ctkCollapsibleGroupBox share: a header that stays when the rest is folded away."""

    def _fold(self: Any, folded: bool) -> None:
        self._folded = folded
        self.setMaximumHeight(HEADER + self._rest if folded else UNLIMITED)
        self.updateGeometry()

    def setCollapsedHeight(self: Any, height: int) -> None:
        self._rest = height
        self._fold(self._folded)


class ctkCollapsibleButton(_Foldable, QtWidgets.QAbstractButton):
    """ctkCollapsibleButton: a button with contents under it; checked is unfolded; contentsCollapsed(bool) tells."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *args: Any) -> None:
        text = args[0] if args and isinstance(args[0], str) else ""
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._folded = False
        self._rest = COLLAPSED_HEIGHT
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Minimum)
        self.toggled.connect(self._toggled)

    def _toggled(self, unfolded: bool) -> None:
        self._fold(not unfolded)
        self.contentsCollapsed.emit(not unfolded)

    def setCollapsed(self, value: bool) -> None:
        self.setChecked(not value)

    collapsed = Property(bool, lambda self: self._folded, setCollapsed)
    collapsedHeight = Property(int, lambda self: self._rest, _Foldable.setCollapsedHeight)

    def hitButton(self, point: Any) -> bool:
        return point.y() < HEADER

    def sizeHint(self) -> QSize:
        wanted = self.layout().sizeHint() if self.layout() is not None and not self._folded else QSize(80, 0)
        return QSize(wanted.width(), HEADER + (self._rest if self._folded else wanted.height()))

    def minimumSizeHint(self) -> QSize:
        return QSize(80, HEADER + self._rest) if self._folded or self.layout() is None else self.layout().minimumSize()

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        palette = self.palette
        header = QRect(0, 0, self.width, HEADER - 2)
        painter.fillRect(header, palette.color(QtGui.QPalette.Button).darker(108))
        painter.setPen(palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(header.adjusted(8, 0, 0, 0), Qt.AlignVCenter, ("▸  " if self._folded else "▾  ") + self.text)
        painter.end()


class ctkCollapsibleGroupBox(_Foldable, QtWidgets.QGroupBox):
    """ctkCollapsibleGroupBox: a group box that folds; checked is unfolded."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._folded = False
        self._rest = COLLAPSED_HEIGHT
        self.setCheckable(True)
        self.toggled.connect(lambda unfolded: self._fold(not unfolded))

    def setCollapsed(self, value: bool) -> None:
        self.setChecked(not value)

    collapsed = Property(bool, lambda self: self._folded, setCollapsed)
    collapsedHeight = Property(int, lambda self: self._rest, _Foldable.setCollapsedHeight)


class ctkPathLineEdit(QtWidgets.QLineEdit):
    """ctkPathLineEdit: a line for a path; currentPath and currentPathChanged(QString)."""

    currentPathChanged = Signal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, value: str) -> None:
        self.setText(value)

    currentPath = Property(str, lambda self: self.text, setCurrentPath)


class ctkMessageBox(QtWidgets.QMessageBox):
    """ctkMessageBox: a message box whose user may ask not to be shown it again; here it is always shown."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._key = ""

    def setDontShowAgainSettingsKey(self, value: str) -> None:
        self._key = value

    dontShowAgainSettingsKey = Property(str, lambda self: self._key, setDontShowAgainSettingsKey)


class ctkSearchBox(QtWidgets.QLineEdit):
    """ctkSearchBox: a line edit that finds."""


class ctkCheckBox(QtWidgets.QCheckBox):
    """ctkCheckBox."""


class ctkComboBox(QtWidgets.QComboBox):
    """ctkComboBox."""


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """ctkDoubleSpinBox; in CTK it is not derived from Qt's, but has its properties."""


class ctkDoubleSlider(ctkSliderWidget):
    """ctkDoubleSlider; here with the box of numbers that it lacks in CTK."""


def module() -> types.ModuleType:
    """The module `ctk`."""
    made = types.ModuleType("ctk", __doc__)
    widgets = {name: value for name, value in globals().items() if name.startswith("ctk") and isinstance(value, type)}
    vars(made).update(widgets, ctkRangeWidget=ctkRangeWidget)
    return made
