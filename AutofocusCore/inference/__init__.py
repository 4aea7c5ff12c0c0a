"""From a volume to its logits and attention maps: exactly, within a memory budget, on any device."""

from AutofocusCore.inference.devices import Device, list_devices, resolve_device
from AutofocusCore.inference.plan import Plan
from AutofocusCore.inference.prediction import Prediction, plan_volume, predict_volume, receptive_reach
from AutofocusCore.inference.progress import CancelledCallback, Progress, ProgressCallback

__all__ = [
    "CancelledCallback",
    "Device",
    "Plan",
    "Prediction",
    "Progress",
    "ProgressCallback",
    "list_devices",
    "plan_volume",
    "predict_volume",
    "receptive_reach",
    "resolve_device",
]
