"""Computing devices (CPU, GPUs): names, memory, precisions."""

from __future__ import annotations

import contextlib
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from AutofocusCore.errors import DeviceError, SettingError
from AutofocusCore.inference.computer import cores, memory

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARE_OF_FREE_MEMORY = 0.8  # the default memory limit of a run


@dataclass(frozen=True)
class Device:
    """A computing device.

    Attributes:
        id: "cpu", "cuda:0" or "mps", as the argument ``device`` takes it.
        name: to be shown to users.
        free_bytes, total_bytes: its memory; on Apple chips and the CPU, the computer's.
        precisions: the precisions that it computes natively, the best for inference first.
    """

    id: str
    name: str
    free_bytes: int
    total_bytes: int
    precisions: tuple[str, ...]


def list_devices() -> list[Device]:
    """All devices of this computer, the fastest first; the CPU is always the last one."""
    devices = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        bfloat16 = torch.cuda.get_device_capability(index) >= (8, 0)
        precisions: tuple[str, ...] = ("bfloat16", "float16", "float32") if bfloat16 else ("float16", "float32")
        devices.append(Device(f"cuda:{index}", torch.cuda.get_device_name(index), free, total, precisions))
    available, total = memory()
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", available, total, ("float32",)))
    precisions = ("bfloat16", "float32") if _cpu_multiplies_bfloat16() else ("float32",)
    devices.append(Device("cpu", _cpu_name(), available, total, precisions))
    return devices


def resolve_device(name: str = "auto") -> Device:
    """The device called ``name``; "auto" is the first of :func:`list_devices`, "cuda" the first GPU.

    Raises:
        DeviceError: there is no such device. No other device is used instead.
    """
    devices = list_devices()
    wanted = str(name).lower()
    if wanted == "auto":
        return devices[0]
    if wanted == "cuda":
        wanted = "cuda:0"
    for device in devices:
        if device.id == wanted:
            return device
    names = ", ".join(device.id for device in devices)
    raise DeviceError(f"There is no device {str(name)!r} on this computer", f"choose one of auto, {names}")


def resolve_precision(name: str, device: Device, mode: str = "exact") -> str:
    """The precision called ``name``; "auto" is the best precision of ``device``, and float32 in paper mode.

    Raises:
        SettingError: there is no such precision.
    """
    if name == "auto":
        return "float32" if mode == "paper" else device.precisions[0]
    if name not in PRECISIONS:
        raise SettingError(f"There is no precision {name!r}", f"choose one of auto, {', '.join(PRECISIONS)}")
    return name


def usable_bytes(device: Device) -> int:
    """Default memory limit of a run on ``device``, in bytes."""
    return int(device.free_bytes * SHARE_OF_FREE_MEMORY)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a failed allocation of memory, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed", "could not create a memory")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


def _cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has bfloat16 instructions; emulation would be slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def _cpu_name() -> str:
    """The processor's model if the system tells it, otherwise its architecture, and the number of cores."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {cores()} cores"
