"""The study of attention, on attention that is known."""

from __future__ import annotations

import csv
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import Training.attention_study
from AutofocusCore.errors import InputError
from AutofocusCore.networks.build import build_network
from AutofocusCore.teaching.case import Case
from Testing.core.small_networks import narrow_networks
from Training.attention_study import TOGETHER, correlations, spread_text, study, write_study
from Training.configuration.config import load_config
from Training.evaluation.effective_dilation import (
    MEAN_OF_LAYERS,
    DilationSpread,
    StructureDilation,
    dilation_spreads,
    dilations_in_structures,
    effective_dilations,
    rank_correlation,
    signed_distance,
)
from Training.loop.cases import Source
from Training.loop.data import load_data

SPACING = (3.0, 2.0, 1.0)


def ball(radius: float) -> Case:
    z, y, x = np.mgrid[:20, :30, :60]
    labels = ((3 * (z - 10)) ** 2 + (2 * (y - 15)) ** 2 + (x - 30) ** 2 < radius**2).astype(np.uint8)
    image = np.random.default_rng(0).normal(0, 1, (1, *labels.shape)).astype(np.float32)
    return Case("ball", image, labels, np.ones(labels.shape, bool), 0.0)


def loud_network(domain: str = "box") -> torch.nn.Module:
    """An AFN-2 whose random weights are large enough for its attention to differ from place to place."""
    torch.manual_seed(0)
    norm = "fused" if domain == "roi" else "branch"
    with narrow_networks():
        network = build_network("afn-2", in_channels=1, num_classes=2, domain=domain, norm=norm).eval()
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    return network


@pytest.mark.parametrize("radius", [8.0, 20.0])
def test_the_size_of_a_ball_is_its_diameter(radius: float) -> None:
    case = ball(radius)
    (one,) = dilations_in_structures(case, {1: np.ones(case.labels.shape)}, {"Bladder": (1,)}, SPACING)
    assert one.diameter_mm == pytest.approx(2 * radius, rel=0.03)
    assert one.dilation_mm == 1.0
    assert math.isnan(one.border_correlation)  # it does not vary


def test_dilation_that_grows_inwards_is_found_to_do_so() -> None:
    case = ball(20.0)
    distance = signed_distance(case.labels == 1, SPACING)
    (one,) = dilations_in_structures(case, {1: 30 + distance}, {"Bladder": (1,)}, SPACING)
    assert one.border_correlation == pytest.approx(1.0)
    assert one.profile[-5] == pytest.approx(25, abs=0.5)
    assert one.profile[5] == pytest.approx(35, abs=0.5)


def test_distance_is_negative_outside_and_in_millimetres() -> None:
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[4, 4, 4] = True
    distance = signed_distance(mask, SPACING)
    assert (distance[4, 4, 4], distance[5, 4, 4], distance[4, 6, 4], distance[4, 4, 1]) == (1.0, -3.0, -4.0, -3.0)


def test_a_structure_that_the_case_has_not_is_not_looked_at() -> None:
    case = ball(8.0)
    assert [
        one.structure
        for one in dilations_in_structures(case, {1: np.ones(case.labels.shape)}, {"A": (2,), "B": (1,)}, SPACING)
    ] == ["B"]


def test_equal_attention_is_the_mean_rate_times_the_voxel_size() -> None:
    with narrow_networks():
        network = build_network("afn-2", in_channels=1, num_classes=2).eval()
    for name, weight in network.named_parameters():
        if "attention" in name:
            torch.nn.init.zeros_(weight)
    case = ball(8.0)
    dilations = effective_dilations(network, case, (2.0, 2.0, 2.0), "cpu")
    assert sorted(dilations) == [MEAN_OF_LAYERS, 1, 2]
    for dilation in dilations.values():
        assert dilation.shape == case.labels.shape
        assert np.isfinite(dilation[case.labels > 0]).all()
        assert np.allclose(dilation[np.isfinite(dilation)], 2 * (2 + 6 + 10 + 14) / 4)


