"""Computing devices (CPU, GPUs): names, memory, precisions; and the computer's load.

The computer's memory is asked of the operating system itself: Slicer's Python does not bring psutil.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from AutofocusCore.errors import DeviceError, SettingError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARE_OF_FREE_MEMORY = 0.8  # the default memory limit of a run
MEMINFO, VM_STAT = Path("/proc/meminfo"), "/usr/bin/vm_stat"


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

    @property
    def usable_bytes(self) -> int:
        """Default memory limit of a run on it."""
        return int(self.free_bytes * SHARE_OF_FREE_MEMORY)


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
    instructions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # emulation is slower than float32
    has_bfloat16 = any(bool(getattr(torch.cpu, check, bool)()) for check in instructions)
    precisions = ("bfloat16", "float32") if has_bfloat16 else ("float32",)
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a failed allocation of memory, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed", "could not create a memory")
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


def _cpu_name() -> str:
    """The processor's model if the system tells it, otherwise its architecture, and the number of cores."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count() or 1} cores"


def memory() -> tuple[int, int]:
    """(available, total) memory in bytes; available is what a program can get without swapping."""
    system = platform.system()
    if system == "Windows":
        return _windows_memory()
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    total = page * pages
    if system == "Darwin":
        return min(_mac_available(_output_of(VM_STAT)) or total // 2, total), total
    return min(_linux_available(MEMINFO) or total // 2, total), total


def load_factor(own_threads: float = 0) -> float:
    """How many times as long a computation on all cores takes because of other programs; 1 on an idle computer.

    Where n programs want all cores, each has 1/n of them. Systems that do not tell their load count as idle.

    Args:
        own_threads: threads of this process that are part of the last minute's load; 0 where it has been waiting.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows
        return 1.0
    count = os.cpu_count() or 1
    return max(1.0, (max(0.0, load - own_threads) + count) / count)


def _linux_available(meminfo: Path) -> int:
    """Available bytes according to /proc/meminfo; 0 if it does not tell."""
    try:
        text = meminfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, flags=re.M)
    return int(found[1]) * 1024 if found else 0


def _mac_available(vm_stat: str) -> int:
    """Bytes of the free and inactive pages that `vm_stat` counts, as psutil does; 0 if it does not tell."""
    size = re.search(r"page size of (\d+) bytes", vm_stat)
    counts = [re.search(rf"^Pages {kind}:\s+(\d+)", vm_stat, flags=re.M) for kind in ("free", "inactive")]
    return int(size[1]) * sum(int(count[1]) for count in counts if count) if size else 0


def _output_of(program: str) -> str:
    try:
        return subprocess.run([program], capture_output=True, encoding="ascii", timeout=5, check=False).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load_percent", ctypes.c_uint32),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


def _windows_memory() -> tuple[int, int]:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel: Any = getattr(ctypes, "windll").kernel32  # noqa: B009  (the type checker knows it on Windows only)
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("Windows does not say how much memory there is")
    return int(status.available_physical), int(status.total_physical)
