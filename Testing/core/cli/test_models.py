"""`autofocus models`: its sentences name its own options."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_model_whose_name_is_taken_comes_in_with_the_option_that_the_sentence_names(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOFOCUS_MODELS", str(tmp_path / "mine"))
    assert autofocus_here("models", "import", tiny_model).returncode == 0
    bundled = autofocus_here("models", "export", "hippocampus-mr", "h.zip")
    assert bundled.returncode == 0, bundled.stderr
    for path in (tiny_model, "h.zip"):
        run = autofocus_here("models", "import", path)
        assert run.returncode == 1
        assert run.stderr.strip().endswith("; add --replace to use this one instead of it."), run.stderr
        assert autofocus_here("models", "import", path, "--replace").returncode == 0
