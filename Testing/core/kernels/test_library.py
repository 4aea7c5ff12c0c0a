"""Which native code is used: the best that this processor has, the one that was asked for, or none."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import library, native_kernel, set_threads, threads
from AutofocusCore.kernels.library import LIBRARY, SUFFIX, VARIABLE, load, usable_sets

needs_library = pytest.mark.skipif(not usable_sets(), reason="The native kernel is not built; run make kernel.")


@needs_library
def test_the_best_instruction_set_is_used_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert native_kernel() == next(iter(usable_sets()))
    monkeypatch.setenv(VARIABLE, "portable")
    assert native_kernel() == "portable"
    monkeypatch.setenv(VARIABLE, "fallback")
    assert native_kernel() is None


def test_a_kernel_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "abacus")
    with pytest.raises(SettingError, match="AUTOFOCUS_KERNEL=abacus names a kernel"):
        native_kernel()


@needs_library
def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    load.cache_clear()
    monkeypatch.setattr(library, "ABI", library.ABI + 1)
    assert load(LIBRARY) is None
    load.cache_clear()


def test_a_missing_or_damaged_library_is_not_used(tmp_path: Path) -> None:
    assert load(tmp_path / ("missing" + SUFFIX)) is None
    damaged = tmp_path / ("damaged" + SUFFIX)
    damaged.write_bytes(b"not a library")
    assert load(damaged) is None


@needs_library
def test_the_abi_version_in_python_is_that_of_the_c_header() -> None:
    header = (Path(library.__file__).parent / "native" / "kernel.h").read_text(encoding="utf-8")
    assert f"#define AF_ABI {library.ABI}\n" in header
    assert ctypes.CDLL(str(LIBRARY)).af_abi() == library.ABI


def test_the_number_of_threads_can_be_set_and_must_be_positive() -> None:
    before = threads()
    set_threads(3)
    assert threads() == 3
    set_threads(None)
    assert threads() == before
    for number in (0, -1, 1.5, float("nan"), "2", True, [2]):
        with pytest.raises(SettingError, match=re.escape(f"{number!r} threads cannot compute")):
            set_threads(number)  # type: ignore[arg-type]
