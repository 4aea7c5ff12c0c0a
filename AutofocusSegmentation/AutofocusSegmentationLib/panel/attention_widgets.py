"""The widgets of the attention: map, layer, opacity, range and colours, kept in the parameter node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.attention_choices import choices, is_of_one_layer
from AutofocusSegmentationLib.scene import attention_display as display
from AutofocusSegmentationLib.scene.attention_nodes import ATTENTION, RATE_KIND, REACH, UNCERTAINTY, first_range
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.recalibration import RECALIBRATION
from AutofocusSegmentationLib.scene.slice_views import composite_nodes

STEPS = 100  # of the range's handles


class AttentionWidgets:
    """The user's choices for a set of attention maps.

    Args:
        ui: the panel's widgets.
        on_change: called when something else is chosen.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self._ui = ui
        self._on_change = on_change
        self._set: AttentionSet | None = None
        self._volumes: list[Any] = []
        self._filling = False
        self.parameters: Any = None
        ui.attentionMapSelector.connect("currentIndexChanged(int)", lambda index: self._map_chosen())
        ui.attentionLayerSelector.connect("currentIndexChanged(int)", lambda index: self._layer_chosen())
        ui.attentionColoursSelector.connect("currentIndexChanged(int)", lambda index: self._colours_chosen())
        ui.attentionOpacitySlider.connect("valueChanged(double)", lambda value: self._opacity_chosen())
        ui.attentionRangeWidget.connect("valuesChanged(double,double)", lambda low, high: self._range_chosen())
        ui.attentionOnlyCheckBox.connect("toggled(bool)", lambda on: self._range_chosen())
        ui.resetRangeButton.connect("clicked(bool)", lambda checked=False: self.reset_range())
        ui.attentionLegendCheckBox.connect("toggled(bool)", lambda on: self._on_change())
        ui.attentionLinkedCheckBox.connect("toggled(bool)", lambda on: self._on_change())

    @property
    def layer(self) -> Any:
        """The chosen autofocus layer; None where there is none."""
        index = self._ui.attentionLayerSelector.currentIndex
        return self._set.layers[index] if self._set is not None and 0 <= index < len(self._set.layers) else None

    @property
    def map(self) -> str:
        """The identifier of the chosen map."""
        selector = self._ui.attentionMapSelector
        return str(selector.itemData(selector.currentIndex) or REACH)

    def choose(self, identifier: str) -> None:
        """Choose a map."""
        index = self._ui.attentionMapSelector.findData(identifier)
        if index >= 0:
            self._ui.attentionMapSelector.setCurrentIndex(index)

    def fill(self, attention: AttentionSet | None) -> None:
        """Offer the maps of a set, or nothing."""
        self._set, self._filling = attention, True
        there = attention is not None
        for widget in (self._ui.attentionWidget, self._ui.attentionCheckBox):
            widget.enabled = there
        looked = attention is not None and attention.looked
        self._ui.attentionButton.enabled = looked
        self._ui.chartLabel.visible = self._ui.attentionProbeCheckBox.enabled = looked
        for widget in (self._ui.attentionWidget, self._ui.attentionCheckBox):
            widget.visible = there
        self._ui.attentionHintLabel.visible = not there
        self._ui.attentionHintLabel.text = _(
            "Segment with an autofocus model, with “Compute the attention” on, to see how far the network looked."
        )
        layers = self._ui.attentionLayerSelector
        layers.clear()
        for layer in attention.layers if attention is not None else ():
            layers.addItem(_("Autofocus layer {number}").format(number=layer.index + 1), layer.index)
        wanted = -1 if self.parameters is None else layers.findData(self.parameters.attention_layer)
        layers.setCurrentIndex(wanted if wanted >= 0 else layers.count - 1)
        several = attention is not None and len(attention.layers) > 1
        self._ui.layerSequenceButton.enabled = several
        self._fill_maps()
        self._filling = False

    def show_range_of(self, volumes: Sequence[Any]) -> None:
        """Show range and colours of the maps that are laid over the scan now."""
        self._volumes, self._filling = list(volumes), True
        if volumes:
            ends = [display.limits(volume) for volume in volumes]
            low, high = min(end[0] for end in ends), max(end[1] for end in ends)
            kind = volumes[0].GetAttribute(ATTENTION)
            from_0_to_1 = kind in (RATE_KIND, RECALIBRATION, UNCERTAINTY)
            widget = self._ui.attentionRangeWidget
            widget.setRange(low, high)
            widget.decimals = 2 if from_0_to_1 else 1
            widget.singleStep = 0.01 if from_0_to_1 else max(0.1, round((high - low) / STEPS, 1))
            widget.suffix = " bits" if kind == UNCERTAINTY else "" if from_0_to_1 else " mm"
            widget.setValues(*display.shown_range(volumes[0]))
            selector = self._ui.attentionColoursSelector
            selector.clear()
            for title, name in display.colour_choices(slicer.mrmlScene, "rate" if from_0_to_1 else "zoom"):
                selector.addItem(title, name)
            selector.setCurrentIndex(max(selector.findData(volumes[0].GetDisplayNode().GetColorNode().GetName()), 0))
        self._filling = False

    def reset_range(self) -> None:
        """Reset the range of the colours to the values in the patient, and show all values."""
        self._ui.attentionOnlyCheckBox.checked = False
        for volume in self._volumes:
            display.set_range(volume, *first_range(volume))
        self._on_change()

    def _fill_maps(self) -> None:
        selector, filling = self._ui.attentionMapSelector, self._filling
        self._filling = True
        wanted = self.parameters.attention_map if self.parameters is not None else REACH
        selector.clear()
        for title, identifier in choices(self._set, self.layer) if self._set is not None else ():
            selector.addItem(title, identifier)
        selector.setCurrentIndex(max(selector.findData(wanted), 0) if selector.count else -1)
        self._ui.attentionLayerSelector.enabled = self._set is not None and is_of_one_layer(self.map)
        self._filling = filling

    def _layer_chosen(self) -> None:
        if self._filling or self.layer is None:
            return
        if self.parameters is not None:
            self.parameters.attention_layer = self.layer.index
        self._fill_maps()
        self._on_change()

    def _map_chosen(self) -> None:
        if self._filling:
            return
        if self.parameters is not None:
            self.parameters.attention_map = self.map
        self._ui.attentionLayerSelector.enabled = is_of_one_layer(self.map)
        self._on_change()

    def _colours_chosen(self) -> None:
        selector = self._ui.attentionColoursSelector
        for volume in () if self._filling else self._volumes:
            display.set_colours(volume, str(selector.itemData(selector.currentIndex) or ""))

    def _opacity_chosen(self) -> None:
        shown = {volume.GetID() for volume in self._volumes if volume.GetScene() is not None}
        for composite in composite_nodes():
            if composite.GetForegroundVolumeID() in shown:
                composite.SetForegroundOpacity(self._ui.attentionOpacitySlider.value)

    def _range_chosen(self) -> None:
        widget = self._ui.attentionRangeWidget
        for volume in () if self._filling else self._volumes:
            if volume.GetScene() is not None:
                only = bool(self._ui.attentionOnlyCheckBox.checked)
                display.set_range(volume, widget.minimumValue, widget.maximumValue, only=only)
