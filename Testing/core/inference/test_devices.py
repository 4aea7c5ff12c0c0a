"""Devices and precisions."""

from __future__ import annotations

import pytest
import torch

from AutofocusCore.errors import DeviceError, SettingError
from AutofocusCore.inference.devices import (
    Device,
    is_out_of_memory,
    list_devices,
    resolve_device,
    resolve_precision,
    usable_bytes,
)


def test_the_cpu_is_always_there_with_its_name_and_memory() -> None:
    cpu = list_devices()[-1]
    assert cpu.id == "cpu"
    assert "cores" in cpu.name
    assert 0 < cpu.free_bytes <= cpu.total_bytes
    assert cpu.precisions[-1] == "float32"
    assert usable_bytes(cpu) < cpu.free_bytes


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
