"""The panel's attention: which layer, which map, how it is laid over the scan, and the weights at the cursor."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.attention_choices import ALL_RATES, ZOOM, choices, volume_of
from AutofocusSegmentationLib.panel.cursor_probe import CursorProbe
from AutofocusSegmentationLib.scene import attention_display as display
from AutofocusSegmentationLib.scene import attention_views as views
from AutofocusSegmentationLib.scene.attention_nodes import AttentionSet
from AutofocusSegmentationLib.scene.slice_views import composite_nodes, fit_slices

MAKE_MS = 30  # between volumes of single rates, which are made one by one so that nobody waits for them


class AttentionView:
    """Shows one set of attention maps.

    Args:
        ui: the panel's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._set: AttentionSet | None = None
        self._reference: Any = None
        self._filling = False
        self._entered = False
        self._layout_before: int | None = None
        self._rendering: Any = None
        self.probe = CursorProbe(ui.chartLabel, self._layer)
        self._maker = qt.QTimer()
        self._maker.setInterval(MAKE_MS)
        self._maker.connect("timeout()", self._make_next)
        ui.attentionCheckBox.connect("toggled(bool)", lambda on: self.update())
        ui.attentionLayerSelector.connect("currentIndexChanged(int)", lambda index: self._layer_chosen())
        ui.attentionMapSelector.connect("currentIndexChanged(int)", lambda index: self._map_chosen())
        ui.attentionColoursSelector.connect("currentIndexChanged(int)", lambda index: self._colours_chosen())
        ui.attentionOpacitySlider.connect("valueChanged(double)", lambda value: self._show_opacity())
        ui.attentionRangeWidget.connect("valuesChanged(double,double)", lambda low, high: self._show_range())
        ui.attentionLegendCheckBox.connect("toggled(bool)", lambda on: self.update())
        ui.attentionLinkedCheckBox.connect("toggled(bool)", lambda on: self.update())
        ui.attentionProbeCheckBox.connect("toggled(bool)", lambda on: self._follow_cursor())
        ui.volumeRenderingButton.connect("toggled(bool)", self._render)
        ui.layerSequenceButton.connect("clicked(bool)", lambda checked=False: self.make_sequence())
        self._fill()

    # Life

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self._follow_cursor()

    def exit(self) -> None:
        """Another module is shown; what lies over the scan stays."""
        self._entered = False
        self.probe.stop()

    def close(self) -> None:
        """The panel goes."""
        self.exit()
        self._maker.stop()
        self._set = None

    def set_parameters(self, parameters: Any) -> None:
        """The parameter node, or None."""
        self._parameters = parameters
        if parameters is None:
            self.set_attention(None, None)

    # What is shown

    def set_attention(self, attention: AttentionSet | None, reference: Any) -> None:
        """Show the maps of a result; None: there are none."""
        if self._set is not None and attention is None:
            self._clear_views()
        self._set, self._reference = attention, reference
        self._fill()
        self.update()
        self._follow_cursor()
        self._maker.start()

    def find(self, segmentation: Any) -> None:
        """Show the maps that belong to a segmentation, which may have come with a saved scene."""
        reference = None
        if segmentation is not None:
            reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        found = AttentionSet.find(slicer.mrmlScene, reference) if reference is not None else None
        self.set_attention(found, reference)

    def node_removed(self, node: Any) -> None:
        """A node left the scene: without its maps there is nothing to show."""
        if self._set is not None and (node is self._reference or self._set.holds(node)):
            self.set_attention(None, None)

    @property
    def volume(self) -> Any:
        """The volume node that is laid over the scan; None for all rates side by side, or where there is none."""
        layer = self._layer()
        return None if layer is None else volume_of(self._set, layer, self._map())

    def update(self) -> None:
        """Bring the views into accord with the choices."""
        if self._filling:
            return
        layer = self._layer()
        shown = layer is not None and self._ui.attentionCheckBox.checked
        if not shown:
            self._clear_views()
            return
        linked, opacity = self._ui.attentionLinkedCheckBox.checked, self._ui.attentionOpacitySlider.value
        if self._map() == ALL_RATES:
            self._side_by_side(layer, opacity)
            return
        self._leave_side_by_side()
        display.show_overlay(composite_nodes(), self.volume, background=self._reference, opacity=opacity, linked=linked)
        self._show_range()
        for node in self._set.volumes():
            display.show_legend(node, visible=node is self.volume and self._ui.attentionLegendCheckBox.checked)

    def make_sequence(self) -> Any:
        """A sequence of the zoom maps over the layers, and its browser, chosen in the toolbar."""
        if self._set is None:
            return None
        _sequence, browser = views.layer_sequence(self._set)
        module = getattr(slicer.modules, "sequences", None)
        if hasattr(module, "showSequenceBrowser"):  # only the application has toolbars
            module.setToolBarActiveBrowserNode(browser)
            module.showSequenceBrowser(browser)
        return browser

    # Widgets

    def _fill(self) -> None:
        self._filling = True
        there = self._set is not None
        self._ui.attentionWidget.enabled = there
        self._ui.attentionCheckBox.enabled = there
        self._ui.attentionHintLabel.visible = not there
        self._ui.attentionHintLabel.text = _("Segment with an autofocus model to see where it zoomed in and out.")
        selector = self._ui.attentionLayerSelector
        selector.clear()
        for layer in self._set.layers if there else ():
            selector.addItem(_("Autofocus layer {number}").format(number=layer.index + 1), layer.index)
        wanted = -1 if self._parameters is None else selector.findData(self._parameters.attention_layer)
        selector.setCurrentIndex(wanted if wanted >= 0 else selector.count - 1)
        self._ui.layerSequenceButton.enabled = there and len(self._set.layers) > 1
        self._fill_maps()
        self._filling = False

    def _fill_maps(self) -> None:
        selector = self._ui.attentionMapSelector
        filling, self._filling = self._filling, True
        selector.clear()
        layer = self._layer()
        if layer is not None:
            for title, identifier in choices(self._set, layer):
                selector.addItem(title, identifier)
            wanted = selector.findData(self._parameters.attention_map if self._parameters is not None else ZOOM)
            selector.setCurrentIndex(max(wanted, 0))
        self._fill_map_options()
        self._filling = filling

    def _fill_map_options(self) -> None:
        layer = self._layer()
        if layer is None:
            return
        filling, self._filling = self._filling, True
        zoom = self._map() == ZOOM
        low, high = (min(layer.rates_mm), max(layer.rates_mm)) if zoom else (0.0, 1.0)
        widget = self._ui.attentionRangeWidget
        widget.minimum, widget.maximum = low, high
        widget.singleStep = (high - low) / 50
        widget.suffix = " mm" if zoom else ""
        widget.setValues(low, high)
        selector = self._ui.attentionColoursSelector
        selector.clear()
        for title, identifier in display.colour_choices(slicer.mrmlScene, "zoom" if zoom else "rate"):
            selector.addItem(title, identifier)
        wanted = selector.findData(self._parameters.attention_colours if self._parameters is not None else "")
        selector.setCurrentIndex(max(wanted, 0))
        self._filling = filling

    def _layer(self) -> Any:
        if self._set is None:
            return None
        index = self._ui.attentionLayerSelector.currentIndex
        return self._set.layers[index] if 0 <= index < len(self._set.layers) else None

    def _map(self) -> str:
        selector = self._ui.attentionMapSelector
        return str(selector.itemData(selector.currentIndex) or ZOOM)

    def _layer_chosen(self) -> None:
        if self._filling:
            return
        if self._parameters is not None and self._layer() is not None:
            self._parameters.attention_layer = self._layer().index
        self._fill_maps()
        self.update()

    def _map_chosen(self) -> None:
        if self._filling:
            return
        if self._parameters is not None:
            self._parameters.attention_map = self._map()
        self._fill_map_options()
        self.update()

    def _colours_chosen(self) -> None:
        if self._filling or self._set is None:
            return
        selector = self._ui.attentionColoursSelector
        identifier = str(selector.itemData(selector.currentIndex) or "")
        if self._parameters is not None:
            self._parameters.attention_colours = identifier
        for volume in [self.volume] if self.volume is not None else self._set.rates(self._layer().index):
            display.set_colours(volume, identifier)

    def _show_opacity(self) -> None:
        if self._set is not None and self._ui.attentionCheckBox.checked:
            for composite in composite_nodes():
                composite.SetForegroundOpacity(self._ui.attentionOpacitySlider.value)

    def _show_range(self) -> None:
        if self._filling or self._set is None or not self._ui.attentionCheckBox.checked:
            return
        widget = self._ui.attentionRangeWidget
        for volume in [self.volume] if self.volume is not None else self._set.rates(self._layer().index):
            display.set_threshold(volume, widget.minimumValue, widget.maximumValue)

    def _follow_cursor(self) -> None:
        if self._entered and self._set is not None and self._ui.attentionProbeCheckBox.checked:
            self.probe.start()
        else:
            self.probe.stop()

    def _make_next(self) -> None:
        if self._set is None or not self._set.make_next():
            self._maker.stop()

    # Views

    def _clear_views(self) -> None:
        self._leave_side_by_side()
        display.hide_overlay(composite_nodes())
        for volume in self._set.volumes() if self._set is not None else ():
            display.show_legend(volume, visible=False)

    def _side_by_side(self, layer: Any, opacity: float) -> None:
        volumes = self._set.rates(layer.index)
        layout = views.side_by_side_layout(slicer.mrmlScene, len(volumes))
        manager = slicer.app.layoutManager()
        if manager is not None and manager.layout != layout.identifier:
            self._layout_before = manager.layout
            manager.setLayout(layout.identifier)
        views.show_side_by_side(
            slicer.mrmlScene, layout, volumes, background=self._reference, opacity=opacity,
            linked=self._ui.attentionLinkedCheckBox.checked,
        )  # fmt: skip
        fit_slices(layout.view_names)
        for volume in self._set.volumes():
            display.show_legend(volume, visible=volume in volumes and self._ui.attentionLegendCheckBox.checked)
        self._show_range()

    def _leave_side_by_side(self) -> None:
        if self._layout_before is not None:
            manager = slicer.app.layoutManager()
            if manager is not None:
                manager.setLayout(self._layout_before)
            self._layout_before = None

    def _render(self, wanted: bool) -> None:
        layer = self._layer()
        module = getattr(slicer.modules, "volumerendering", None)
        if layer is None or module is None:
            return
        if wanted:
            self._rendering = views.render_zoom_map(module.logic(), self._set.zoom(layer.index))
            slicer.util.resetThreeDViews()
        elif self._rendering is not None:
            self._rendering.SetVisibility(False)
            self._rendering = None
