"""AFNet segmentation with autofocus layers: networks, exact whole-volume inference, models, images.

Importing this package is cheap; torch is imported by the first call that needs it.
"""

from __future__ import annotations

from AutofocusCore._version import __version__

TYPE_CHECKING = False  # as in typing, which the command line need not wait for before it can catch Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from AutofocusCore.inference import Prediction, list_devices, predict_volume
    from AutofocusCore.networks.build import build_network, count_parameters
    from AutofocusCore.networks.released import load_released_checkpoint

_HOMES = {
    "build_network": "networks.build",
    "count_parameters": "networks.build",
    "load_released_checkpoint": "networks.released",
    "predict_volume": "inference",
    "Prediction": "inference",
    "list_devices": "inference",
}

__all__ = [
    "Prediction",
    "__version__",
    "build_network",
    "count_parameters",
    "list_devices",
    "load_released_checkpoint",
    "predict_volume",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"AutofocusCore.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
