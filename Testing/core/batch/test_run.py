"""Batches as processes: killed, interrupted, resumed, on worker processes and on Dask."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from Testing.waiting import alive, patience, wait_until

Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
CASES = ["a", "b", "c", "d"]
CPU = ("--device", "cpu", "--precision", "float32")


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """A table of four small images, all different."""
    (tmp_path / "scans").mkdir()
    for seed, name in enumerate(CASES):
        image = sitk.GetImageFromArray(np.random.default_rng(seed).normal(size=(8, 8, 8 + seed)).astype(np.float32))
        sitk.WriteImage(image, str(tmp_path / "scans" / f"{name}.nrrd"))
    table = tmp_path / "cohort.csv"
    table.write_text("case,MR\n" + "".join(f"{name},scans/{name}.nrrd\n" for name in CASES), encoding="utf-8")
    return table


def write_larger_scan(path: Path, length: int) -> None:
    """A scan that takes seconds, so that something can happen to the batch meanwhile."""
    values = np.random.default_rng(9).normal(size=(length, length, length)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def results(folder: Path) -> dict[str, object]:
    """All that must not depend on interruptions: labels, volumes, status, and that nothing else lies there."""
    for path in folder.rglob("*"):
        assert "autofocus-part" not in path.name
    table = [{k: v for k, v in row.items() if k not in ("seconds", "device")} for row in rows(folder / "results.csv")]
    labels = {p.name: sitk.GetArrayFromImage(sitk.ReadImage(str(p))).tobytes() for p in folder.glob("*.seg.nrrd")}
    return {"table": table, "failures": rows(folder / "failures.csv"), "labels": labels}


def records(folder: Path) -> list[Path]:
    return list((folder / ".autofocus-batch" / "records").glob("*.json"))


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob(".autofocus-part*"))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's.")
def test_a_batch_that_is_killed_anywhere_ends_as_one_that_was_not(
    autofocus_here: Autofocus, start_autofocus: Start, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    command = ("batch", cohort, "-m", tiny_model, *CPU)
    whole = autofocus_here(*command, "-o", "whole")
    assert whole.returncode == 0, whole.stderr
    expected = results(tmp_path / "whole")
    assert len(expected["labels"]) == 4  # type: ignore[arg-type]
    assert len(set(expected["labels"].values())) == 4  # type: ignore[attr-defined]

    out = tmp_path / "killed"
    moments: tuple[Callable[[], bool], ...] = (
        lambda: out.exists(),
        lambda: bool(list(out.glob("*.seg.nrrd"))) or bool(parts(out)),
        lambda: len(records(out)) >= 1,
        lambda: len(records(out)) >= 2,
    )
    for moment in moments:
        process = start_autofocus(*command, "-o", out, "--workers", 2)
        wait_until(lambda moment=moment, process=process: moment() or process.poll() is not None)
        process.kill()
        process.communicate()
    resumed = autofocus_here(*command, "-o", out)
    assert resumed.returncode == 0, resumed.stderr
    assert "cases are done already" in resumed.stderr
    assert results(out) == expected


def test_what_changed_is_done_again_and_what_did_not_is_not(
    autofocus_here: Autofocus, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    command = ("batch", cohort, "-m", tiny_model, *CPU, "-o", "out")
    (tmp_path / "scans" / "b.nrrd").write_text("not an image", encoding="utf-8")
    (tmp_path / "cohort.csv").write_text(cohort.read_text(encoding="utf-8") + "e,\n", encoding="utf-8")
    first = autofocus_here(*command, "--workers", 2)
    assert first.returncode == 1, first.stderr
    assert "Traceback" not in first.stderr
    status = {row["case"]: row["status"] for row in rows(tmp_path / "out" / "results.csv")}
    assert status == {"a": "done", "b": "failed", "c": "done", "d": "done", "e": "failed"}
    failures = rows(tmp_path / "out" / "failures.csv")
    assert [(f["case"], f["code"]) for f in failures] == [("b", "input"), ("e", "input")]
    assert "is not an image" in failures[0]["cause"]
    assert failures[1]["remedy"] == "fill it in, in row 6"
    assert not (tmp_path / "out" / "b.seg.nrrd").exists()

    # b is repaired, the result of c was touched, d has another scan now; a stays as it is.
    written = (tmp_path / "out" / "a.seg.nrrd").stat().st_mtime_ns
    scan = sitk.ReadImage(str(tmp_path / "scans" / "a.nrrd"))
    sitk.WriteImage(scan, str(tmp_path / "scans" / "b.nrrd"))
    sitk.WriteImage(scan, str(tmp_path / "scans" / "d.nrrd"))
    (tmp_path / "out" / "c.seg.nrrd").write_bytes(b"spoiled")
    (tmp_path / "cohort.csv").write_text(cohort.read_text(encoding="utf-8").replace("e,\n", ""), encoding="utf-8")
    second = autofocus_here(*command)
    assert second.returncode == 0, second.stderr
    assert "1 of 4 cases are done already." in second.stderr
    assert "c: was done before, but its files are gone or were changed; done again." in second.stderr
    assert "d: was done before from other images; done again." in second.stderr
    assert (tmp_path / "out" / "a.seg.nrrd").stat().st_mtime_ns == written
    labels = [sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / f"{n}.seg.nrrd"))) for n in "abd"]
    np.testing.assert_array_equal(labels[1], labels[0])
    np.testing.assert_array_equal(labels[2], labels[0])

    # Nothing to do takes no worker, and other settings do everything again.
    third = autofocus_here(*command, "--json")
    assert json.loads(third.stdout) == {"done": 4, "done_before": 4, "failed": 0}
    fourth = autofocus_here(*command, "--smallest-island", 5, "--attention", "--quiet")
    assert fourth.returncode == 0, fourth.stderr
    assert (tmp_path / "out" / "a_attention" / "a_attention-1.seq.nrrd").is_file()
    fifth = autofocus_here(*command, "--smallest-island", 5)  # what is no longer wanted goes
    assert fifth.returncode == 0, fifth.stderr
    assert "a and 3 more: was done before with other results wanted; done again." in fifth.stderr
    assert not (tmp_path / "out" / "a_attention").exists()


@pytest.mark.skipif(os.name != "posix", reason="Signals are POSIX's.")
def test_a_worker_that_dies_costs_its_case_a_try_and_the_batch_nothing(
    start_autofocus: Start, autofocus_here: Autofocus, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    write_larger_scan(tmp_path / "scans" / "b.nrrd", 96)
    out = tmp_path / "out"
    process = start_autofocus("batch", cohort, "-m", tiny_model, *CPU, "-o", out)
    main = psutil.Process(process.pid)
    wait_until(lambda: len(records(out)) == 1)
    (first,) = main.children()
    spent = first.cpu_times().user
    wait_until(lambda: first.cpu_times().user > spent + 0.2)  # b is under way
    first.kill()
    wait_until(lambda: alive(set(main.children()) - {first}))
    (second,) = alive(set(main.children()) - {first})
    # A second batch has to stay away meanwhile.
    main.suspend()
    busy = autofocus_here("batch", cohort, "-m", tiny_model, *CPU, "-o", out)
    second.kill()
    main.resume()
    assert busy.returncode == 1
    assert f"Another batch is writing to {out} (process {process.pid} on " in busy.stderr
    _, errors = process.communicate(timeout=patience())
    assert process.returncode == 1, errors
    assert "b: The process that computed it ended, 2 times (signal SIGKILL); it most likely ran out of memory" in errors
    status = {row["case"]: row["status"] for row in rows(out / "results.csv")}
    assert status == {"a": "done", "b": "failed", "c": "done", "d": "done"}
    assert not parts(out)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows.")
def test_ctrl_c_leaves_a_clean_folder_to_go_on_from(
    start_autofocus: Start, autofocus_here: Autofocus, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    write_larger_scan(tmp_path / "scans" / "b.nrrd", 48)
    out = tmp_path / "out"
    process = start_autofocus("batch", cohort, "-m", tiny_model, *CPU, "-o", out)
    wait_until(lambda: len(records(out)) >= 1)
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=patience())
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1] == (
        "autofocus: The batch was interrupted; run the same command again to continue where it stopped."
    )
    assert "Traceback" not in errors
    assert not parts(out)
    wait_until(lambda: not alive(workers))
    assert "pending" in {row["status"] for row in rows(out / "results.csv")} <= {"done", "pending"}

    # On Dask, from where it stopped.
    pytest.importorskip("distributed", reason="The extra [dask] is not installed.")
    resumed = autofocus_here("batch", cohort, "-m", tiny_model, *CPU, "-o", out, "--dask", "--workers", 2, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["done"] == 4
    assert [row["status"] for row in rows(out / "results.csv")] == ["done"] * 4


def test_a_real_dask_scheduler_does_the_work(
    autofocus_here: Autofocus, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="The extra [dask] is not installed.")
    command = ("batch", cohort, "-m", tiny_model, *CPU, "--dask-scheduler")
    (tmp_path / "scans" / "c.nrrd").unlink()
    # The worker is a thread here, where torch is loaded; the cluster that --dask starts has processes.
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        run = autofocus_here(*command, cluster.scheduler_address, "-o", "out")
    assert run.returncode == 1, run.stderr
    assert [row["status"] for row in rows(tmp_path / "out" / "results.csv")] == ["done", "done", "failed", "done"]
    assert "c.nrrd; check its name and place" in run.stderr


def test_a_batch_that_cannot_begin_is_a_sentence(
    autofocus_here: Autofocus, tiny_model: Path, cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "twice.csv").write_text("case,MR\na,scans/a.nrrd\nA,scans/b.nrrd\n", encoding="utf-8")
    for table, out, more, text in (
        (cohort, "out", ["--device", "cuda:9"], "There is no device 'cuda:9' on this computer; use auto"),
        (cohort, "file", [], "Cannot write"),
        (cohort, "scans", ["--format", ".nrrd"], "would replace the image"),
        ("twice.csv", "out", [], "a and A would write the same files"),
    ):
        run = autofocus_here("batch", table, "-m", tiny_model, "-o", out, *more)
        lines = [line for line in run.stderr.splitlines() if line.startswith("autofocus: ") and "warning" not in line]
        assert (run.returncode, len(lines)) == (1, 1), run.stderr
        assert text in lines[0]
        assert "Traceback" not in run.stderr
