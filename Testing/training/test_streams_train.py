"""Scale streams on photographs from end to end: trained, stopped and continued, measured, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from AutofocusCore import build_network
from AutofocusCore.errors import OutputError, SettingError
from AutofocusCore.networks.scale_streams import VARIANTS, ScaleStreams
from Testing.core.small_networks import narrow_streams
from Testing.training.test_streams_data import write_ade, write_voc
from Training.loop.run_files import hold_run
from Training.loop.supervision import DeepSupervisionOutputs
from Training.photographs.measures import Counts
from Training.photographs.settings import load_streams_config, streams_toml
from Training.streams_evaluate import FIVE_SCALES, classes_of, evaluate
from Training.streams_evaluate import main as evaluate_main
from Training.streams_table import main as table_main
from Training.streams_train import build_descent, entropy, set_rate, train_streams
from Training.streams_train import main as train_main

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "Training" / "streams_configs"
TINY = """
[network]
encoder = "resnet34"
width = 8
[data]
layout = "{layout}"
folder = "{folder}"
[crops]
size = [32, 32]
per_step = 2
scaling = [0.8, 1.2]
[descent]
learning_rate = 0.0005
[run]
steps = {steps}
checkpoint_every = 100
"""


@pytest.fixture
def narrow_encoders() -> Iterator[None]:
    with narrow_streams():
        yield


@pytest.fixture
def voc(tmp_path: Path, narrow_encoders: None) -> Path:
    return write_voc(tmp_path)


@pytest.fixture
def ade(tmp_path: Path, narrow_encoders: None) -> Path:
    return write_ade(tmp_path)


def write_config(folder: Path, layout: str, steps: int) -> Path:
    path = folder / "tiny.toml"
    path.write_text(TINY.format(layout=layout, folder=folder.as_posix(), steps=steps), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_run_learns(tmp_path: Path) -> None:
    config = load_streams_config(write_config(write_voc(tmp_path), "voc2012", 7))
    train_streams(config, tmp_path / "run")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert max(losses[-3:]) < 0.8 * losses[0]


def test_a_run_is_continued_as_if_never_stopped_and_is_measured(
    voc: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(voc, "voc2012", 3)
    config = load_streams_config(path)
    straight = torch.load(train_streams(config, tmp_path / "a"), weights_only=True)
    train_streams(config, tmp_path / "b", stop_after=2)
    assert train_main([str(path), "--out", str(tmp_path / "b")]) == 0
    assert "going on after step 2" in capsys.readouterr().out
    resumed = torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)
    assert straight["step"] == resumed["step"] == 3
    assert all(torch.equal(value, resumed["network"][name]) for name, value in straight["network"].items())

    assert evaluate_main([str(path), "--run", str(tmp_path / "a")]) == 0
    assert "mean IoU" in capsys.readouterr().out
    figures = evaluate(config, tmp_path / "a", None, FIVE_SCALES, flip=True)
    assert 0 <= figures.mean_iou <= 1
    assert 0 <= figures.pixel_accuracy <= 1
    written = json.loads((tmp_path / "a" / "validation-0.5-0.75-1-1.25-1.5-flipped.json").read_text("utf-8"))
    assert written["mean_iou"] == figures.mean_iou
    assert written["photographs"] == 2
    table = (tmp_path / "a" / "validation-1.md").read_text("utf-8")
    assert "| background |" in table
    assert "| pixel accuracy |" in table


def test_the_log_of_a_run_that_was_killed_holds_every_step_once(voc: Path, tmp_path: Path) -> None:
    config = load_streams_config(write_config(voc, "voc2012", 3))
    train_streams(config, tmp_path / "run", stop_after=1)
    log = tmp_path / "run" / "log.jsonl"
    with log.open("a", encoding="utf-8") as lost:  # done after the last checkpoint, and cut off
        lost.write(json.dumps({"step": 2, "loss": 9.0}) + '\n{"step": 3, "lo')
    train_streams(config, tmp_path / "run")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    facts = json.loads((tmp_path / "run" / "environment.json").read_text("utf-8"))
    assert {"git_commit", "data_sha256", "photographs", "encoder_weights_sha256", "torch", "threads"} <= set(facts)


def test_two_trainings_do_not_write_into_one_folder(voc: Path, tmp_path: Path) -> None:
    config = load_streams_config(write_config(voc, "voc2012", 3))
    with hold_run(tmp_path / "run"), pytest.raises(OutputError, match="Another training is writing to"):
        train_streams(config, tmp_path / "run", stop_after=1)
    assert train_streams(config, tmp_path / "run", stop_after=1).is_file()


def test_ade_goes_through_the_same_scripts(ade: Path, tmp_path: Path) -> None:
    path = write_config(ade, "ade20k", 1)
    assert train_main([str(path), "--out", str(tmp_path / "run"), "--set", "network.pyramid_bins=[1, 2]"]) == 0
    wrong = ["--run", str(tmp_path / "run"), "--data", str(ade)]
    assert evaluate_main([str(path), *wrong]) == 1
    assert evaluate_main([str(path), *wrong, "--set", "network.pyramid_bins=[1, 2]"]) == 0
    told = json.loads((tmp_path / "run" / "validation-1.json").read_text("utf-8"))
    assert len(told["iou"]) == 150
    assert told["classes_absent"] > 100


@pytest.mark.usefixtures("narrow_encoders")
def test_the_decoder_learns_ten_times_as_fast_and_the_rate_falls_by_the_power() -> None:
    config = load_streams_config(CONFIGS / "voc2012" / "vgg16.toml")
    network = ScaleStreams(in_channels=3, num_classes=2, encoder="resnet34", width=8)
    optimizer = build_descent(network, config.descent)
    counted = sum(weight.numel() for group in optimizer.param_groups for weight in group["params"])
    assert counted == sum(weight.numel() for weight in network.parameters())
    for step, share in ((0, 1.0), (10_000, 0.5**0.9), (19_999, (1 / 20_000) ** 0.9)):
        assert set_rate(optimizer, config.descent, step, 20_000) == pytest.approx(1e-3 * share)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3 * share, 1e-2 * share])


def test_figures_come_from_the_sums_over_all_photographs() -> None:
    counts = Counts(4)
    counts.add(np.array([[0, 0], [1, 255]]), np.array([[0, 1], [1, 3]]))
    counts.add(np.array([0, 0, 2, 2]), np.array([0, 0, 2, 0]))
    figures = counts.figures()
    assert figures.iou[:3] == pytest.approx((3 / 5, 1 / 2, 1 / 2))
    assert np.isnan(figures.iou[3])
    assert figures.absent == 1
    assert figures.mean_iou == pytest.approx((3 / 5 + 1 / 2 + 1 / 2) / 3)
    assert figures.pixel_accuracy == pytest.approx(5 / 7)


def test_unlabelled_pixels_do_not_count_in_the_loss_and_none_at_all_is_no_fault() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.tensor([[[0, 255], [2, 255]]])
    expected = nn.functional.cross_entropy(logits[..., 0], labels[..., 0])
    torch.testing.assert_close(entropy(logits, labels), expected)
    nothing = entropy(logits, torch.full((1, 2, 2), 255))
    nothing.backward()
    assert nothing == 0


def test_one_scale_without_mirror_is_the_networks_own_answer(voc: Path) -> None:
    from Training.photographs.data import normalised, photographs

    torch.manual_seed(0)
    network = ScaleStreams(in_channels=3, num_classes=21, encoder="resnet34", width=8).eval()
    config = load_streams_config(write_config(voc, "voc2012", 1))
    image, _ = photographs(config.data, "validation")[0].read()
    with torch.inference_mode():
        expected = network(normalised(image)[None])[0].argmax(dim=0).numpy()
    assert (classes_of(network, image, (1.0,), flip=False) == expected).all()
    mirrored = classes_of(network, image, (1.0,), flip=True)
    assert mirrored.shape == expected.shape


@pytest.mark.usefixtures("narrow_encoders")
def test_a_network_answers_for_its_prediction_and_for_each_stream() -> None:
    streams = ScaleStreams(in_channels=1, num_classes=2, encoder="resnet34", width=8).eval()
    x = torch.randn(1, 1, 32, 32)
    answers = DeepSupervisionOutputs(streams)(x)
    assert len(answers) == 3
    torch.testing.assert_close(answers[0], streams(x))
    basic = build_network("basic", in_channels=1, num_classes=2).eval()
    volume = torch.randn(1, 1, 30, 30, 30)
    (only,) = DeepSupervisionOutputs(basic)(volume)
    torch.testing.assert_close(only, basic(volume))


@pytest.mark.parametrize(
    "path", sorted([*CONFIGS.glob("voc2012/*.toml"), *CONFIGS.glob("ade20k/*.toml")]), ids=lambda path: path.stem
)
def test_every_configuration_that_ships_is_read_and_written_back(path: Path, tmp_path: Path) -> None:
    config = load_streams_config(path)
    again = tmp_path / "again.toml"
    again.write_text(streams_toml(config), encoding="utf-8")
    assert load_streams_config(again) == config
    assert f"streams_configs/{path.parent.name}/{path.name}" in path.read_text("utf-8").splitlines()[0]


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("network.encoder=unet", "encoder"),
        ("network.depth=3", "depth"),
        ("network.spatial_dims=3", "spatial_dims"),
        ("data.layout=coco", "layout"),
        ("crops.size=[3]", "crops.size"),
        ("crops.scaling=[2.0, 1.0]", "crops.scaling"),
        ("descent.decoder=0", "decoder"),
        ("run.steps=0", "run.steps"),
        ('run.steps="many"', "run"),
        ("run.epochs=3", "epochs"),
        ("other.thing=1", "other"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(override: str, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        load_streams_config(CONFIGS / "voc2012" / "vgg16.toml", [override])


def test_another_configurations_run_and_odd_weights_are_refused(
    voc: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, run = write_config(voc, "voc2012", 1), tmp_path / "run"
    odd: Any = tmp_path / "odd.pth"
    odd.write_bytes(b"no weights")
    arguments = [str(path), "--out", str(run)]
    assert train_main([*arguments, "--encoder-weights", str(odd)]) == 1
    assert "contains no weights" in capsys.readouterr().err
    assert not run.exists()
    assert train_main(arguments) == 0
    assert train_main([*arguments, "--set", "run.seed=2"]) == 1
    assert "another configuration" in capsys.readouterr().err
    assert evaluate_main([str(path), "--run", str(tmp_path / "nothing")]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_table_has_a_line_for_each_run_and_refuses_what_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, score, data in (("full", 0.5, "a"), ("single-scale", 0.4, "a"), ("elsewhere", 0.6, "b")):
        run = tmp_path / name
        run.mkdir()
        options = {"encoder": "vgg16"} | VARIANTS.get(name, {})
        source = load_streams_config(CONFIGS / "voc2012" / "vgg16.toml")
        (run / "config.toml").write_text(streams_toml(replace(source, network=dict(options))), encoding="utf-8")
        facts = {"steps": 7, "mean_iou": score, "pixel_accuracy": 0.9, "data_sha256": data}
        (run / "validation-1.json").write_text(json.dumps(facts), encoding="utf-8")
    more = json.dumps({"mean_iou": 0.55})
    (tmp_path / "full" / "validation-0.5-0.75-1-1.25-1.5.json").write_text(more, encoding="utf-8")
    runs = [str(tmp_path / name) for name in ("full", "single-scale")]
    assert table_main(runs) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| run | parameters | steps | mean IoU")
    assert lines[2].endswith("| 7 | 0.5000 | 0.9000 | 0.5500 |")
    assert lines[3] == "| single-scale | 20,505,429 | 7 | 0.4000 | 0.9000 |  |"
    assert table_main([*runs, "--out", str(tmp_path / "table")]) == 0
    assert (tmp_path / "table.csv").read_text("utf-8").splitlines()[2] == 'single-scale,"20,505,429",7,0.4000,0.9000,'
    assert (tmp_path / "table.md").read_text("utf-8").splitlines() == lines
    assert table_main([runs[0], str(tmp_path / "elsewhere")]) == 1
    assert "different photographs" in capsys.readouterr().err
    (tmp_path / "full" / "validation-1.json").unlink()
    assert table_main(runs) == 1
    assert "was not measured" in capsys.readouterr().err
