"""The volume nodes of one autofocus layer, made when they are first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from AutofocusCore.result import AttentionMap
from AutofocusSegmentationLib.scene.attention_nodes import LAYER, RATE, RATE_KIND, RATES, RATES_MM, ZOOM
from AutofocusSegmentationLib.scene.colour_range import shown_weight, weights_range
from AutofocusSegmentationLib.scene.map_volumes import MapVolumes
from AutofocusSegmentationLib.scene.volume_node import LENGTH, MILLIMETRES, NO_UNIT, set_unit
from AutofocusSegmentationLib.scene.zoom_colours import add_zoom_colours, weight_colours


class AttentionLayer:
    """The volume nodes of one autofocus layer.

    Args:
        maps: the volumes of the run that it belongs to.
        index: which autofocus layer, from 0.
        rates, rates_mm: its dilation rates, in voxels and in mm.
        made_from: the attention of the layer, from which volumes are made when first asked for; None: those
            in the scene are all there are.
    """

    def __init__(
        self,
        maps: MapVolumes,
        index: int,
        rates: Sequence[float],
        rates_mm: Sequence[float],
        made_from: AttentionMap | None = None,
    ) -> None:
        self._maps = maps
        self.index, self.rates, self.rates_mm = index, tuple(rates), tuple(rates_mm)
        self.made_from = made_from

    @property
    def zoom(self) -> Any:
        """The volume of effective dilations; None where it is not there and cannot be made."""
        found = self._maps.find(ZOOM, self.index)
        if found is None and self.made_from is not None:
            name = f"Dilation in mm, layer {self.index + 1}"
            found = self._maps.add(name, ZOOM, self.made_from.dilation_mm, self.made_from)
            self._describe(found)
            set_unit(found, MILLIMETRES, quantity=LENGTH)
            found.GetDisplayNode().SetAndObserveColorNodeID(add_zoom_colours(found.GetScene()).GetID())
        return found

    def rate_volumes(self) -> list[Any]:
        """The volumes of the single rates, in the order of `rates`; those that are not there are made, if possible."""
        return [node for k in range(len(self.rates)) if (node := self.rate(k)) is not None]

    def rate(self, k: int) -> Any:
        """The volume of one rate, counted from 0; None where it is not there and cannot be made."""
        found = self._maps.find(RATE_KIND, self.index, self.rates[k])
        if found is None and self.made_from is not None:
            name = f"Weight of rate {self.rates[k]:g} ({round(self.rates_mm[k], 1):g} mm), layer {self.index + 1}"
            values = shown_weight(self.made_from, k)
            window = weights_range(self.made_from)
            found = self._maps.add(name, RATE_KIND, values, self.made_from, window=window)
            self._describe(found)
            found.SetAttribute(RATE, str(self.rates[k]))
            set_unit(found, NO_UNIT)
            found.GetDisplayNode().SetAndObserveColorNodeID(weight_colours(found.GetScene()).GetID())
        return found

    def weights(self, i: int, j: int, k: int) -> NDArray[np.float32] | None:
        """The weights of the rates in a voxel that is in the grid; None if they are not known."""
        if self.made_from is not None:
            return self.made_from.weights[:, k, j, i]
        nodes = [self._maps.find(RATE_KIND, self.index, rate) for rate in self.rates]
        if any(node is None for node in nodes):
            return None
        return np.array([node.GetImageData().GetScalarComponentAsFloat(i, j, k, 0) for node in nodes], np.float32)

    def _describe(self, node: Any) -> None:
        node.SetAttribute(LAYER, str(self.index))
        node.SetAttribute(RATES, " ".join(map(str, self.rates)))
        node.SetAttribute(RATES_MM, " ".join(repr(float(rate)) for rate in self.rates_mm))
