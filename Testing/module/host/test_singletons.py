"""Python's singletons outlive every signal."""

from __future__ import annotations

import sys

import pytest

import Testing.SlicerHost


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from Python 3.12 on")
def test_there_are_more_references_to_none_than_signals_can_take_away() -> None:
    assert Testing.SlicerHost.install_host
    assert min(sys.getrefcount(one) for one in (None, True, False)) > 1 << 39
