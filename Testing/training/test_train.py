"""Whole training runs on tiny data: killed and continued, refused, exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from AutofocusCore.errors import InputError, OutputError, SettingError
from AutofocusCore.io.holding import HELD, hold
from AutofocusCore.models import load_bundle
from Testing import fork_server
from Testing.training.conftest import TINY
from Testing.waiting import wait_until
from Training.configuration.config import Config, load_config
from Training.export import export
from Training.loop.baseline import network_of
from Training.loop.checkpoints import run_folder
from Training.loop.data import load_data
from Training.train import main, train

pytestmark = pytest.mark.usefixtures("narrow")

ROOT = Path(__file__).resolve().parents[2]
NARROW_TRAINING = """
import sys
from Testing.core.small_networks import narrow_networks
from Training.train import main
with narrow_networks():
    sys.exit(main())
"""
CONFIG = """
[model]
structures = ["Bladder"]
architecture = {{ dilation_rates = [2, 3] }}
[data]
folder = "{folder}"
watch = 1
[segments]
size = [6, 6, 6]
per_step = 2
[augmentation]
flip = [2]
rotation = 10.0
noise = 0.1
[optimizer]
learning_rate = {rate}
[run]
steps = 8
average = 0.9
checkpoint_every = 3
watch_every = 4
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six volumes with a bright ball in each."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:14, :15, :16]
    for i in range(6):
        ball = ((z - 7) ** 2 + (y - 6 - i / 3) ** 2 + (x - 8) ** 2 < 16).astype(np.uint8)
        image = (50 * ball + rng.normal(100, 5, ball.shape)).astype(np.float32)
        for part, array in (("imagesTr", image), ("labelsTr", ball)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / part / f"ball_{i}.nii.gz"))
    names = [f"ball_{i}" for i in range(6)]
    (folder / "split.json").write_text(json.dumps({"train": names[:4], "validation": names[4:]}), encoding="utf-8")
    return folder


@pytest.fixture
def config_file(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY + CONFIG.format(folder=data.as_posix(), rate=0.001), encoding="utf-8")
    return path


