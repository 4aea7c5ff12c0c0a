"""The bar chart of the attention weights at the cursor: one bar for each dilation rate, blue (near) to orange (far)."""

from __future__ import annotations

from collections.abc import Sequence

import qt

MARGIN = 8  # of a line's height: 1
LEAST_WIDTH = 160


def draw_chart(
    weights: Sequence[float],
    titles: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    caption: str,
    width: int,
    ratio: float = 1.0,
) -> qt.QPixmap:
    """A picture of the weights.

    Args:
        weights: 0 to 1, one for each bar.
        titles: under the bars, such as "6 mm".
        colours: red, green and blue, 0 to 255, of each bar.
        caption: a line under all bars.
        width: in the panel's pixels.
        ratio: the screen's pixels for one of the panel's, so that the chart is sharp at 200 % too.
    """
    width = max(int(width), LEAST_WIDTH)
    line = qt.QFontMetrics(qt.QApplication.font()).height() + 2
    height = 7 * line
    pixmap = qt.QPixmap(round(width * ratio), round(height * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(qt.QColor(255, 255, 255, 0))
    painter = qt.QPainter()
    painter.begin(pixmap)
    text = _text_colour()
    room = height - 3 * line - 4
    step = (width - 2 * MARGIN) / max(len(weights), 1)
    bar = int(step * 0.62)
    centre = int(qt.Qt.AlignCenter)
    for number, (weight, title, colour) in enumerate(zip(weights, titles, colours, strict=True)):
        left = int(MARGIN + number * step)
        high = round(room * min(max(float(weight), 0.0), 1.0))
        start = left + (int(step) - bar) // 2
        painter.fillRect(start, line, bar, room, qt.QColor(128, 128, 128, 36))
        painter.fillRect(start, line + room - high, bar, high, qt.QColor(*colour))
        painter.setPen(text)
        painter.drawText(left, room - high, int(step), line, centre, f"{weight:.2f}")
        painter.drawText(left, line + room, int(step), line, centre, title)
    painter.setPen(text)
    painter.drawText(0, height - line, width, line, centre, caption)
    painter.end()
    return pixmap


def _text_colour() -> qt.QColor:
    """Black or white, as the text of the application's style."""
    return qt.QApplication.palette().color(qt.QPalette.WindowText)
