"""BRATS's trees, made here with the names that they were handed out under."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from Training.configuration.config import load_config
from Training.loop.data import load_data
from Training.prepare import main
from Training.preparing.brats import find_brats, find_brats2015
from Training.preparing.data_list import DataList, read_data_list
from Training.preparing.folds import split_by_file

ROOT = Path(__file__).resolve().parents[2]
PARTS_2015 = ("Brain.XX.O.MR_Flair", "Brain.XX.O.MR_T1", "Brain.XX.O.MR_T1c", "Brain.XX.O.MR_T2")
OLDER = ("_flair", "_t1", "_t1ce", "_t2")
OF_2023 = ("-t2f", "-t1n", "-t1c", "-t2w")


def image_of(channel: int) -> np.ndarray:
    """A skull-stripped head: 0 outside, values of about 100 times the channel's number inside."""
    z, y, x = np.mgrid[:14, :16, :18]
    inside = ((z - 7) / 6) ** 2 + ((y - 8) / 7) ** 2 + ((x - 9) / 8) ** 2 < 1
    rng = np.random.default_rng(channel)
    return np.where(inside, 100 * (channel + 1) + rng.integers(-20, 20, inside.shape), 0).astype(np.int16)


def labels_of(*values: int) -> np.ndarray:
    labels = np.zeros((14, 16, 18), dtype=np.uint8)
    for i, value in enumerate(values):
        labels[5 + i, 6:10, 7:11] = value
    return labels


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


def write_2015(root: Path, patient: str, first: int, labelled: bool = True) -> Path:
    names = [*PARTS_2015, "Brain_3more.XX.O.OT"] if labelled else list(PARTS_2015)
    for i, part in enumerate(names):
        name = f"VSD.{part}.{first + i}"
        array = image_of(i) if i < 4 else labels_of(1, 2, 3, 4)
        write(root / patient / name / f"{name}.mha", array)
        (root / patient / name / f"{name}.txt").write_text("a note, as the archives hold", encoding="utf-8")
    return root / patient


def write_later(folder: Path, endings: tuple[str, ...], *labels: int) -> Path:
    for i, ending in enumerate(endings):
        write(folder / f"{folder.name}{ending}.nii.gz", image_of(i))
    if labels:
        write(folder / f"{folder.name}{endings[0][0]}seg.nii.gz", labels_of(*labels))
    return folder


def prepared(name: str, source: Path, tmp_path: Path, *more: str) -> tuple[DataList, Path]:
    out = tmp_path / "out"
    assert main([name, str(source), str(out), *more]) == 0
    return read_data_list(out), out


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "BRATS2015"
    write_2015(root / "BRATS2015_Training" / "HGG", "brats_2013_pat0001_1", 54512)
    write_2015(root / "BRATS2015_Training" / "LGG", "brats_tcia_pat484_0001", 40768)
    write_2015(root / "BRATS2015_Training" / "LGG", "brats_tcia_pat484_0093", 40790)
    write_2015(root / "Testing" / "HGG_LGG", "brats_2013_pat0103_1", 54193, labelled=False)
    return root


def test_a_tree_of_2015_becomes_four_channels_with_the_brain_as_roi(tree: Path, tmp_path: Path) -> None:
    listed, out = prepared("brats2015", tree, tmp_path)
    assert listed.channels == ("FLAIR", "T1", "T1c", "T2")
    assert list(listed.structures.values()) == ["Necrosis", "Oedema", "Non-enhancing tumour", "Enhancing tumour"]
    parts = {case.name: case.part for case in listed.cases}
    assert parts == {
        "brats_2013_pat0001_1": "train",
        "brats_2013_pat0103_1": "test",
        "brats_tcia_pat484_0001": "train",
        "brats_tcia_pat484_0093": "train",
    }
    for case in listed.cases:
        for i, path in enumerate(case.images):
            assert np.array_equal(read(out / path), image_of(i))
        assert np.array_equal(read(out / str(case.roi)) > 0, image_of(0) > 0)
        assert (case.labels is None) == (case.part == "test")
    assert listed.problems == ()


def test_the_numbers_of_the_flair_images_are_kept_for_the_server(tree: Path, tmp_path: Path) -> None:
    listed, _ = prepared("brats2015", tree, tmp_path)
    names = {case.name: case.submission_name for case in listed.cases}
    assert names["brats_2013_pat0103_1"] == "VSD.{name}.54193"
    assert names["brats_2013_pat0001_1"] == "VSD.{name}.54512"
    assert "Testing/HGG_LGG/brats_2013_pat0103_1" in listed.cases[1].sources[3]


