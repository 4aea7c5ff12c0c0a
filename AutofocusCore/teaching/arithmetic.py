"""The precision that a network learns in."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from AutofocusCore.errors import SettingError


class Arithmetic:
    """The precision of a run on its device.

    Args:
        precision: "bfloat16" where the processor has it and float32 elsewhere, "float16" (GPUs; the loss is scaled),
            or "float32".
        device: that the network is on.

    Raises:
        SettingError: float16 without a GPU.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        if precision == "float16" and not on_gpu:
            raise SettingError("run.precision is 'float16', but there is no GPU", "use bfloat16 or float32")
        able = on_gpu or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.device = device
        self.type = torch.float16 if precision == "float16" else torch.bfloat16
        self.low = precision == "float16" or (precision == "bfloat16" and able)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")

    def lowered(self) -> AbstractContextManager[object]:
        """A context in which convolutions are computed in the low precision, where there is one."""
        return torch.autocast(self.device.type, self.type, enabled=self.low)
