"""Cases for training out of prepared folders and folds: the parts, the checks before the start, the arrays."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError, SettingError
from AutofocusCore.images import Grid
from AutofocusCore.images import prepare as prepare_scan
from AutofocusCore.images.geometry import model_grid
from AutofocusCore.models import Channel, Normalization
from AutofocusCore.teaching.case import Case, case_of
from AutofocusCore.teaching.sampled_labels import SampledLabels
from Testing.small_models import small_spec
from Testing.training.conftest import TINY
from Training.configuration.config import Config, load_config
from Training.loop.cases import CaseCache, names_of
from Training.loop.data import load_data
from Training.loop.sampling import cut_segment
from Training.prepare import main
from Training.preparing.data_list import sha256_of
from Training.train import train

CONFIG = """
[model]
spacing = {spacing}
structures = ["Prostate", "Bladder"]
channels = [{channels}]
normalization = {normalization}
architecture = {{ dilation_rates = [2, 3] }}
[data]
source = "{source}"
folder = "{folder}"
watch = 1
{more}
[segments]
size = [6, 6, 6]
per_step = 2
[run]
steps = 1
"""
T1 = '{ name = "T1", modality = "MR" }'
T2 = '{ name = "T2", modality = "MR" }'


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def config(tmp_path: Path, folder: Path, more: str = "", **values: str) -> Config:
    defaults = {
        "spacing": "[1.0, 1.0, 1.0]",
        "channels": f"{T1}, {T2}",
        "normalization": '{ method = "z-score", mask = "nonzero" }',
        "source": "prepared",
    }
    path = tmp_path / "config.toml"
    path.write_text(
        TINY + CONFIG.format(folder=folder.as_posix(), more=more, **{**defaults, **values}), encoding="utf-8"
    )
    return load_config(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven cases of two channels: a brain, 0 outside it, with two structures."""
    folder = tmp_path / "source"
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:14, :15, :16]
    brain = (z - 7) ** 2 + (y - 7) ** 2 + (x - 8) ** 2 < 40
    for i in range(7):
        labels = np.zeros(brain.shape, dtype=np.uint8)
        labels[6:9, 5:8, 6:9] = 1
        labels[6:8, 8:10, 6:9] = 2
        for channel, level in (("T1", 100), ("T2", 300)):
            image = np.where(brain, level + 20.0 * labels + rng.normal(0, 5, brain.shape), 0).astype(np.float32)
            write(folder / f"case_{i}" / f"{channel}.nii.gz", image)
        write(folder / f"case_{i}" / "seg.nii.gz", labels)
    return folder


def prepare(source: Path, out: Path, *more: str) -> Path:
    options = ["--channels", "T1,T2", "--images", "{case}/T1", "--images", "{case}/T2", "--labels", "{case}/seg"]
    options += ["--structures", "Prostate,Bladder", "--roi", "brain", *more]
    assert main(["folder", str(source), str(out), *options]) == 0
    return out


@pytest.fixture
def prepared(source: Path, tmp_path: Path) -> Path:
    return prepare(source, tmp_path / "prepared", "--folds", "3")