def test_all_visits_of_a_patient_are_in_one_fold(tree: Path, tmp_path: Path) -> None:
    listed, _ = prepared("brats2015", tree, tmp_path, "--folds", "2")
    folds = {case.name: case.fold for case in listed.cases}
    assert folds["brats_tcia_pat484_0001"] == folds["brats_tcia_pat484_0093"] != folds["brats_2013_pat0001_1"]
    assert folds["brats_2013_pat0103_1"] is None


def test_the_authors_list_of_test_files_splits_the_cases(tree: Path, tmp_path: Path) -> None:
    flair = "VSD.Brain.XX.O.MR_Flair"
    lines = [
        f"HGG/brats_2013_pat0001_1/{flair}.54512/{flair}.54512.nii",
        "HGG/brats_2013_pat0001_1/VSD.Brain.XX.O.MR_T1.54513/VSD.Brain.XX.O.MR_T1.54513.nii",
        f"LGG/brats_tcia_pat999_0001/{flair}.1/{flair}.1.nii",
    ]
    path = tmp_path / "test_list.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    listed, _ = prepared("brats2015", tree / "BRATS2015_Training", tmp_path, "--split", str(path))
    parts = {case.name: case.part for case in listed.cases}
    assert parts.pop("brats_2013_pat0001_1") == "test"
    assert set(parts.values()) == {"train"}
    assert "1 of its lines name no case" in listed.problems[0]["problem"]
    listed, _ = prepared("brats2015", tree, tmp_path, "--split", str(path))  # with those that have no labels
    assert {c.name for c in listed.cases if c.part == "test"} == {"brats_2013_pat0001_1", "brats_2013_pat0103_1"}
    split = tmp_path / "split.json"
    split.write_text('{"train": ["brats_2013_pat0103_1", "brats_2013_pat0001_1"], "test": []}', encoding="utf-8")
    listed, _ = prepared("brats2015", tree, tmp_path, "--split", str(split))
    assert [case.name for case in listed.cases] == ["brats_2013_pat0001_1"]
    assert "but it has no labels" in next(p["problem"] for p in listed.problems if p["case"] == "brats_2013_pat0103_1")
    path.write_text("somebody\n", encoding="utf-8")
    assert main(["brats2015", str(tree), str(tmp_path / "other"), "--split", str(path)]) == 1


@pytest.fixture
def grades(tmp_path: Path) -> Path:
    """A tree whose two grades number their patients alike, as BRATS 2015's do; one patient came twice."""
    root = tmp_path / "grades"
    for number, place in enumerate(
        ("HGG/brats_2013_pat0001_1", "HGG/brats_2013_pat0001_2", "LGG/brats_2013_pat0001_1")
    ):
        write_2015(root / Path(place).parent, Path(place).name, 54512 + 10 * number)
    write_2015(root / "HGG", "brats_2013_pat0002_1", 54700)
    return root


def test_different_patients_of_one_name_are_told_apart_by_their_grade(grades: Path, tmp_path: Path) -> None:
    listed, _ = prepared("brats2015", grades, tmp_path)
    assert {case.name: case.submission_name for case in listed.cases} == {
        "HGG_brats_2013_pat0001_1": "VSD.{name}.54512",
        "LGG_brats_2013_pat0001_1": "VSD.{name}.54532",
        "brats_2013_pat0001_2": "VSD.{name}.54522",
        "brats_2013_pat0002_1": "VSD.{name}.54700",
    }
    assert listed.problems == ()
    patients = {case.name: case.patient for case in find_brats2015(grades, "brats").cases}
    assert patients["HGG_brats_2013_pat0001_1"] == patients["brats_2013_pat0001_2"] == "HGG_brats_2013_pat0001"
    assert patients["LGG_brats_2013_pat0001_1"] == "LGG_brats_2013_pat0001"
    assert patients["brats_2013_pat0002_1"] == "brats_2013_pat0002"


