"""Memory and cores as the system tells them: those that psutil finds."""

from __future__ import annotations

import psutil
import pytest

from AutofocusCore.inference import computer

MEMINFO = "MemTotal:       16303428 kB\nMemFree:          310204 kB\nMemAvailable:   11213456 kB\nBuffers: 1 kB\n"
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pages active:                            498765.
Pages inactive:                          400000.
Pages speculative:                         6789.
"""


def test_the_systems_own_numbers_are_those_of_psutil() -> None:
    available, total = computer.memory()
    known = psutil.virtual_memory()
    assert total == known.total
    assert abs(available - known.available) < 0.1 * known.total  # others allocate meanwhile


def test_cores_are_those_of_psutil() -> None:
    assert computer.cores() == psutil.cpu_count()


def test_reports_of_linux_and_macos_are_read() -> None:
    assert computer._linux_available(MEMINFO) == 11213456 * 1024
    assert computer._mac_available(VM_STAT) == 16384 * (12345 + 400000)
    assert computer._linux_available("MemTotal: 5 kB") == 0
    assert computer._mac_available("") == 0


@pytest.mark.parametrize(("system", "report"), [("Linux", "_text_of"), ("Darwin", "_output_of")])
def test_a_system_that_does_not_say_what_is_available_counts_as_half_full(
    system: str, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(computer.os, "sysconf"):
        pytest.skip("This system has no sysconf.")
    monkeypatch.setattr(computer.platform, "system", lambda: system)
    monkeypatch.setattr(computer, report, lambda _: "")
    available, total = computer.memory()
    assert available == total // 2
