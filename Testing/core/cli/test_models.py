"""`autofocus models`: its sentences name its own options."""

from __future__ import annotations

import json
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


def test_a_removed_model_is_named_with_the_way_to_get_it_back(
    autofocus_here: Autofocus, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOFOCUS_MODELS", str(tmp_path / "mine"))
    assert autofocus_here("models", "import", tiny_model).returncode == 0
    run = autofocus_here("models", "remove", "tiny")
    assert run.returncode == 0
    assert run.stdout.startswith("Removed tiny 1.0.0 (weights' SHA-256 ")
    assert "autofocus models import" in run.stdout
    assert list((tmp_path / "mine").iterdir()) == []
    assert autofocus_here("models", "remove", "tiny").returncode == 1
    shipped = autofocus_here("models", "remove", "hippocampus-mr")
    assert shipped.returncode == 1
    assert "comes with the program" in shipped.stderr


def test_two_models_are_compared_as_tables_and_as_json(autofocus_here: Autofocus, tiny_model: Path) -> None:
    run = autofocus_here("models", "diff", "pelvis-phantom", tiny_model)
    assert run.returncode == 0, run.stderr
    for text in (
        "Structures:",
        "structures.Bladder",
        "Architecture:",
        "Calibration:",
        "Weights: ",
        "only in pelvis-phantom",
    ):
        assert text in run.stdout
    same = autofocus_here("models", "diff", tiny_model, tiny_model)
    assert (same.returncode, same.stdout) == (0, "Nothing differs.\n")
    found = json.loads(autofocus_here("models", "diff", "pelvis-phantom", tiny_model, "--json").stdout)
    assert found["first"]["name"] == "pelvis-phantom"
    assert {"field": "licence", "first": "MIT", "second": "MIT"} not in found["differences"]["description"]
    assert [one["field"] for one in found["differences"]["structures"]][:1] == ["structures.Prostate"]
    assert found["weights"]["differing"]
    assert not found["same"]
