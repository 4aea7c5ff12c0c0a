"""The bar chart of the attention weights at the cursor: one bar for each dilation rate, blue (near) to red (far)."""

from __future__ import annotations

from collections.abc import Sequence

import qt

HEIGHT = 150
MARGIN = 8
AXIS = 34  # room for the labels under the bars
TOP = 22  # room for the weight over the highest bar


def draw_chart(
    weights: Sequence[float], titles: Sequence[str], colours: Sequence[tuple[int, int, int]], caption: str, width: int
) -> qt.QPixmap:
    """A picture of the weights.

    Args:
        weights: 0 to 1, one for each bar.
        titles: under the bars, such as "6 mm".
        colours: red, green and blue, 0 to 255, of each bar.
        caption: a line under all bars.
        width: in pixels.
    """
    width = max(int(width), 160)
    pixmap = qt.QPixmap(width, HEIGHT)
    pixmap.fill(qt.QColor(255, 255, 255, 0))
    painter = qt.QPainter()
    painter.begin(pixmap)
    text = _text_colour()
    room = HEIGHT - AXIS - TOP
    step = (width - 2 * MARGIN) / max(len(weights), 1)
    bar = int(step * 0.62)
    centre = int(qt.Qt.AlignCenter)
    for number, (weight, title, colour) in enumerate(zip(weights, titles, colours, strict=True)):
        left = int(MARGIN + number * step)
        height = round(room * min(max(float(weight), 0.0), 1.0))
        start = left + (int(step) - bar) // 2
        painter.fillRect(start, TOP, bar, room, qt.QColor(128, 128, 128, 36))
        painter.fillRect(start, TOP + room - height, bar, height, qt.QColor(*colour))
        painter.setPen(text)
        painter.drawText(left, TOP + room - height - 18, int(step), 16, centre, f"{weight:.2f}")
        painter.drawText(left, HEIGHT - AXIS + 1, int(step), 16, centre, title)
    painter.setPen(text)
    painter.drawText(0, HEIGHT - 17, width, 16, centre, caption)
    painter.end()
    return pixmap


def _text_colour() -> qt.QColor:
    """Black or white, whichever the application's style writes with."""
    return qt.QApplication.palette().color(qt.QPalette.WindowText)