def test_a_patient_of_two_grades_who_lacks_a_file_is_named_with_the_grade(grades: Path) -> None:
    shutil.rmtree(grades / "LGG" / "brats_2013_pat0001_1" / "VSD.Brain.XX.O.MR_T1.54533")
    found = find_brats2015(grades, "brats")
    assert "HGG_brats_2013_pat0001_1" in {case.name for case in found.cases}
    assert [problem.case for problem in found.problems] == ["LGG_brats_2013_pat0001_1"]
    (grades / "test.txt").write_text("LGG/brats_2013_pat0001_1\nHGG/brats_2013_pat0002_1\n", encoding="utf-8")
    split = split_by_file(found, grades / "test.txt")
    assert [case.name for case in split.cases if case.part == "test"] == ["brats_2013_pat0002_1"]
    assert split.problems == found.problems


def test_a_patient_whose_copy_lies_elsewhere_is_still_given_twice(grades: Path) -> None:
    write_2015(grades / "copy" / "HGG", "brats_2013_pat0001_1", 54512)
    write_2015(grades / "copy", "brats_2013_pat0002_1", 54700)
    found = find_brats2015(grades, "brats")
    assert [case.name for case in found.cases] == ["LGG_brats_2013_pat0001_1", "brats_2013_pat0001_2"]
    assert all("given twice" in problem.problem for problem in found.problems)


def test_missing_and_doubled_files_of_2015_are_named(tree: Path) -> None:
    training = tree / "BRATS2015_Training"
    shutil.rmtree(training / "HGG" / "brats_2013_pat0001_1" / "VSD.Brain.XX.O.MR_T1.54513")
    shutil.rmtree(training / "LGG" / "brats_tcia_pat484_0001" / "VSD.Brain_3more.XX.O.OT.40772")
    extra = "VSD.Brain.XX.O.MR_T2.99999"
    write(training / "LGG" / "brats_tcia_pat484_0093" / extra / f"{extra}.mha", image_of(3))
    found = find_brats2015(tree, "brats")
    assert [case.name for case in found.cases] == ["brats_2013_pat0103_1"]
    problems = {problem.case: problem.problem for problem in found.problems}
    assert problems["brats_2013_pat0001_1"] == "It has no T1"
    assert problems["brats_tcia_pat484_0001"] == "It has no labels"
    assert "T2 is given twice" in problems["brats_tcia_pat484_0093"]


def test_the_label_4_of_the_releases_up_to_2021_stays_enhancing_tumour(tmp_path: Path) -> None:
    write_later(tmp_path / "source" / "HGG" / "Brats18_2013_10_1", OLDER, 1, 2, 4)
    listed, out = prepared("brats", tmp_path / "source", tmp_path)
    assert set(np.unique(read(out / str(listed.cases[0].labels)))) == {0, 1, 2, 4}
    assert listed.cases[0].absent == ("Non-enhancing tumour",)
    for i, path in enumerate(listed.cases[0].images):
        assert np.array_equal(read(out / path), image_of(i))


@pytest.mark.parametrize(
    ("endings", "more", "submitted"),
    [
        (OLDER, (), {"3": 1}),
        (OF_2023, (), {"3": 1, "4": 3}),
        (OLDER, ("--three-structures",), {"3": 4}),
        (OF_2023, ("--three-structures",), {"3": 3}),
    ],
    ids=["2018", "2023", "2018 of three", "2023 of three"],
)
def test_the_servers_of_later_years_know_cases_by_their_names_and_labels_by_their_own(
    endings: tuple[str, ...], more: tuple[str, ...], submitted: dict[str, int], tmp_path: Path
) -> None:
    write_later(tmp_path / "brats" / "Brats18_TCIA01_378_1", endings, 1, 2, 3 if endings is OF_2023 else 4)
    listed, _ = prepared("brats", tmp_path / "brats", tmp_path, *more)
    assert listed.cases[0].submission_name == "Brats18_TCIA01_378_1"
    assert listed.preparation["submitted"] == submitted


def test_the_label_3_of_2023_becomes_enhancing_tumour(tmp_path: Path) -> None:
    write_later(tmp_path / "source" / "BraTS-GLI-00002-000", OF_2023, 1, 2, 3)
    listed, out = prepared("brats", tmp_path / "source", tmp_path)
    assert np.array_equal(read(out / str(listed.cases[0].labels)), labels_of(1, 2, 4))
    assert listed.preparation["relabelled"]["3"] == 4


