"""Labels of several lines get the height that their text needs at their width.

The panel lies in a scroll area, which asks for the least height at any width: what stands below a label whose text
wraps would be squeezed, and tables drawn over buttons.
"""

from __future__ import annotations

from typing import Any

import qt

PAUSE_MS = 200


class WrappedLabels:
    """Looks after all labels of a panel whose text wraps.

    Args:
        ui: the panel's widgets.
    """

    def __init__(self, ui: Any) -> None:
        labels = [widget for widget in vars(ui).values() if isinstance(widget, qt.QLabel) and widget.wordWrap]
        self._labels = [label for label in labels if not label.minimumHeight]  # the chart has a height of its own
        self._fitted: dict[Any, tuple[str, int]] = {}  # text and width for which each has its height
        self._timer = qt.QTimer()
        self._timer.setInterval(PAUSE_MS)
        self._timer.connect("timeout()", self.fit)
        self._timer.start()

    def stop(self) -> None:
        """The panel goes."""
        self._timer.stop()

    def fit(self) -> None:
        """Once."""
        for label in self._labels:
            state = (label.text, label.width)
            if label.visible and self._fitted.get(label) != state:
                self._fitted[label] = state
                label.setMinimumHeight(0)  # else the height for a width would never be less than it was
                label.setMinimumHeight(max(0, label.heightForWidth(label.width)))