@pytest.mark.parametrize("domain", ["box", "roi"])
def test_dilations_are_those_of_the_patients_voxels_alone(domain: str) -> None:
    network, whole = loud_network(domain), ball(8.0)
    patient = np.zeros(whole.labels.shape, bool)
    patient[3:17, 4:26, 6:54] = True
    case = replace(whole, roi=patient, box=((2, 18), (3, 27), (5, 55)))
    x, mask = torch.from_numpy(case.image), torch.from_numpy(patient)
    with torch.no_grad():
        if domain == "roi":
            attention = network.forward_with_attention(x[None], mask[None])[1]
        else:
            attention = network.forward_with_attention(torch.nn.functional.pad(x[None], 6 * [network.margin]))[1]
    rates = torch.tensor(network.dilation_rates, dtype=torch.float32).reshape(-1, 1, 1, 1)
    dilations = effective_dilations(network, case, SPACING, "cpu")
    for layer, maps in enumerate(attention, start=1):
        wide = (maps[0] * rates).sum(0).numpy() * 6 ** (1 / 3)
        border = [(n - m) // 2 for n, m in zip(wide.shape, patient.shape, strict=True)]
        inner = wide[tuple(slice(b, b + n) for b, n in zip(border, patient.shape, strict=True))]
        np.testing.assert_allclose(dilations[layer][patient], inner[patient], atol=1e-3)
        assert np.isnan(dilations[layer][~patient]).all()


def test_the_spread_is_a_share_of_the_span_of_the_rates() -> None:
    case = ball(8.0)
    halves = np.where(np.arange(60) < 30, 2.0, 14.0) * np.ones(case.labels.shape)
    dilations = {1: halves, 2: np.full(case.labels.shape, 6.0), MEAN_OF_LAYERS: halves}
    dilations[1][0] = np.nan  # outside the patient
    first, second = dilation_spreads(case, dilations, (2, 6, 10, 14), (1.0, 1.0, 1.0))
    assert (first.layer, first.sd_mm, first.share) == (1, pytest.approx(6.0), pytest.approx(0.5))  # the most there is
    assert (second.layer, second.sd_mm, second.share) == (2, 0.0, 0.0)
    text = spread_text([first, second, replace(first, case="b"), replace(second, case="b")])
    assert "| layer 1 | 2 | 6.00 | 50.0% (0.0%) |" in text
    assert "1 of 2 layers reach 15%: attention has not settled." in text
    assert "0 of 1 layers reach 15%: attention has settled" in spread_text([second])


def test_the_study_may_run_in_bfloat16_which_moves_the_dilations_little() -> None:
    network, case = loud_network(), ball(8.0)
    exact, rounded = (effective_dilations(network, case, SPACING, "cpu", p) for p in ("float32", "bfloat16"))
    for layer, dilation in exact.items():
        assert 0 < np.nanmean(np.abs(rounded[layer] - dilation)) < 0.1 * np.nanstd(dilation)


def test_a_network_without_autofocus_layers_is_refused() -> None:
    with pytest.raises(InputError, match="no autofocus layer"):
        effective_dilations(build_network("basic", in_channels=1, num_classes=2).eval(), ball(8.0), SPACING, "cpu")


def test_cases_without_any_structure_are_refused_in_a_sentence(balls_config: Path) -> None:
    case = ball(8.0)
    case.labels[:] = 0
    spec = load_config(balls_config).model
    for cases in ([Source("empty", lambda: case)], []):
        with pytest.raises(InputError, match=f"None of the {len(cases)} cases has a structure"):
            study(loud_network(), spec, cases, "cpu")


def made_up(rng: np.random.Generator, slope: float) -> list[StructureDilation]:
    """Two structures of very different size and dilation; within each, dilation follows size by the slope."""
    found = []
    for case in range(12):
        for structure, size, level in (("small", 10.0, 2.0), ("large", 50.0, 8.0)):
            own = rng.normal(0, 1)
            dilation = level + slope * own + rng.normal(0, 0.1)
            found.append(
                StructureDilation(f"case {case}", structure, 1, size + own, dilation, 0.5, {-1: 2.0, 0: 3.0, 1: 4.0})
            )
    return found


def test_a_relation_between_structures_is_told_from_one_within_them() -> None:
    by_structure = {one.structure: one for one in correlations(made_up(np.random.default_rng(0), 0.0))}
    assert by_structure[TOGETHER].with_size[0] > 0.6
    assert by_structure["small"].with_size[1] < 0 < by_structure["small"].with_size[2]  # the interval holds 0
    assert by_structure["small"].dilation_mm == pytest.approx((2.0, 0.1), abs=0.1)
    falling = {one.structure: one for one in correlations(made_up(np.random.default_rng(0), -1.0))}
    assert falling["small"].with_size[2] < -0.8
    assert falling["small"].with_border == (0.5, 0.5, 0.5)
    assert falling[TOGETHER].cases == 12


def test_ranks_of_what_does_not_vary_have_no_correlation() -> None:
    assert math.isnan(rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]))
    assert math.isnan(rank_correlation([1, 2], [1, 2]))
    assert rank_correlation([1, 2, 30], [5, 6, 7]) == pytest.approx(1.0)


def test_tables_and_figure_are_written_whole(tmp_path: Path) -> None:
    text = write_study(
        tmp_path / "out",
        made_up(np.random.default_rng(0), 1.0),
        [DilationSpread("a", 1, 3.0, 0.25)],
        "Attention of a test",
        1.0,
    )
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "attention.csv", "spreads.csv", "correlations.csv", "attention.md", "attention.png",
    }  # fmt: skip
    assert re.search(r"\| layer 1 \| small \| 12 \| \d\.\d\d \(\d\.\d\d\) \| \+", text)
    assert len(list(csv.DictReader((tmp_path / "out" / "attention.csv").open(encoding="utf-8")))) == 24


@pytest.mark.parametrize("more", [[], ["--untrained"]])
def test_a_run_is_studied_from_the_command_line(
    more: list[str], balls_config: Path, balls_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(balls_config), "--run", str(balls_run), "-o", str(tmp_path / "out"), *more]
    monkeypatch.setattr(sys, "argv", ["attention_study.py", *words])
    assert Training.attention_study.main() == 0
    rows = list(csv.DictReader((tmp_path / "out" / "attention.csv").open(encoding="utf-8")))
    assert {row["case"] for row in rows} == {source.name for source in load_data(load_config(balls_config)).test}
    assert all(2 * 3 ** (1 / 3) <= float(row["dilation_mm"]) <= 14 * 3 ** (1 / 3) for row in rows)


def test_cases_that_the_run_was_trained_on_are_refused(
    balls_config: Path,
    balls_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [balls_config, "--run", balls_run, "-o", tmp_path / "out", "--set", "data.fold=0", "--set", "data.folds=2"]
    monkeypatch.setattr(sys, "argv", ["attention_study.py", *map(str, words)])
    assert Training.attention_study.main() == 1
    assert "was trained on 2 of the cases to report on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
