"""The panel's choice of a device, and the plan of what will be computed on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _

from AutofocusSegmentationLib.panel.model_list import duration

GIB = 2**30


def device_title(device: dict[str, Any]) -> str:
    """A device with its name and its free memory."""
    free = _("{free:.1f} of {total:.1f} GiB free").format(
        free=device["free_bytes"] / GIB, total=device["total_bytes"] / GIB
    )
    kind = {"cpu": "CPU", "mps": "Apple MPS"}.get(device["id"], "GPU " + device["id"].partition(":")[2])
    return f"{kind}: {device['name']} ({free})"


def plan_text(plan: dict[str, Any]) -> str:
    """A sentence about a plan: what, how much memory, how long."""
    parts = [str(plan["plan"])]
    if plan.get("seconds"):
        parts.append(_("about {time}").format(time=duration(plan["seconds"])))
    if plan.get("device"):
        parts.append(_("on {device}, {precision}").format(device=plan["device"], precision=plan.get("precision") or ""))
    return "; ".join(parts).rstrip(", ") + "."


class DeviceChoice:
    """The selector of devices, precision and mode.

    Args:
        ui: the panel's widgets.
        on_change: called when the user has chosen something else.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self._ui = ui
        self._on_change = on_change
        self._updating = False
        self._parameters: Any = None
        self.known = False  # whether the list of devices has arrived
        self.fill([])
        _fill(ui.precisionSelector, [(_("Automatic"), "auto"), ("bfloat16", "bfloat16"), ("float16", "float16"),
                                     ("float32", "float32")])  # fmt: skip
        _fill(ui.modeSelector, [(_("Exact, without seams"), "exact"), (_("Tiles, as the released program"), "paper")])
        for selector in (ui.deviceSelector, ui.precisionSelector, ui.modeSelector):
            selector.connect("currentIndexChanged(int)", lambda index: self._chosen())

    def fill(self, devices: Sequence[dict[str, Any]]) -> None:
        """Show these devices; a chosen one that is gone stays in the list, marked as gone."""
        self.known = bool(devices)
        wanted = self.device if self._parameters is None else self._parameters.device
        best = f": {device_title(devices[0])}" if devices else ""
        entries = [(_("Automatic") + best, "auto")] + [(device_title(device), device["id"]) for device in devices]
        if wanted not in {value for _title, value in entries}:
            entries.append((_("{device} (not there now)").format(device=wanted), wanted))
        self._updating = True
        _fill(self._ui.deviceSelector, entries)
        _choose(self._ui.deviceSelector, wanted)
        self._updating = False

    def set_parameters(self, parameters: Any) -> None:
        """Show the choices of a parameter node; None while there is none."""
        self._parameters = parameters
        if parameters is None:
            return
        self._updating = True
        for selector, value in (
            (self._ui.deviceSelector, parameters.device),
            (self._ui.precisionSelector, parameters.precision),
            (self._ui.modeSelector, parameters.mode),
        ):
            _choose(selector, value)
        self._updating = False

    @property
    def device(self) -> str:
        """What the engine takes: "auto", "cpu", "cuda:0", "mps"."""
        return _value(self._ui.deviceSelector) or "auto"

    def choose(self, device: str) -> None:
        """Choose a device by its id."""
        _choose(self._ui.deviceSelector, device)

    def settings(self) -> dict[str, str]:
        """The fields of AutofocusCore.jobs.job.Settings that are chosen here."""
        return {
            "device": self.device,
            "precision": _value(self._ui.precisionSelector) or "auto",
            "mode": _value(self._ui.modeSelector) or "exact",
        }

    def _chosen(self) -> None:
        if self._updating or self._parameters is None:
            return
        for name, value in self.settings().items():
            setattr(self._parameters, name, value)
        self._on_change()


def _fill(selector: Any, entries: Sequence[tuple[str, str]]) -> None:
    selector.clear()
    for title, value in entries:
        selector.addItem(title, value)


def _value(selector: Any) -> str:
    return str(selector.itemData(selector.currentIndex) or "")


def _choose(selector: Any, value: str) -> None:
    index = selector.findData(value)
    if index >= 0:
        selector.setCurrentIndex(index)
