"""`autofocus batch`: what it refuses, and what costs one case only."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_case_whose_label_sidecar_would_replace_a_sidecar_fails_alone(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        write_random_image(f"scans/{name}.nii.gz")
    sidecar = tmp_path / "scans" / "a.json"
    sidecar.write_text('{"Modality": "MR"}', encoding="utf-8")
    (tmp_path / "cohort.csv").write_text("case,MR\na,scans/a.nii.gz\nb,scans/b.nii.gz\n", encoding="utf-8")
    run = autofocus_here("batch", "cohort.csv", "-m", tiny_model, "-o", "scans", "--format", ".mha")
    assert run.returncode == 1, run.stderr
    assert "a: The label sidecar of a.mha would replace" in run.stderr
    assert sidecar.read_text(encoding="utf-8") == '{"Modality": "MR"}'
    rows = list(csv.DictReader((tmp_path / "scans" / "results.csv").open(encoding="utf-8")))
    assert [row["status"] for row in rows] == ["failed", "done"]
    assert not (tmp_path / "scans" / "a.mha").exists()


def test_layers_are_refused_before_the_first_case(
    autofocus_here: Autofocus, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    write_random_image("scans/a.nii.gz")
    command = ("batch", "scans", "-m", tiny_model, "-o", "out", "--attention-layers", "9")
    run = autofocus_here(*command, "--attention")
    assert (run.returncode, "has no autofocus layer 9" in run.stderr) == (1, True), run.stderr
    run = autofocus_here(*command)
    assert (run.returncode, "give --attention too" in run.stderr) == (2, True), run.stderr
    assert not (tmp_path / "out").exists()
