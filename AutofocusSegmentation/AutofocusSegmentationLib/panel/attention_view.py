"""The panel's attention: which map lies over the scan, in which views, and how far the network looked at the cursor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import slicer

from AutofocusSegmentationLib.panel.attention_choices import ALL_RATES, PLAYED, is_of_one_layer, volume_of
from AutofocusSegmentationLib.panel.attention_widgets import AttentionWidgets
from AutofocusSegmentationLib.panel.cursor_probe import CursorProbe
from AutofocusSegmentationLib.panel.rate_views import RateViews
from AutofocusSegmentationLib.scene import attention_display as display
from AutofocusSegmentationLib.scene import attention_views as views
from AutofocusSegmentationLib.scene.attention_nodes import REACH, UNCERTAINTY
from AutofocusSegmentationLib.scene.attention_set import AttentionSet
from AutofocusSegmentationLib.scene.cameras import look_at
from AutofocusSegmentationLib.scene.outlines import show_all_as_before, show_outlines_only
from AutofocusSegmentationLib.scene.slice_views import all_composite_nodes, composite_nodes, slice_node_of

MOST_SETS = 4  # whose maps are kept in memory until they are asked for


class AttentionView:
    """Shows the attention of one result, over the scan that it belongs to and no other.

    Args:
        ui: the panel's widgets.
        on_change: called when something else is shown, or can be.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None] = lambda: None) -> None:
        self._ui, self._on_change = ui, on_change
        self._set: AttentionSet | None = None
        self._known: OrderedDict[str, AttentionSet] = OrderedDict()  # by the segmentation's id
        self._entered = False
        self._rendering: Any = None
        self._played: Any = None
        self._updating = False
        self.widgets = AttentionWidgets(ui, self.update)
        self.rate_views = RateViews()
        self.probe = CursorProbe(ui.chartLabel, self._subject)
        ui.attentionCheckBox.connect("toggled(bool)", self._toggled)
        ui.attentionButton.connect("clicked(bool)", self._button_clicked)
        ui.attentionProbeCheckBox.connect("toggled(bool)", lambda on: self._follow_cursor())
        ui.volumeRenderingButton.connect("toggled(bool)", self._render)
        ui.layerSequenceButton.connect("clicked(bool)", lambda checked=False: self.widgets.choose(PLAYED))
        ui.keepMapsButton.connect("clicked(bool)", lambda checked=False: self._set and self._set.make_all())
        self.widgets.fill(None)

    # Life

    def enter(self) -> None:
        """The module is shown."""
        self._entered = True
        self._follow_cursor()

    def exit(self) -> None:
        """Another module is shown; the overlay stays."""
        self._entered = False
        self.probe.stop()

    def close(self) -> None:
        """Release everything; the panel is being closed."""
        self.exit()
        self._known.clear()
        self._set = None

    def set_parameters(self, parameters: Any) -> None:
        """The parameter node, or None."""
        self.widgets.parameters = parameters
        if parameters is None:
            self._known.clear()
            self.set_attention(None)

    # What is shown

    def set_attention(self, attention: AttentionSet | None) -> None:
        """Show the maps of a result; None: there are none."""
        if self._set is not None and (attention is None or attention.owner is not self._set.owner):
            self.clear()
        self._set = attention
        if attention is not None:
            self._known[attention.owner.GetID()] = attention
            self._known.move_to_end(attention.owner.GetID())
            while len(self._known) > MOST_SETS:
                self._known.popitem(last=False)
        self._played = None
        self.widgets.fill(attention)
        self.update()

    def find(self, segmentation: Any) -> None:
        """Show the maps that belong to a segmentation, which may have come with a saved scene."""
        found = None if segmentation is None else self._known.get(segmentation.GetID())
        if segmentation is not None and (found is None or not found.there):
            found = AttentionSet.find(slicer.mrmlScene, segmentation)
        self.set_attention(found)

    def node_removed(self, node: Any) -> None:
        """A node left the scene; if it was the scan, the segmentation or the reach, stop showing the attention."""
        self._known = OrderedDict((key, one) for key, one in self._known.items() if node is not one.owner)
        if self._set is not None and (node is self._set.reference or node is self._set.owner):
            self.set_attention(None)
        elif self._set is not None and self._set.holds(node):
            self.update()

    @property
    def volume(self) -> Any:
        """The volume node that is laid over the scan; None for all rates side by side, or where there is none."""
        if self._set is None:
            return None
        if self.widgets.map == PLAYED:
            return self._play()
        return volume_of(self._set, self.widgets.layer, self.widgets.map)

    @property
    def shown(self) -> bool:
        """Whether the user wants an overlay, and there is one."""
        return self._set is not None and self._set.there and bool(self._ui.attentionCheckBox.checked)

    @property
    def has_uncertainty(self) -> bool:
        """Whether a map of uncertainty can be shown."""
        return self._set is not None and self._set.there and self._set.has_uncertainty

    @property
    def shows_uncertainty(self) -> bool:
        """Whether it lies over the scan."""
        return self.shown and self.widgets.map == UNCERTAINTY

    def show_uncertainty(self, wanted: bool) -> None:
        """Lay the map of uncertainty over the scan, in place of other maps, or take it off."""
        if wanted:
            self.widgets.choose(UNCERTAINTY)
        if wanted or self.shows_uncertainty:
            self._ui.attentionCheckBox.checked = wanted
        self.update()

    def update(self) -> None:
        """Update the views to the user's choices and to the scans that they show."""
        if self._updating:
            return
        self._updating = True
        try:
            self._ui.attentionButton.checked = self.shown and not self.shows_uncertainty
            if self.shown:
                self._lay_over()
            else:
                self.clear()
        finally:
            self._updating = False
        self._follow_cursor()
        self._on_change()

    def clear(self) -> None:
        """Take overlay, legend and outlines off all views."""
        self.rate_views.leave()
        display.hide_overlay(all_composite_nodes())
        if self._set is not None:
            for volume in self._set.volumes():
                display.show_legend(volume, visible=False)
        show_all_as_before(slicer.mrmlScene)

    def _lay_over(self) -> None:
        assert self._set is not None
        linked, opacity = self._ui.attentionLinkedCheckBox.checked, self._ui.attentionOpacitySlider.value
        if self.widgets.map == ALL_RATES and self.widgets.layer is not None and self._on_screen():
            volumes = self.rate_views.enter(self._set, self.widgets.layer, opacity=opacity, linked=linked)
            front = volumes[0] if volumes else None
        else:
            self.rate_views.leave()
            front = self.volume
            volumes = [] if front is None else [front]
        there = self._on_screen()
        elsewhere = [composite for composite in all_composite_nodes() if composite not in there]
        display.hide_overlay(elsewhere)
        if self.widgets.map != ALL_RATES and front is not None:
            display.show_overlay(there, front, opacity=opacity, linked=linked)
        self.widgets.show_range_of(volumes)
        view = slice_node_of(there[0]) if there else None
        for node in {*self._set.volumes(), *volumes}:
            wanted = node is front and view is not None and self._ui.attentionLegendCheckBox.checked
            ratio = float(self._ui.chartLabel.devicePixelRatioF())
            display.show_legend(node, visible=wanted, view=None if view is None else view.GetID(), pixel_ratio=ratio)
        if there:
            show_outlines_only(self._set.owner)
        else:
            show_all_as_before(slicer.mrmlScene)

    def _on_screen(self) -> list[Any]:
        """The slice views that show the scan that the attention belongs to."""
        assert self._set is not None
        scan = self._set.reference.GetID()
        return [composite for composite in composite_nodes() if composite.GetBackgroundVolumeID() == scan]

    def _toggled(self, on: bool) -> None:
        """The user switched the overlay on: views that show another scan return to this one."""
        if on and self._set is not None and self._set.there and not self._updating and not self._on_screen():
            display.show_behind(composite_nodes(), self._set.reference)
        self.update()

    def _button_clicked(self, on: bool) -> None:
        if on:
            self._ui.attentionCollapsibleButton.collapsed = False
            if self.widgets.map == UNCERTAINTY:
                self.widgets.choose(REACH)
        self._ui.attentionCheckBox.checked = on

    def _play(self) -> Any:
        """The volume that plays the layers one after the other; the sequence is made when it is first asked for."""
        assert self._set is not None
        if self._played is None or self._played.GetScene() is None:
            _sequence, browser, self._played = views.layer_sequence(self._set)
            module = getattr(slicer.modules, "sequences", None)
            if hasattr(module, "showSequenceBrowser"):  # only the application has toolbars
                module.setToolBarActiveBrowserNode(browser)
                module.showSequenceBrowser(browser)
        return self._played

    # The cursor, and 3-D

    def _subject(self) -> tuple[AttentionSet, Any] | None:
        """The attention under the cursor, and its layer if a map of one layer is shown."""
        if self._set is None or not self._set.there or not self._set.looked:
            return None
        return self._set, self.widgets.layer if is_of_one_layer(self.widgets.map) else None

    def _follow_cursor(self) -> None:
        wanted = self._entered and self.shown and self._ui.attentionProbeCheckBox.checked
        if wanted and self._on_screen():
            self.probe.start()
        else:
            self.probe.stop()

    def _render(self, wanted: bool) -> None:
        module = getattr(slicer.modules, "volumerendering", None)
        if self._rendering is not None and self._rendering.GetScene() is not None:
            self._rendering.SetVisibility(False)
        self._rendering = None
        volume = self.volume
        if wanted and volume is not None and module is not None:
            self._rendering = views.render_map(module.logic(), volume)
            look_at(volume)
