"""The maps that the user can choose: reach, dilation and rates of a layer, recalibration of a class, uncertainty."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.cursor_probe import millimetres
from AutofocusSegmentationLib.scene.attention_nodes import REACH, UNCERTAINTY, ZOOM
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.recalibration import CLASS

ALL_RATES, PLAYED = "all", "played"
OF_CLASS = "class:"
OF_ALL_LAYERS = (REACH, PLAYED, UNCERTAINTY)  # besides those of the classes


def choices(attention: AttentionSet, layer: Any) -> list[tuple[str, str]]:
    """Titles and identifiers of the maps: of all layers, of one, and of the run's recalibration, if it has one."""
    found = []
    if attention.reach is not None:
        found.append((_("Reach: how far it looked (mm)"), REACH))
    if layer is not None:
        found.append((_("Dilation of one layer (mm)"), ZOOM))
        for number, (rate, size) in enumerate(zip(layer.rates, layer.rates_mm, strict=True)):
            found.append((_("Weight of rate {rate} ({size})").format(rate=rate, size=millimetres(size)), str(number)))
        found.append((_("All rates side by side"), ALL_RATES))
    if len(attention.layers) > 1:
        found.append((_("Layers, played one after the other"), PLAYED))
    for name in attention.classes:
        found.append((_("Suppressed (0) or kept (1): {name}").format(name=name), OF_CLASS + name))
    if attention.has_uncertainty:
        found.append((_("Uncertainty: where it wavered (bits)"), UNCERTAINTY))
    return found


def is_of_one_layer(chosen: str) -> bool:
    """Whether a map is of one layer, which must then be chosen too."""
    return chosen not in OF_ALL_LAYERS and not chosen.startswith(OF_CLASS)


def volume_of(attention: AttentionSet, layer: Any, chosen: str) -> Any:
    """The volume node of a chosen map, made if need be; None for all rates side by side, and for played layers."""
    if chosen in (ALL_RATES, PLAYED):
        return None
    if chosen == REACH:
        return attention.reach
    if chosen == UNCERTAINTY:
        return attention.uncertainty
    if chosen.startswith(OF_CLASS):
        name = chosen.removeprefix(OF_CLASS)
        return next((node for node in attention.recalibration() if node.GetAttribute(CLASS) == name), None)
    if layer is None:
        return None
    return layer.zoom if chosen == ZOOM else layer.rate(int(chosen))
