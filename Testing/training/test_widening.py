"""Widening: the same function with more maps, within a run that can be stopped at any step."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import AutofocusCore
from AutofocusCore.errors import SettingError
from AutofocusCore.models import find_model
from AutofocusCore.networks.build import build_network, count_parameters
from Testing.core.small_networks import random_network
from Training.configuration.config import as_toml, load_config
from Training.export import export
from Training.loop.checkpoints import same_experiment
from Training.loop.runs import load_run
from Training.loop.widening import keep_old_statistics, widen
from Training.train import train

pytestmark = pytest.mark.usefixtures("narrow")
WIDE = ["model.architecture.width=1.6", "run.widen_after=4"]
FIXED = ["scans.fix_statistics_after=2", "scans.statistics=3"]


@pytest.mark.parametrize("architecture", ["basic", "aspp-s", "aspp-c", "afn-2", "afn-6"])
@pytest.mark.parametrize("options", [{"domain": "roi", "norm": "fused"}, {"norm": "branch"}], ids=["roi", "box"])
def test_the_wide_network_computes_what_the_narrow_one_does(architecture: str, options: dict[str, str]) -> None:
    narrow, wide = random_network(architecture, **options), random_network(architecture, seed=1, width=1.6, **options)
    widen(narrow, wide)
    image = torch.randn(1, 1, *3 * [2 * narrow.margin + 6], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, got = narrow.forward_with_attention(image), wide.forward_with_attention(image)
    torch.testing.assert_close(got[0], expected[0], atol=1e-4, rtol=1e-4)
    for one, other in zip(got[1], expected[1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_new_maps_see_all_maps_and_the_old_ones_learn_to_listen_to_them() -> None:
    narrow, wide = random_network("afn-4", domain="roi"), random_network("afn-4", seed=1, width=1.6, domain="roi")
    widen(narrow, wide)
    first, second = (layer.conv.weight for layer in wide.stem)
    old = narrow.stem[0].conv.weight.shape[0]
    assert bool((second[old:] != 0).all())
    assert bool((second[:old, old:] == 0).all())
    wide.train()(torch.randn(1, 1, 8, 8, 8)).square().mean().backward()
    assert bool((second.grad[:old, old:] != 0).any())
    assert bool((first.grad[:old] != 0).any())


def test_statistics_of_the_old_maps_can_be_kept() -> None:
    narrow, wide = random_network("afn-1"), random_network("afn-1", seed=1, width=1.6)
    measured = {name: value.clone() for name, value in wide.state_dict().items()}
    keep_old_statistics(narrow, wide)
    name, extent = "stem.1.norm.running_var", narrow.stem[1].norm.num_features
    assert torch.equal(wide.state_dict()[name][:extent], narrow.state_dict()[name])
    assert torch.equal(wide.state_dict()[name][extent:], measured[name][extent:])
    assert all(torch.equal(value, measured[name]) for name, value in wide.state_dict().items() if "running" not in name)


@pytest.mark.parametrize("more", [[], FIXED], ids=["own statistics", "fixed statistics"])
def test_a_run_that_is_stopped_round_its_widening_ends_with_the_same_weights(
    scans_config: Path, tmp_path: Path, more: list[str]
) -> None:
    config, runs = load_config(scans_config, [*WIDE, *more]), [tmp_path / str(stop) for stop in (8, 3, 4, 5)]
    for run in runs:
        train(config, run, stop_after=int(run.name))
        train(config, run)
    states = [torch.load(run / "checkpoint.pt", weights_only=True) for run in runs]
    for part in ("network", "average"):
        for name, value in states[0][part].items():
            assert all(torch.equal(value, state[part][name]) for state in states[1:]), name
    facts = json.loads((runs[0] / "environment.json").read_text(encoding="utf-8"))
    assert facts["parameters"] == count_parameters(build_network(**config.model_at(1).architecture))
    assert facts["parameters_once_wide"] == count_parameters(build_network(**config.model.architecture))
    assert facts["parameters"] < facts["parameters_once_wide"]


def test_a_narrow_run_goes_on_wide_and_its_model_has_the_width_that_it_has_come_to(
    scans_config: Path, tmp_path: Path
) -> None:
    narrow, wide = load_config(scans_config), load_config(scans_config, WIDE)
    train(narrow, tmp_path / "run", stop_after=4)
    assert same_experiment(as_toml(narrow), wide, 4)
    assert not same_experiment(as_toml(narrow), wide, 5)
    model = load_run(tmp_path / "run", wide)
    assert "width" not in model.spec.architecture
    train(wide, tmp_path / "run")
    model = load_run(tmp_path / "run", wide)
    assert model.spec.architecture["width"] == 1.6
    first = AutofocusCore.build_network(**narrow.model.architecture)
    maps = [len(network.stem[0].conv.weight) for network in (first, model.build())]
    assert maps[1] == round(1.6 * maps[0])
    export(wide, tmp_path / "run", tmp_path / "bundle")
    assert find_model(tmp_path / "bundle").build().options["width"] == 1.6


def test_the_paper_s_width_named_is_the_same_experiment(scans_config: Path) -> None:
    assert load_config(scans_config, ["model.architecture.width=1.0"]) == load_config(scans_config)


@pytest.mark.parametrize("overrides", [["run.widen_after=4"], [*WIDE[:1], "run.widen_after=8"], ["run.widen_after=-1"]])
def test_a_run_widens_to_a_larger_width_before_its_last_step(scans_config: Path, overrides: list[str]) -> None:
    with pytest.raises(SettingError, match=re.escape(overrides[-1].replace("=", " is "))):
        load_config(scans_config, overrides)
