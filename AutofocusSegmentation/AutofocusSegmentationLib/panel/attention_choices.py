"""The maps that the panel lets the user choose: of a layer its zoom map and its rates, and those of the classes."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.cursor_probe import millimetres
from AutofocusSegmentationLib.scene.attention_nodes import AttentionSet
from AutofocusSegmentationLib.scene.recalibration import CLASS

ZOOM, ALL_RATES = "zoom", "all"
OF_CLASS = "class:"


def choices(attention: AttentionSet, layer: Any) -> list[tuple[str, str]]:
    """Titles and identifiers of the maps: of a layer, and of the run's recalibration, if it has one."""
    found = [(_("Zoom map: effective dilation"), ZOOM)]
    for number, (rate, size) in enumerate(zip(layer.rates, layer.rates_mm, strict=True)):
        found.append((_("Weight of rate {rate} ({size})").format(rate=rate, size=millimetres(size)), str(number)))
    found.append((_("All rates side by side"), ALL_RATES))
    for node in attention.recalibration():
        name = node.GetAttribute(CLASS)
        found.append((_("Suppressed (0) or kept (1): {name}").format(name=name), OF_CLASS + name))
    return found


def volume_of(attention: AttentionSet, layer: Any, chosen: str) -> Any:
    """The volume node of a chosen map; None for all rates side by side."""
    if chosen == ALL_RATES:
        return None
    if chosen.startswith(OF_CLASS):
        name = chosen.removeprefix(OF_CLASS)
        return next((node for node in attention.recalibration() if node.GetAttribute(CLASS) == name), None)
    return attention.zoom(layer.index) if chosen == ZOOM else attention.rates(layer.index)[int(chosen)]
