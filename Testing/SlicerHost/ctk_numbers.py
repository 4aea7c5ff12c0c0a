# ruff: noqa: N801, N802, N815, RUF012 (the names are the application’s)
"""Stand-ins for the CTK widgets that show one number or a range of numbers."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Qt, Signal

from Testing.SlicerHost.pythonqt import QtWidgets


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
