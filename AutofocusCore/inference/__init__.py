"""Inference: logits and attention maps of whole volumes, exact, within a memory limit, on any device."""

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
