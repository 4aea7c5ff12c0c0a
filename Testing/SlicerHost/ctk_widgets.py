"""The module `ctk`: plain-Qt stand-ins for the few CTK widgets that the panel is made of.

They have the properties, signals and setters of the CTK classes of the same names, and look similar; they do not share
their drawing. What is not here is an AttributeError, not a silent nothing.
"""

# ruff: noqa: N801, N802, N815, RUF012 (the names are the application’s)

from __future__ import annotations

import types
from typing import Any

from PySide6.QtCore import Property, QRect, QSize, Qt, Signal

from Testing.SlicerHost.pythonqt import QtGui, QtWidgets

UNLIMITED = 16777215  # Qt's QWIDGETSIZE_MAX
HEADER = 24  # pixels


class _Foldable:
    """What ctkCollapsibleButton and ctkCollapsibleGroupBox share: a header that stays when the rest is folded away."""

    def _fold(self: Any, folded: bool) -> None:
        self._folded = folded
        self.setMaximumHeight(HEADER if folded else UNLIMITED)
        self.updateGeometry()


class ctkCollapsibleButton(_Foldable, QtWidgets.QAbstractButton):
    """ctkCollapsibleButton: a button with contents under it; checked is unfolded; contentsCollapsed(bool) tells."""

    contentsCollapsed = Signal(bool)

    def __init__(self, *args: Any) -> None:
        text = args[0] if args and isinstance(args[0], str) else ""
        super().__init__(next((a for a in args if isinstance(a, QtWidgets.QWidget)), None))
        self._folded = False
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

    def hitButton(self, point: Any) -> bool:
        return point.y() < HEADER

    def sizeHint(self) -> QSize:
        wanted = self.layout().sizeHint() if self.layout() is not None and not self._folded else QSize(80, 0)
        return QSize(wanted.width(), HEADER + (0 if self._folded else wanted.height()))

    def minimumSizeHint(self) -> QSize:
        return QSize(80, HEADER) if self._folded or self.layout() is None else self.layout().minimumSize()

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
        self.setCheckable(True)
        self.toggled.connect(lambda unfolded: self._fold(not unfolded))

    def setCollapsed(self, value: bool) -> None:
        self.setChecked(not value)

    collapsed = Property(bool, lambda self: self._folded, setCollapsed)


class ctkSliderWidget(QtWidgets.QWidget):
    """ctkSliderWidget: a slider and a spin box for one real number; valueChanged(double)."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    SIGNALS = {
        "valueChanged(double)": "valueChanged",
        "valueIsChanging(double)": "valueIsChanging",
    }
    STEPS = 1000  # of the slider, over its range

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(Qt.Horizontal, self)
        self._slider.setRange(0, self.STEPS)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._box.setRange(0, 99)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._slider.sliderMoved.connect(self._moved)
        self._box.valueChanged.connect(self._changed)

    def _moved(self, step: int) -> None:
        box = self._box
        box.setValue(box.minimum + (box.maximum - box.minimum) * step / self.STEPS)

    def _changed(self, value: float) -> None:
        self._place()
        self.valueChanged.emit(value)

    def _place(self) -> None:
        box = self._box
        span = box.maximum - box.minimum
        self._slider.setValue(round(self.STEPS * (box.value - box.minimum) / span) if span else 0)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setMinimum(self, value: float) -> None:
        self._box.setMinimum(value)
        self._place()

    def setMaximum(self, value: float) -> None:
        self._box.setMaximum(value)
        self._place()

    def setRange(self, low: float, high: float) -> None:
        self._box.setRange(low, high)
        self._place()

    def setDecimals(self, value: int) -> None:
        self._box.setDecimals(value)

    def setSingleStep(self, value: float) -> None:
        self._box.setSingleStep(value)

    def setSuffix(self, value: str) -> None:
        self._box.setSuffix(value)

    def setPrefix(self, value: str) -> None:
        self._box.setPrefix(value)

    value = Property(float, lambda self: self._box.value, setValue)
    minimum = Property(float, lambda self: self._box.minimum, setMinimum)
    maximum = Property(float, lambda self: self._box.maximum, setMaximum)
    decimals = Property(int, lambda self: self._box.decimals, setDecimals)
    singleStep = Property(float, lambda self: self._box.singleStep, setSingleStep)
    suffix = Property(str, lambda self: self._box.suffix, setSuffix)
    prefix = Property(str, lambda self: self._box.prefix, setPrefix)


class ctkRangeWidget(QtWidgets.QWidget):
    """ctkRangeWidget: two numbers, the first not above the second; valuesChanged(double,double)."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    rangeChanged = Signal(float, float)
    SIGNALS = {
        "valuesChanged(double,double)": "valuesChanged",
        "minimumValueChanged(double)": "minimumValueChanged",
        "maximumValueChanged(double)": "maximumValueChanged",
        "rangeChanged(double,double)": "rangeChanged",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._low, self._high = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        self._values = (0.0, 99.0)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._low)
        row.addWidget(QtWidgets.QLabel("–", self))
        row.addWidget(self._high)
        row.addStretch(1)
        self.setRange(0, 99)
        self._low.valueChanged.connect(lambda value: self.setValues(value, max(value, self._values[1])))
        self._high.valueChanged.connect(lambda value: self.setValues(min(value, self._values[0]), value))

    def setRange(self, low: float, high: float) -> None:
        values = self._values
        for box in (self._low, self._high):
            box.blockSignals(True)
            box.setRange(low, high)
            box.blockSignals(False)
        self.rangeChanged.emit(low, high)
        self.setValues(*values)

    def setValues(self, low: float, high: float) -> None:
        before = self._values
        for box, value in ((self._low, min(low, high)), (self._high, max(low, high))):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        self._values = (self._low.value, self._high.value)
        if self._values[0] != before[0]:
            self.minimumValueChanged.emit(self._values[0])
        if self._values[1] != before[1]:
            self.maximumValueChanged.emit(self._values[1])
        if self._values != before:
            self.valuesChanged.emit(*self._values)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._values[1]))

    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[0]), value)

    def setMinimum(self, value: float) -> None:
        self.setRange(value, max(value, self._high.maximum))

    def setMaximum(self, value: float) -> None:
        self.setRange(min(value, self._low.minimum), value)

    def _each(self, setter: str, value: Any) -> None:
        for box in (self._low, self._high):
            getattr(box, setter)(value)

    def setDecimals(self, value: int) -> None:
        self._each("setDecimals", value)

    def setSingleStep(self, value: float) -> None:
        self._each("setSingleStep", value)

    def setSuffix(self, value: str) -> None:
        self._each("setSuffix", value)

    minimumValue = Property(float, lambda self: self._values[0], setMinimumValue)
    maximumValue = Property(float, lambda self: self._values[1], setMaximumValue)
    minimum = Property(float, lambda self: self._low.minimum, setMinimum)
    maximum = Property(float, lambda self: self._low.maximum, setMaximum)
    decimals = Property(int, lambda self: self._low.decimals, setDecimals)
    singleStep = Property(float, lambda self: self._low.singleStep, setSingleStep)
    suffix = Property(str, lambda self: self._low.suffix, setSuffix)


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
    for name, value in globals().items():
        if name.startswith("ctk"):
            setattr(made, name, value)
    return made