def test_a_fold_is_tested_on_and_all_other_cases_are_trained_on(prepared: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    for fold in range(3):
        data = load_data(config(tmp_path, prepared, f"fold = {fold}"))
        parts = [names_of(part) for part in (data.train, data.watch, data.test)]
        assert len(parts[1]) == 1
        assert sorted(name for part in parts for name in part) == [f"case_{i}" for i in range(7)]
        seen += parts[2]
    assert sorted(seen) == [f"case_{i}" for i in range(7)]


def test_without_a_fold_the_parts_of_the_list_count(source: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    names = [f"case_{i}" for i in range(7)]
    split.write_text(json.dumps({"train": names[:5], "validation": names[5:]}), encoding="utf-8")
    out = prepare(source, tmp_path / "out", "--split", str(split))
    data = load_data(config(tmp_path, out))
    assert names_of(data.test) == names[5:]
    assert sorted(names_of(data.train) + names_of(data.watch)) == names[:5]


def test_the_arrays_are_those_of_inference_with_the_roi_of_the_file(prepared: Path, tmp_path: Path) -> None:
    case = load_data(config(tmp_path, prepared, "fold = 0")).test[0].case
    assert case.image.shape == (2, *case.labels.shape)
    assert case.image.dtype == np.float32
    for channel in case.image:
        assert channel[case.roi].mean() == pytest.approx(0, abs=1e-4)
        assert channel[case.roi].std() == pytest.approx(1, abs=1e-4)
    outside = [float(channel[~case.roi].max()) for channel in case.image]
    np.testing.assert_allclose(case.background, outside, rtol=1e-5)
    assert outside[0] != pytest.approx(outside[1], rel=1e-3)
    # Beyond the case each channel has its own background.
    image, _ = cut_segment(case, (0, 0, 0), (4, 4, 4), 3, np.eye(3))
    np.testing.assert_allclose(image[:, 0, 0, 0], outside, rtol=1e-5)


def test_what_is_normalised_already_is_taken_as_it_is(source: Path, tmp_path: Path) -> None:
    out = prepare(source, tmp_path / "out", "--normalise", "deepmedic", "--folds", "3")
    how = '{ method = "z-score", mask = "nonzero", percentiles = [5.0, 95.0], sigmas = [3.0, 3.0] }'
    already = load_data(config(tmp_path, out, "fold = 0", normalization=how)).test[0].case
    plain = prepare(source, tmp_path / "plain", "--folds", "3")
    by_inference = load_data(config(tmp_path, plain, "fold = 0", normalization=how)).test[0].case
    np.testing.assert_allclose(already.image, by_inference.image, atol=1e-4)
    np.testing.assert_allclose(already.background, by_inference.background, rtol=1e-5)
    assert np.array_equal(already.labels, by_inference.labels)
    with pytest.raises(InputError, match="normalised already"):
        load_data(config(tmp_path, out, "fold = 0"))


def test_data_of_another_kind_than_the_model_is_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the channels T1, T2, but the model T2, T1"):
        load_data(config(tmp_path, prepared, channels=f"{T2}, {T1}"))
    listed = json.loads((prepared / "data.json").read_text(encoding="utf-8"))
    listed["structures"] = {"1": "Bladder", "2": "Prostate"}
    (prepared / "data.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(InputError, match="has the structures Bladder, Prostate, but the model Prostate, Bladder"):
        load_data(config(tmp_path, prepared))
    with pytest.raises(InputError, match=r"data\.json cannot be used"):
        load_data(config(tmp_path, tmp_path / "nowhere"))


def test_a_fold_that_is_not_there_is_refused(prepared: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no fold 7; it has 0, 1, 2"):
        load_data(config(tmp_path, prepared, "fold = 7"))
    without = prepare(source, tmp_path / "without")
    with pytest.raises(InputError, match="prepare it with --folds"):
        load_data(config(tmp_path, without, "fold = 0"))


def rewrite(folder: Path, name: str, file: str, array: np.ndarray) -> None:
    """Put another array in a case's place, and its checksum into the list, as a careless hand would."""
    write(folder / "cases" / name / file, array)
    listed = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    entry = next(case for case in listed["cases"] if case["name"] == name)
    entry["sha256"][f"cases/{name}/{file}"] = sha256_of(folder / "cases" / name / file)
    (folder / "data.json").write_text(json.dumps(listed), encoding="utf-8")


def test_all_that_is_wrong_is_named_before_training_in_one_list(prepared: Path, tmp_path: Path) -> None:
    labels = np.zeros((14, 15, 16), dtype=np.uint8)
    rewrite(prepared, "case_0", "labels.nii.gz", labels)
    rewrite(prepared, "case_1", "labels.nii.gz", labels + 9)
    rewrite(prepared, "case_2", "labels.nii.gz", labels[1:] + 1)
    rewrite(prepared, "case_3", "image1_T2.nii.gz", labels[1:])
    (prepared / "cases" / "case_4" / "roi.nii.gz").unlink()
    with (prepared / "cases" / "case_5" / "image0_T1.nii.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError) as refused:
        load_data(config(tmp_path, prepared, "fold = 0"))
    text = str(refused.value)
    assert text.startswith("6 cases of ")
    for name, why in (
        ("case_0", "It has no foreground"),
        ("case_1", "Its labels hold 9"),
        ("case_2", "labels.nii.gz is not on the grid"),
        ("case_3", "image1_T2.nii.gz is not on the grid"),
        ("case_4", "roi.nii.gz is not there"),
        ("case_5", "(checksum)"),
    ):
        assert why in text[text.index(f"{name}:") :], name


def test_the_checksum_tells_folds_and_contents_apart(prepared: Path, tmp_path: Path) -> None:
    first, again, other = (load_data(config(tmp_path, prepared, f"fold = {n}")).checksum for n in (0, 0, 1))
    assert first == again != other
    rewrite(prepared, "case_1", "labels.nii.gz", np.ones((14, 15, 16), dtype=np.uint8))
    assert load_data(config(tmp_path, prepared, "fold = 0")).checksum != first


def test_cases_smaller_than_a_segment_are_named_but_do_not_stop_the_training(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = load_data(config(tmp_path, prepared, "fold = 0", spacing="[3.0, 3.0, 3.0]"))
    assert "3 of 3 cases are smaller than a segment's 6 × 6 × 6 voxels" in caplog.text
    assert "(5 × 5 × 6)" in data.remarks[0]
    assert load_data(config(tmp_path, prepared, "fold = 0")).remarks == ()


def _with_a_speck(prepared: Path, *, alone: bool) -> None:
    """case_1 gets a prostate of one voxel, between those of a grid of 3 mm; ``alone``: and no bladder."""
    labels = np.zeros((14, 15, 16), dtype=np.uint8)
    labels[6, 6, 6] = 1
    if not alone:
        labels[3:9, 8:12, 6:12] = 2
    rewrite(prepared, "case_1", "labels.nii.gz", labels)


def test_structures_that_the_models_grid_loses_are_named_and_count_as_missed(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _with_a_speck(prepared, alone=False)
    with caplog.at_level(logging.WARNING):
        data = load_data(config(tmp_path, prepared, "fold = 0", spacing="[3.0, 3.0, 3.0]"))
    assert "7 of 7 cases have structures that are lost on the model's grid" in caplog.text
    assert "case_0 (Bladder), case_1 (Prostate), case_2 (Bladder)" in data.remarks[-1]
    lost = {source.name: source.case.lost for source in (*data.train, *data.watch, *data.test)}
    assert lost.pop("case_1") == (1,)
    assert set(lost.values()) == {(2,)}  # two voxels thick, it falls between those of the grid


def test_a_case_that_is_empty_on_the_models_grid_is_named_before_training(prepared: Path, tmp_path: Path) -> None:
    _with_a_speck(prepared, alone=True)
    with pytest.raises(InputError, match=r"case_1: It has no foreground on the model's grid; use smaller voxels"):
        load_data(config(tmp_path, prepared, "fold = 0", spacing="[3.0, 3.0, 3.0]"))


def test_labels_are_read_and_sampled_once_at_the_start(prepared: Path, tmp_path: Path) -> None:
    wanted = config(tmp_path, prepared, "fold = 0", spacing="[2.0, 1.5, 1.0]")
    expected = {source.name: source.case for source in load_data(wanted).train}
    data = load_data(wanted)
    for file in prepared.rglob("labels.nii.gz"):
        file.unlink()
    for source in data.train:
        np.testing.assert_array_equal(source.case.labels, expected[source.name].labels)
        assert set(np.unique(source.case.labels)) == {0, 1, 2}
        assert source.case.lost == expected[source.name].lost


def test_labels_sampled_beforehand_fit_a_scan_whose_filled_margin_is_dropped() -> None:
    values = np.random.default_rng(0).normal(100, 10, (20, 22, 24)).astype(np.float32)
    values[:, :, 20:], values[:4] = -7.0, -7.0
    labels = np.zeros(values.shape, np.uint8)
    labels[8:13, 6:12, 9:16], labels[0, 0, 0] = 1, 2
    scan, truth = sitk.GetImageFromArray(values), sitk.GetImageFromArray(labels)
    spec = small_spec(channels=(Channel("T1", "MR"),), normalization=Normalization("z-score", mask="all"))
    grid = model_grid(Grid.of(scan), spec.orientation, spec.spacing)
    direct, beforehand = (case_of("a", scan, these, spec) for these in (truth, SampledLabels.of(truth, grid)))
    assert direct.labels.shape != grid.shape
    np.testing.assert_array_equal(beforehand.labels, direct.labels)
    assert beforehand.lost == direct.lost == (2,)


def test_a_network_trains_on_a_prepared_folder(prepared: Path, tmp_path: Path) -> None:
    assert train(config(tmp_path, prepared, "fold = 1"), tmp_path / "run").is_file()


def test_cases_that_were_not_used_for_longest_make_room() -> None:
    def load(name: str) -> Case:
        loaded.append(name)
        cube = np.zeros((2, 2, 2))
        return Case(name, cube[None].astype(np.float32), cube.astype(np.uint8), cube > 0, 0.0)

    loaded: list[str] = []
    cache = CaseCache(limit=2 * (32 + 8 + 8))
    for name in ("a", "b", "a", "c", "a", "b"):
        assert cache.get(name, lambda name=name: load(name)).name == name
    assert loaded == ["a", "b", "c", "b"]
    for _ in range(2):
        assert CaseCache(limit=0).get("a", lambda: load("a")).name == "a"


@pytest.fixture
def decathlon(source: Path, tmp_path: Path) -> Path:
    """The same cases' first channels, laid out as the Decathlon does, with a split."""
    folder = tmp_path / "decathlon"
    for part, file in (("imagesTr", "T1"), ("labelsTr", "seg")):
        (folder / part).mkdir(parents=True)
        for i in range(7):
            content = (source / f"case_{i}" / f"{file}.nii.gz").read_bytes()
            (folder / part / f"case_{i}.nii.gz").write_bytes(content)
    split = {"train": [f"case_{i}" for i in (4, 0, 3, 1, 2)], "validation": ["case_5", "case_6"]}
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return folder


def test_folds_of_a_folder_deal_out_its_training_cases_alone(decathlon: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    for fold in range(2):
        wanted = config(tmp_path, decathlon, f"fold = {fold}\nfolds = 2", source="folder", channels=T1)
        data = load_data(wanted)
        assert not {"case_5", "case_6"} & {*names_of(data.train), *names_of(data.watch), *names_of(data.test)}
        assert not set(names_of(data.test)) & set(names_of(data.train) + names_of(data.watch))
        seen += names_of(data.test)
    assert sorted(seen) == [f"case_{i}" for i in range(5)]
    whole = load_data(config(tmp_path, decathlon, source="folder", channels=T1))
    assert names_of(whole.test) == ["case_5", "case_6"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("fold = 2\nfolds = 2", "data.fold is 2"),
        ("fold = 0", "data.folds is 0"),
        ("folds = 3", "data.folds is 3"),
        ("fold = -1\nfolds = 3", "data.fold is -1"),
        ("fold = true\nfolds = 3", "data.fold is True"),
    ],
)
def test_folds_that_make_no_sense_are_refused(tmp_path: Path, more: str, field: str) -> None:
    with pytest.raises(SettingError, match=field):
        config(tmp_path, tmp_path, more, source="folder", channels=T1)


def test_real_cases_reach_the_network_unchanged_by_their_preparation(reference_data: Path, tmp_path: Path) -> None:
    source = reference_data / "hippocampus"
    names = json.loads((source / "split.json").read_text(encoding="utf-8"))["train"][:4]
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / "hippocampus" / part).mkdir(parents=True)
        for name in names:
            content = (source / part / f"{name}.nii.gz").read_bytes()
            (tmp_path / "hippocampus" / part / f"{name}.nii.gz").write_bytes(content)
    split = tmp_path / "hippocampus" / "split.json"
    split.write_text(json.dumps({"train": names[:3], "validation": names[3:]}), encoding="utf-8")
    out = tmp_path / "out"
    options = ["--structures", "Prostate,Bladder", "--channels", "T1", "--split", str(split)]
    assert main(["folder", str(tmp_path / "hippocampus"), str(out), *options]) == 0
    how = {"channels": T1, "normalization": '{ method = "z-score", mask = "all", percentiles = [1.0, 99.0] }'}
    direct = load_data(config(tmp_path, tmp_path / "hippocampus", source="folder", **how))
    through = load_data(config(tmp_path, out, **how))
    for part in ("train", "watch", "test"):
        for one, other in zip(getattr(direct, part), getattr(through, part), strict=True):
            assert one.name == other.name
            assert np.array_equal(one.case.image, other.case.image)
            assert np.array_equal(one.case.labels, other.case.labels)
            assert one.case.background == other.case.background


def test_the_box_of_a_case_is_what_the_product_predicts_of_it_here_the_body_and_a_little_air() -> None:
    air = np.full((40, 50, 90), -1000.0, dtype=np.float32)
    air[5:35, 15:40, 10:40] = np.random.default_rng(0).normal(40, 10, (30, 25, 30))
    scan, labels = sitk.GetImageFromArray(air), sitk.GetImageFromArray((air > 0).astype(np.uint8))
    for image in (scan, labels):
        image.SetSpacing((4.0, 4.0, 4.0))
    spec = small_spec(
        channels=(Channel("CT", "CT"),), normalization=Normalization("window", mask="body", window=(-200, 300)),
        spacing=(4.0, 4.0, 4.0), orientation="LPS",
    )  # fmt: skip
    case = case_of("a body", scan, labels, spec)
    assert case.box == prepare_scan([scan], spec).region
    assert case.box is not None
    assert all(
        0 <= low <= first and last <= high <= extent
        for (low, high), first, last, extent in zip(case.box, (5, 15, 10), (35, 40, 40), air.shape, strict=True)
    )
    assert case.box[2][1] < 60
