"""The stand-in application, emptied for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="The scene needs slicer-core.")
pytest.importorskip("PySide6.QtWidgets", reason="The stand-in application needs PySide6.")

ROOT = Path(__file__).resolve().parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from Testing.SlicerHost import Host, install_host  # noqa: E402


@pytest.fixture
def host() -> Iterator[Host]:
    host = install_host()
    host.new_session()
    yield host
    host.new_session()
