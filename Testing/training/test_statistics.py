"""BatchNorm's statistics, measured over whole scans and fixed for the rest of a run."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import AutofocusCore
from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.teaching.statistics import batch_norms, evenly
from Training.configuration.config import load_config
from Training.loop.data import Source, load_data
from Training.loop.statistics import fix_statistics
from Training.loop.step import Arithmetic
from Training.train import train

pytestmark = pytest.mark.usefixtures("narrow")
FLOAT32 = Arithmetic("float32", torch.device("cpu"))
AFTER_FOUR = ["scans.fix_statistics_after=4", "scans.statistics=3"]


def logits_of(network: nn.Module, source: Source) -> Tensor:
    case = source.case
    voxels = ActiveVoxels.from_mask(torch.from_numpy(case.roi)[None])
    with torch.no_grad():
        return network.forward_rows(voxels.gather(torch.from_numpy(case.image)[None]), voxels)[0]  # type: ignore[operator]


def test_statistics_of_one_scan_give_in_inference_what_training_gives_on_it(scans_config: Path) -> None:
    config = load_config(scans_config)
    scan = load_data(config).train[1]
    network = AutofocusCore.build_network(**config.model.architecture).train()
    expected = logits_of(copy.deepcopy(network), scan)
    average = copy.deepcopy(network).eval()
    assert not torch.allclose(logits_of(average, scan), expected, atol=1e-2)
    fix_statistics(network, average, [scan], FLOAT32)
    for one in (network, average):
        torch.testing.assert_close(logits_of(one, scan), expected, atol=5e-3, rtol=5e-3)  # variances by N - 1, not N


def test_a_network_whose_statistics_are_fixed_starts_from_the_averaged_weights(scans_config: Path) -> None:
    config = load_config(scans_config)
    network, average = (AutofocusCore.build_network(**config.model.architecture).train() for _ in range(2))
    fix_statistics(network, average.eval(), load_data(config).train, FLOAT32)
    for name, value in average.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    before = [norm.running_mean.clone() for norm in batch_norms(network) if norm.running_mean is not None]
    logits_of(network, load_data(config).train[0])
    after = [norm.running_mean for norm in batch_norms(network) if norm.running_mean is not None]
    assert before
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert {norm.momentum for norm in batch_norms(network)} == {0.1}


def test_a_run_that_is_stopped_before_or_after_ends_with_the_same_weights(scans_config: Path, tmp_path: Path) -> None:
    config, runs = load_config(scans_config, AFTER_FOUR), [tmp_path / name for name in ("whole", "before", "after")]
    train(config, runs[0])
    train(config, runs[1], stop_after=4)
    train(config, runs[1])
    train(config, runs[2], stop_after=6)
    middle = torch.load(runs[2] / "checkpoint.pt", weights_only=True)
    assert middle["fixed"]
    train(config, runs[2])
    states = [torch.load(run / "checkpoint.pt", weights_only=True) for run in runs]
    for part in ("network", "average"):
        for name, value in states[0][part].items():
            assert all(torch.equal(value, state[part][name]) for state in states[1:]), name
            if "running" in name:
                assert torch.equal(value, middle[part][name]), name
    losses = [json.loads(line)["loss"] for line in (runs[0] / "log.jsonl").open(encoding="utf-8")]
    assert len(losses) == 8


def test_statistics_can_be_fixed_in_a_run_that_began_without(scans_config: Path, tmp_path: Path) -> None:
    train(load_config(scans_config), tmp_path / "run", stop_after=4)
    train(load_config(scans_config, AFTER_FOUR), tmp_path / "run")
    train(load_config(scans_config, AFTER_FOUR), tmp_path / "other")
    states = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("run", "other")]
    assert all(torch.equal(value, states[1]["average"][name]) for name, value in states[0]["average"].items())


def test_a_case_without_roi_is_named(scans_config: Path) -> None:
    config = load_config(scans_config)
    first, second = load_data(config).train[:2]
    empty = replace(second.case, roi=np.zeros_like(second.case.roi))
    network = AutofocusCore.build_network(**config.model.architecture).train()
    with pytest.raises(InputError, match=f"{second.name} has no active voxel; check its image"):
        fix_statistics(network, copy.deepcopy(network).eval(), [first, Source(second.name, lambda: empty)], FLOAT32)


def test_cases_to_measure_are_spread_over_all(scans_config: Path) -> None:
    cases = load_data(load_config(scans_config)).train
    assert [case.name for case in evenly(cases, 2)] == [cases[0].name, cases[2].name]
    assert list(evenly(cases, 9)) == list(cases)


def test_steps_and_numbers_of_scans_are_checked(scans_config: Path) -> None:
    with pytest.raises(SettingError, match="fix_statistics_after is -1"):
        load_config(scans_config, ["scans.fix_statistics_after=-1"])
    with pytest.raises(SettingError, match=r"scans\.statistics is 0"):
        load_config(scans_config, ["scans.statistics=0"])


def test_statistics_are_fixed_before_the_last_step_or_never(scans_config: Path, tmp_path: Path) -> None:
    refused = "fix_statistics_after is 8; give less than 8, the number of the run's steps, or 0 for never"
    assert load_config(scans_config, ["scans.fix_statistics_after=7"]).scans.fix_statistics_after == 7
    with pytest.raises(SettingError, match=refused):
        load_config(scans_config, ["scans.fix_statistics_after=8"])
    epochs = ["run.steps=0", "run.epochs=2", "optimizer.cycles=[]", "scans.fix_statistics_after=8"]
    with pytest.raises(SettingError, match=refused):
        load_config(scans_config, [*epochs, "run.epoch_steps=4"])
    with pytest.raises(SettingError, match=refused):
        train(load_config(scans_config, epochs), tmp_path / "run")  # four cases, one a step
    assert not (tmp_path / "run").exists()