def command(config: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", NARROW_TRAINING, str(config), "--out", str(out), "--threads", "1"]


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the other process: sums over several threads are rounded otherwise
    train(load_config(config_file), whole)
    torch.set_num_threads(threads)

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = fork_server.start(
        command(config_file, killed), cwd=ROOT, stdout=subprocess.DEVNULL, env=environment, preload=fork_server.TRAINING
    )
    wait_until((killed / "checkpoint.pt").exists)
    process.kill()  # SIGKILL: no chance to tidy up
    process.wait()
    capsys.readouterr()
    torch.set_num_threads(1)
    train(load_config(config_file), killed)
    torch.set_num_threads(threads)
    assert "going on after step" in capsys.readouterr().out

    logs = [[json.loads(line) for line in (run / "log.jsonl").open(encoding="utf-8")] for run in (whole, killed)]
    told = [[{name: line[name] for name in line if name != "seconds"} for line in log] for log in logs]
    assert told[0] == told[1]  # no step twice, none left out
    states = [torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, killed)]
    assert states[0]["step"] == states[1]["step"] == 8
    for part in ("network", "average"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name
    assert states[0]["best"] == states[1]["best"] > -1
    for index, moments in states[0]["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(value, states[1]["optimizer"]["state"][index][name])


def test_a_run_records_what_it_ran_with_and_becomes_a_model(config_file: Path, tmp_path: Path) -> None:
    config, run = load_config(config_file), tmp_path / "run"
    train(config, run)
    record = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert {"git_commit", "git_changed_files", "data_sha256", "torch", "device", "threads"} <= set(record)
    assert load_config(run / "config.toml") == config
    assert list(run.glob("events.out.tfevents.*"))
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in log] == list(range(1, 9))
    assert "watched_dice" in log[3]
    assert set(log[0]["cases"]) <= set(record["train"])

    mean = export(config, run, tmp_path / "tiny")
    model = load_bundle(tmp_path / "tiny")
    assert model.spec.dice == mean
    assert [row["case"] for row in model.spec.figures["cases"]] == ["ball_4", "ball_5"]
    assert model.spec.synthetic


def test_the_best_weights_on_the_watched_cases_are_kept_beside_the_last(config_file: Path, tmp_path: Path) -> None:
    path = train(load_config(config_file), tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    scores = {line["step"]: line["watched_dice"][0] for line in log if "watched_dice" in line}
    assert list(scores) == [4, 8]
    best, last = (torch.load(file, weights_only=True) for file in (path.with_name("best.pt"), path))
    assert best["step"] == max(scores, key=lambda step: (scores[step], -step))
    assert best["score"] == pytest.approx(max(scores.values()), abs=1e-4)
    assert set(best) == {*last, "score"}
    assert {"step", "config", "data_sha256", "network", "average", "optimizer"} <= set(last)


def test_a_damaged_checkpoint_is_named_and_not_replaced(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"cut off")
    with pytest.raises(SettingError, match=r"checkpoint\.pt is not a checkpoint of a run"):
        train(load_config(config_file), tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == b"cut off"


def test_epochs_give_every_case_one_segment(config_file: Path, tmp_path: Path) -> None:
    epochs = ["run.steps=0", "run.epochs=2", "run.accumulate=3", "segments.per_step=1", "run.watch_every=0"]
    train(load_config(config_file, epochs), tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    cases = [name for line in log for name in line["cases"]]
    assert [len(line["cases"]) for line in log] == [3, 3]
    assert sorted(cases[:3]) == sorted(cases[3:]) == sorted(set(cases))


@pytest.mark.skipif(torch.cuda.is_available(), reason="There is a GPU, which can do it.")
def test_float16_without_a_gpu_is_refused(config_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="float16"):
        train(load_config(config_file, ["run.precision=float16"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(config_file: Path, tmp_path: Path) -> None:
    config_file.write_text(config_file.read_text(encoding="utf-8").replace("0.001", "1e30"), encoding="utf-8")
    with pytest.raises(SettingError, match=r"The loss of step \d is nan, on ball_\d, ball_\d"):
        train(load_config(config_file), tmp_path / "run")


def test_a_gradient_that_is_no_number_stops_the_run_before_it_reaches_the_weights(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: Config, step: int) -> nn.Module:
        network = network_of(config, step)
        next(network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
        return network

    monkeypatch.setattr("Training.loop.state.network_of", build)
    with pytest.raises(SettingError, match=r"The gradient of step 1 is (inf|nan), on ball_\d, ball_\d"):
        train(load_config(config_file), tmp_path / "run")


def test_configurations_of_the_same_name_have_runs_of_their_own(tmp_path: Path) -> None:
    configs = ROOT / "Training" / "configs"
    assert run_folder(configs / "hippocampus-mr.toml") == Path("Runs/hippocampus-mr")
    assert run_folder(configs / "brats2015" / "afn-1.toml") == Path("Runs/brats2015/afn-1")
    assert run_folder(tmp_path / "mine" / "afn-1.toml") == Path("Runs/afn-1")


def test_another_configuration_does_not_go_on_with_a_run(config_file: Path, tmp_path: Path) -> None:
    train(load_config(config_file), tmp_path / "run", stop_after=1)
    config_file.write_text(config_file.read_text(encoding="utf-8").replace("0.001", "0.002"), encoding="utf-8")
    with pytest.raises(SettingError, match="another configuration"):
        train(load_config(config_file), tmp_path / "run")


def test_a_run_may_begin_with_the_averaged_weights_of_another(config_file: Path, tmp_path: Path) -> None:
    first = train(load_config(config_file), tmp_path / "first", stop_after=1)
    config_file.write_text(config_file.read_text(encoding="utf-8").replace("0.001", "1e-30"), encoding="utf-8")
    second = train(load_config(config_file), tmp_path / "second", stop_after=1, start_from=first)
    states = [torch.load(path, weights_only=True) for path in (first, second)]
    for name, value in states[0]["average"].items():
        if name.endswith("conv.weight"):
            assert torch.equal(states[1]["network"][name], value)
    record = json.loads((tmp_path / "second" / "environment.json").read_text(encoding="utf-8"))
    assert len(record["started_from_sha256"]) == 64
    with pytest.raises(SettingError, match="does not hold the weights of this network"):
        train(load_config(config_file), tmp_path / "third", start_from=tmp_path / "nothing.pt")


def test_all_problems_of_the_data_are_named_before_training(config_file: Path, data: Path) -> None:
    (data / "labelsTr" / "ball_0.nii.gz").unlink()
    labels = sitk.ReadImage(str(data / "labelsTr" / "ball_1.nii.gz"))
    sitk.WriteImage(labels * 7, str(data / "labelsTr" / "ball_1.nii.gz"))
    sitk.WriteImage(labels[1:, :, :], str(data / "labelsTr" / "ball_2.nii.gz"))
    sitk.WriteImage(labels * 0, str(data / "labelsTr" / "ball_3.nii.gz"))
    (data / "imagesTr" / "ball_5.nii.gz").write_bytes(b"not an image")
    with pytest.raises(InputError) as refused:
        load_data(load_config(config_file))
    text = str(refused.value)
    assert text.startswith("5 cases of ")
    for name, why in (
        ("ball_0", "no labels"),
        ("ball_1", "labels hold 7"),
        ("ball_2", "not on the same grid"),
        ("ball_3", "all the same value"),
        ("ball_5", "ball_5.nii.gz"),
    ):
        assert why in text[text.index(f"{name}:") :]


def test_a_case_in_both_parts_of_the_split_is_refused(config_file: Path, data: Path) -> None:
    (data / "split.json").write_text('{"train": ["ball_0", "ball_1"], "validation": ["ball_1"]}', encoding="utf-8")
    with pytest.raises(InputError, match="ball_1 both in training and in validation"):
        load_data(load_config(config_file))


def test_the_command_prints_one_sentence_for_a_missing_split(
    config_file: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (data / "split.json").unlink()
    monkeypatch.setattr(sys, "argv", ["train.py", str(config_file), "--out", str(tmp_path / "run")])
    assert main() == 1
    said = capsys.readouterr().err
    assert "split.json cannot be used" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_two_trainings_do_not_write_into_one_folder(config_file: Path, tmp_path: Path) -> None:
    config = load_config(config_file)
    with hold(tmp_path / "run" / HELD, "This test holds it", "wait"):
        with pytest.raises(OutputError, match=rf"Another training is writing to .*run \(process {os.getpid()} on"):
            train(config, tmp_path / "run", stop_after=1)
        assert not (tmp_path / "run" / "log.jsonl").exists()
    assert train(config, tmp_path / "run", stop_after=1).is_file()
