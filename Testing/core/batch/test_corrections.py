"""Which segmentation belongs to which images, in folders and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from AutofocusCore.batch.corrections import read_corrections
from AutofocusCore.errors import InputError
from AutofocusCore.models import Channel

CT = (Channel("CT", "CT", ("*ct*",)),)
MR = (Channel("T1", "MR", ("*t1*",)), Channel("FLAIR", "MR", ("*flair*",)))
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a folder with empty files of these names; only names are looked at."""

    def files(*names: str) -> Path:
        for name in names:
            path = tmp_path / "corrected" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "corrected"

    return files


def found(folder: Path, channels: Sequence[Channel] = CT) -> dict[str, tuple[list[str], str]]:
    said: list[str] = []
    cases = read_corrections(folder, channels, said.append)
    return {case.name: ([Path(path).name for path in case.images], Path(case.labels).name) for case in cases}


def test_files_beside_each_other_belong_together_by_their_names(make: Make) -> None:
    folder = make(
        "anna.nii.gz", "anna.seg.nrrd", "bert_ct.nrrd", "bert_labels.nrrd", "cleo_ct.nii.gz", "cleo-seg.nii.gz"
    )
    assert found(folder) == {
        "anna": (["anna.nii.gz"], "anna.seg.nrrd"),
        "bert_ct": (["bert_ct.nrrd"], "bert_labels.nrrd"),
        "cleo_ct": (["cleo_ct.nii.gz"], "cleo-seg.nii.gz"),
    }


def test_a_folder_for_each_case_holds_its_image_and_its_segmentation(make: Make) -> None:
    folder = make("anna/CT.nii.gz", "anna/Segmentation.seg.nrrd", "bert/scan.nrrd", "bert/labels.nrrd")
    assert found(folder) == {
        "anna": (["CT.nii.gz"], "Segmentation.seg.nrrd"),
        "bert": (["scan.nrrd"], "labels.nrrd"),
    }


@pytest.mark.parametrize("names", [("images", "labels"), ("imagesTr", "labelsTr")])
def test_a_folder_of_images_and_one_of_labels_pair_files_of_one_name(make: Make, names: tuple[str, str]) -> None:
    images, labels = names
    folder = make(f"{images}/a.nii.gz", f"{images}/b.nii.gz", f"{labels}/a.nii.gz", f"{labels}/b.seg.nrrd")
    assert found(folder) == {"a": (["a.nii.gz"], "a.nii.gz"), "b": (["b.nii.gz"], "b.seg.nrrd")}


def test_all_channels_of_a_case_share_a_segmentation(make: Make) -> None:
    folder = make("anna_t1.nii.gz", "anna_flair.nii.gz", "anna_seg.nii.gz")
    assert found(folder, MR) == {"anna": (["anna_t1.nii.gz", "anna_flair.nii.gz"], "anna_seg.nii.gz")}


def test_a_table_names_the_segmentation_of_each_case(make: Make) -> None:
    folder = make("a.nii.gz", "b.nii.gz", "one.seg.nrrd", "two.seg.nrrd")
    table = folder / "cases.csv"
    table.write_text("case,CT,labels\nanna,a.nii.gz,one.seg.nrrd\n\nbert,b.nii.gz,two.seg.nrrd\n")
    assert found(table) == {"anna": (["a.nii.gz"], "one.seg.nrrd"), "bert": (["b.nii.gz"], "two.seg.nrrd")}
    table.write_text("case;CT;segmentation\nanna;a.nii.gz;one.seg.nrrd\n")
    assert found(table) == {"anna": (["a.nii.gz"], "one.seg.nrrd")}
    table.write_text("case,CT\nanna,a.nii.gz\n")
    with pytest.raises(InputError, match="has no column 'labels'; add it; there are case, CT"):
        found(table)
    table.write_text("case,CT,labels\nanna,a.nii.gz,\n")
    with pytest.raises(InputError, match="names no segmentation for anna; fill in the column 'labels'"):
        found(table)


def test_cases_without_a_segmentation_are_named_and_left_out(make: Make) -> None:
    folder = make("anna.nii.gz", "anna.seg.nrrd", "bert.nii.gz")
    said: list[str] = []
    assert [case.name for case in read_corrections(folder, CT, said.append)] == ["anna"]
    assert said == ["1 case has no segmentation, and nothing is learned from them: bert."]


def test_a_folder_without_any_segmentation_and_a_case_with_two_are_refused(make: Make) -> None:
    folder = make("anna.nii.gz", "bert.nii.gz")
    with pytest.raises(InputError, match=r"no corrected case: no image has a segmentation beside it; put "):
        found(folder)
    make("anna.seg.nrrd", "anna_labels.nii.gz", "cleo/x.nii.gz", "cleo/one.seg.nrrd", "cleo/two.seg.nrrd")
    with pytest.raises(InputError, match=r"The case cleo has 2 segmentations: one.seg.nrrd, two.seg.nrrd; leave one"):
        found(folder)


def test_the_segmentation_of_another_patient_is_not_taken(make: Make) -> None:
    folder = make("anna.nii.gz", "anna.seg.nrrd", "bert.nii.gz", "carl.seg.nrrd")
    assert list(found(folder)) == ["anna"]


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table or folder"):
        found(tmp_path / "nowhere")
