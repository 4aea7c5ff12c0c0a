"""Memory, cores and load of the computer, as the operating system tells them: Slicer's Python does not bring psutil."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

VM_STAT = "/usr/bin/vm_stat"


def memory() -> tuple[int, int]:
    """(available, total) memory in bytes; available is what a program can get without swapping."""
    system = platform.system()
    if system == "Windows":
        return _windows_memory()
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    total = page * pages
    if system == "Darwin":
        return min(_mac_available(_output_of(VM_STAT)) or total // 2, total), total
    return min(_linux_available(_text_of("/proc/meminfo")) or total // 2, total), total


def cores() -> int:
    """Cores of the processor, as the system counts them."""
    return os.cpu_count() or 1


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


def _linux_available(meminfo: str) -> int:
    """Available bytes according to /proc/meminfo; 0 if it does not tell."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, flags=re.M)
    return int(found[1]) * 1024 if found else 0


def _mac_available(vm_stat: str) -> int:
    """Bytes of the free and inactive pages that `vm_stat` counts, as psutil does; 0 if it does not tell."""
    size = re.search(r"page size of (\d+) bytes", vm_stat)
    counts = [re.search(rf"^Pages {kind}:\s+(\d+)", vm_stat, flags=re.M) for kind in ("free", "inactive")]
    return int(size[1]) * sum(int(count[1]) for count in counts if count) if size else 0


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


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
