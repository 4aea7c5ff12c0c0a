"""Devices and precisions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from AutofocusCore.errors import DeviceError, SettingError
from AutofocusCore.inference import devices
from AutofocusCore.inference.devices import (
    Device,
    is_out_of_memory,
    list_devices,
    resolve_device,
    resolve_precision,
)

MEMINFO = "MemTotal:       16303428 kB\nMemFree:          310204 kB\nMemAvailable:   11213456 kB\nBuffers: 1 kB\n"
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pages active:                            498765.
Pages inactive:                          400000.
Pages speculative:                         6789.
"""


def test_the_cpu_is_always_there_with_its_name_and_memory() -> None:
    cpu = list_devices()[-1]
    assert cpu.id == "cpu"
    assert f"{psutil.cpu_count()} cores" in cpu.name
    assert 0 < cpu.free_bytes <= cpu.total_bytes
    assert cpu.precisions[-1] == "float32"
    assert cpu.usable_bytes < cpu.free_bytes


def test_auto_is_the_first_device() -> None:
    assert resolve_device().id == list_devices()[0].id
    assert resolve_device("CPU").id == "cpu"


@pytest.mark.parametrize("wish", ["cuda:99", "gpu", "", "tpu:0"])
def test_an_unknown_device_is_named_with_those_there_are(wish: str) -> None:
    with pytest.raises(DeviceError, match="cpu"):
        resolve_device(wish)


def test_auto_precision_is_the_devices_best() -> None:
    device = Device("cuda:0", "A GPU", 1, 1, ("bfloat16", "float16", "float32"))
    assert resolve_precision("auto", device) == "bfloat16"
    assert resolve_precision("float32", device) == "float32"
    with pytest.raises(SettingError, match="float64"):
        resolve_precision("float64", device)


def test_shortage_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert not is_out_of_memory(RuntimeError("expected scalar type Float but found BFloat16"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_systems_own_numbers_are_those_of_psutil() -> None:
    available, total = devices.memory()
    known = psutil.virtual_memory()
    assert total == known.total
    assert abs(available - known.available) < 0.1 * known.total  # others allocate meanwhile


def test_reports_of_linux_and_macos_are_read(tmp_path: Path) -> None:
    report = tmp_path / "meminfo"
    report.write_text(MEMINFO, encoding="ascii")
    assert devices._linux_available(report) == 11213456 * 1024
    assert devices._mac_available(VM_STAT) == 16384 * (12345 + 400000)
    report.write_text("MemTotal: 5 kB", encoding="ascii")
    assert devices._linux_available(report) == 0
    assert devices._linux_available(tmp_path / "none") == 0
    assert devices._mac_available("") == 0


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_a_system_that_does_not_say_what_is_available_counts_as_half_full(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(devices.os, "sysconf"):
        pytest.skip("This system has no sysconf.")
    monkeypatch.setattr(devices.platform, "system", lambda: system)
    monkeypatch.setattr(devices, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(devices, "_output_of", lambda _: "")
    available, total = devices.memory()
    assert available == total // 2