@pytest.mark.parametrize(("endings", "given"), [(OLDER, (1, 2, 4)), (OF_2023, (1, 2, 3))])
def test_three_structures_have_labels_without_a_gap(
    tmp_path: Path, endings: tuple[str, ...], given: tuple[int, ...]
) -> None:
    write_later(tmp_path / "source" / "BraTS-GLI-00002-000", endings, *given)
    listed, out = prepared("brats", tmp_path / "source", tmp_path, "--three-structures")
    assert np.array_equal(read(out / str(listed.cases[0].labels)), labels_of(1, 2, 3))
    assert list(listed.structures.values()) == ["Necrosis", "Oedema", "Enhancing tumour"]


def test_a_label_that_the_release_does_not_have_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_later(tmp_path / "source" / "BraTS-GLI-00002-000", OF_2023, 1, 2, 4)
    assert main(["brats", str(tmp_path / "source"), str(tmp_path / "out")]) == 1
    assert "Its labels hold 4" in capsys.readouterr().err


def test_visits_of_2023_belong_to_their_patient(tmp_path: Path) -> None:
    for visit in ("000", "001"):
        write_later(tmp_path / "source" / f"BraTS-GLI-00002-{visit}", OF_2023, 1, 2, 3)
    found = find_brats(tmp_path / "source", "brats")
    assert {case.patient for case in found.cases} == {"BraTS-GLI-00002"}


def test_releases_that_number_labels_differently_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_later(tmp_path / "source" / "BraTS-GLI-00002-000", OF_2023, 1, 2, 3)
    write_later(tmp_path / "source" / "BraTS20_Training_001", OLDER, 1, 2, 4)
    assert main(["brats", str(tmp_path / "source"), str(tmp_path / "out")]) == 1
    assert "prepare them separately" in capsys.readouterr().err


def test_the_normalisation_is_mean_0_and_deviation_1_of_the_brain_extremes_aside(tree: Path, tmp_path: Path) -> None:
    listed, out = prepared("brats2015", tree, tmp_path, "--normalise", "deepmedic")
    case = listed.cases[0]
    for i, path in enumerate(case.images):
        original = image_of(i).astype(np.float64)
        brain = original[original != 0]
        low, high = np.percentile(brain, [5, 95])
        within = brain[(brain >= low) & (brain <= high) & (abs(brain - brain.mean()) <= 3 * brain.std())]
        wanted = (original - within.mean()) / within.std()
        np.testing.assert_allclose(read(out / path), wanted, atol=1e-4)
        assert case.background is not None
        assert case.background[i] == pytest.approx(-within.mean() / within.std(), rel=1e-5)
    assert listed.preparation["normalization"]["mask"] == "nonzero"


def test_a_real_glioma_of_four_sequences_is_prepared_with_its_brain(reference_data: Path, tmp_path: Path) -> None:
    place = "{case}/brats_space"
    options = ["--channels", "FLAIR,T1,T1c,T2", "--structures", "Necrosis,Edema", "--roi", "brain"]
    for name in ("fla", "t1", "t1c", "t2"):
        options += ["--images", f"{place}/*_{name}_bet"]
    options += ["--labels", f"{place}/fusion/mav", "--normalise", "deepmedic"]
    listed, out = prepared("folder", reference_data / "brain_tcga_lgg", tmp_path, *options)
    case = listed.cases[0]
    assert (case.name, case.voxels) == ("TCGA-DU-7294", {"1": 9281, "2": 14907})
    roi, labels = read(out / str(case.roi)) > 0, read(out / str(case.labels))
    assert roi[labels > 0].mean() > 0.99
    assert 0.1 < roi.mean() < 0.3
    for i, path in enumerate(case.images):
        values = read(out / path)
        assert abs(np.median(values[roi])) < 0.5
        assert case.background is not None
        assert np.median(values[~roi]) == pytest.approx(case.background[i], abs=1e-5)


def test_what_was_prepared_is_what_the_experiments_on_brats_expect(tree: Path, tmp_path: Path) -> None:
    _, out = prepared("brats2015", tree, tmp_path)
    config = load_config(ROOT / "Training" / "configs" / "brats2015" / "afn-1.toml", ["data.watch=0"])
    data = load_data(config, out)
    assert [source.name for source in data.train] == [
        "brats_2013_pat0001_1", "brats_tcia_pat484_0001", "brats_tcia_pat484_0093",
    ]  # fmt: skip
    assert data.train[0].case.image.shape[0] == 4
