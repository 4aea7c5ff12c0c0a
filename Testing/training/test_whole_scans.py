"""A run on whole scans in the ROI domain: stopped and continued, lengthened, watched on partial labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import AutofocusCore
from AutofocusCore.errors import SettingError
from AutofocusCore.teaching.predicting import dice_of_scan
from Training.configuration.config import load_config
from Training.loop.checkpoints import same_experiment
from Training.loop.data import load_data
from Training.loop.step import Arithmetic
from Training.loop.tasks import spread
from Training.train import train

pytestmark = pytest.mark.usefixtures("narrow")


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(scans_config: Path, tmp_path: Path) -> None:
    config, whole, stopped = load_config(scans_config), tmp_path / "whole", tmp_path / "stopped"
    train(config, whole)
    train(config, stopped, stop_after=4)
    train(config, stopped)
    logs = [[json.loads(line) for line in (run / "log.jsonl").open(encoding="utf-8")] for run in (whole, stopped)]
    told = [[{name: line[name] for name in line if name != "seconds"} for line in log] for log in logs]
    assert told[0] == told[1]
    assert all(len(line["attention_sd"]) == 1 and line["voxels"] > 0 for line in told[0])
    states = [torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, stopped)]
    for part in ("network", "average"):
        for name, value in states[0][part].items():
            assert torch.equal(value, states[1][part][name]), name


def test_a_run_stops_after_its_minutes_and_goes_on_from_there(scans_config: Path, tmp_path: Path) -> None:
    config = load_config(scans_config)
    saved = torch.load(train(config, tmp_path / "run", minutes=0.0), weights_only=True)
    assert saved["step"] == 1
    assert torch.load(train(config, tmp_path / "run"), weights_only=True)["step"] == 8


def test_a_run_can_be_made_longer_as_long_as_its_rates_so_far_stay_the_same(scans_config: Path, tmp_path: Path) -> None:
    config = load_config(scans_config)
    text = (train(config, tmp_path / "run", stop_after=3).parent / "config.toml").read_text(encoding="utf-8")
    longer = replace(config, run=replace(config.run, steps=30), optimizer=replace(config.optimizer, cycles=(10, 20)))
    assert same_experiment(text, longer, 3)
    assert not same_experiment(text, longer, 5)  # the rate was falling there
    assert torch.load(train(longer, tmp_path / "run", stop_after=6), weights_only=True)["step"] == 6
    slower = replace(longer, optimizer=replace(longer.optimizer, cycle_rates=(1.0, 0.5)))
    assert same_experiment(text, slower, 3)
    assert not same_experiment(text, replace(slower, optimizer=replace(slower.optimizer, cycle_rates=(0.5, 1.0))), 3)
    other = replace(longer, optimizer=replace(longer.optimizer, learning_rate=0.5))
    with pytest.raises(SettingError, match="another configuration"):
        train(other, tmp_path / "run")


def test_the_last_steps_can_take_scans_as_inference_meets_them(scans_config: Path, tmp_path: Path) -> None:
    parts = ["scans.most_voxels=60", "augmentation.scaling=0.2", "augmentation.probability=1.0"]
    counts = {}
    for name, more in {"never": [], "after 5": ["scans.unchanged_after=5"]}.items():
        config = load_config(scans_config, [*parts, *more])
        train(config, tmp_path / name)
        log = [json.loads(line) for line in (tmp_path / name / "log.jsonl").open(encoding="utf-8")]
        counts[name] = [line["voxels"] for line in log]
    active = {source.name: int(source.case.roi.sum()) for source in load_data(config).train}
    assert counts["after 5"][:5] == counts["never"][:5]
    assert counts["after 5"][5:] == [active[line["cases"][0]] for line in log[5:]]
    assert max(counts["never"]) < min(active.values())


def test_a_run_that_has_not_come_so_far_can_be_given_unchanged_scans(scans_config: Path, tmp_path: Path) -> None:
    config = load_config(scans_config)
    text = (train(config, tmp_path / "run", stop_after=3).parent / "config.toml").read_text(encoding="utf-8")
    assert same_experiment(text, load_config(scans_config, ["scans.unchanged_after=5"]), 3)
    with pytest.raises(SettingError, match="unchanged_after is -1"):
        load_config(scans_config, ["scans.unchanged_after=-1"])
    with pytest.raises(SettingError, match="unchanged_after is 8; give less than 8"):
        load_config(scans_config, ["scans.unchanged_after=8"])


def test_what_is_unknown_in_a_watched_case_has_no_dice(scans_config: Path) -> None:
    config = load_config(scans_config)
    case = next(source.case for source in load_data(config).train if source.name == "ball_0")
    assert case.known == (1,)
    network = AutofocusCore.build_network(**config.model.architecture)
    scores = dice_of_scan(network, case, 2, Arithmetic("float32", torch.device("cpu")))
    assert np.isfinite(scores[0])
    assert np.isnan(scores[1])


def test_scans_need_a_network_of_the_roi_domain_and_segments_one_of_the_box(scans_config: Path) -> None:
    with pytest.raises(SettingError, match="domain"):
        load_config(scans_config, ["model.architecture.domain=box"])
    with pytest.raises(SettingError, match=r"\[segments\] and \[scans\]"):
        load_config(scans_config, ["segments.size=[5, 5, 5]", "segments.per_step=1"])


def test_the_spread_of_attention_is_that_of_the_effective_dilation() -> None:
    settled = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert spread(settled, (2, 6)) == 0
    assert spread(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), (2, 6)) == pytest.approx(8**0.5)
