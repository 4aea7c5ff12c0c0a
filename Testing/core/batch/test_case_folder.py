"""A folder of scans: every image is a case, or a line says that it is none, and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from AutofocusCore.batch import Case, read_cohort
from AutofocusCore.errors import InputError
from AutofocusCore.models import Channel

CT = (Channel("CT", "CT", ("*ct*", "*phantom*")),)
HIPPOCAMPUS = (Channel("T1", "MR", ("*hippocampus*", "*t1*")),)
DUO = (Channel("T1", "MR", ("*t1*",)), Channel("T2", "MR", ("*t2*",)))
IN_A_TABLE = "; if one is a case, list the cases in a table."


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def read(folder: Path, channels: tuple[Channel, ...]) -> tuple[list[Case], list[str]]:
    """The cases, and what was said of the others."""
    lines: list[str] = []
    return read_cohort(folder, channels, leave_out=folder / "out", say=lines.append), lines


def names_in(folder: Path, channels: tuple[Channel, ...] = CT) -> list[str]:
    cases, lines = read(folder, channels)
    assert lines == []
    return [case.name for case in cases]


def test_patients_whose_names_hold_the_letters_of_a_pattern_do_not_push_the_others_out(tmp_path: Path) -> None:
    touch(tmp_path, "anna.nii.gz", "bert.nii.gz", "victor.nii.gz", "Ctibor.nii.gz")
    assert names_in(tmp_path) == ["Ctibor", "anna", "bert", "victor"]


def test_an_image_that_is_named_unlike_the_others_is_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "const.nii.gz", "patient_001.nii.gz", *(f"hippocampus_00{n}.nii.gz" for n in (1, 3, 4, 6)))
    assert len(names_in(tmp_path, HIPPOCAMPUS)) == 6


def test_numbers_after_a_common_name_are_cases(tmp_path: Path) -> None:
    touch(tmp_path, "study_ct.nii.gz", "study_01.nii.gz", "study_02.nii.gz", "mask_trial_07.nii.gz")
    assert names_in(tmp_path) == ["mask_trial_07", "study_01", "study_02", "study_ct"]


def test_label_maps_beside_their_images_are_left_out_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "anna.nii.gz", "anna_seg.nii.gz", "bert_ct.nrrd", "labels-bert.nrrd", "bert_liver_mask.nrrd")
    touch(tmp_path, "carl.nii.gz", "carl.seg.nrrd", "carl_probabilities.nrrd", "mask.nii.gz", "lonely_labels.nii.gz")
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["anna", "bert_ct", "carl", "lonely_labels"]
    assert lines == [
        f"1 file is skipped because it is a segmentation (.seg.nrrd): carl.seg.nrrd{IN_A_TABLE}",
        "5 files are skipped because their names say that they are label maps or maps of other images: "
        f"anna_seg.nii.gz, bert_liver_mask.nrrd, carl_probabilities.nrrd and 2 more{IN_A_TABLE}",
    ]


def test_a_label_map_of_an_earlier_run_is_known_by_its_legend(tmp_path: Path) -> None:
    touch(tmp_path, "anna.nii.gz", "result.nii.gz", "bert.nii.gz", "anna.csv")
    (tmp_path / "result.json").write_text('{"structures": [], "provenance": null}', encoding="utf-8")
    (tmp_path / "bert.json").write_text('{"RepetitionTime": 2.0}', encoding="utf-8")
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["anna", "bert"]
    assert lines == [
        f"1 file is skipped because the sidecar beside it says that it is a label map: result.nii.gz{IN_A_TABLE}"
    ]


def test_another_modality_of_a_patient_is_left_out_where_the_wanted_one_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "anna_ct.nii.gz", "anna_t1.nii.gz", "t2_bert.nii.gz", "ct_bert.nii.gz", "carl_t1.nii.gz")
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["anna_ct", "carl_t1", "ct_bert"]
    assert lines == [
        "2 files are skipped because they are further images of cases that have one for CT (*ct*, *phantom*): "
        f"anna_t1.nii.gz, t2_bert.nii.gz{IN_A_TABLE}",
        "1 image is segmented though the name says another modality than CT (*ct*, *phantom*): carl_t1.nii.gz; check "
        "the result with care, or list the cases in a table.",
    ]


def test_case_folders_and_files_beside_them_are_read_together(tmp_path: Path) -> None:
    touch(tmp_path, "p1/a.nii.gz", "p2/a.nii.gz", "atlas.nii.gz", "out/p1.nii.gz", "readme.txt", "notes/a.txt")
    touch(tmp_path, "old/.autofocus-batch/lock", "old/p1.nii.gz", "masks/p1.nii.gz", "masks/atlas.nii.gz")
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["atlas", "p1", "p2"]
    assert lines == [
        f"1 folder is skipped because it holds the results of a batch: old/{IN_A_TABLE}",
        "1 folder is skipped because its name says that it is a label map or a map of other images: "
        f"masks/{IN_A_TABLE}",
        f"1 folder is skipped because it holds no image: notes/{IN_A_TABLE}",
    ]


def test_a_file_and_a_folder_of_the_same_name_are_refused_in_a_sentence(tmp_path: Path) -> None:
    touch(tmp_path, "p1/a.nii.gz", "p1.nii.gz")
    with pytest.raises(InputError, match="Two cases are named p1; give each a name of its own"):
        read(tmp_path, CT)


def test_files_that_fit_no_channel_are_counted(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "A_t1.nii.gz",
        "A_t2.nii.gz",
        "B_t1.nii.gz",
        "flairs.nii.gz",
        "A_t1_seg.nii.gz",
        "C/t1.nii",
        "C/t2.nii",
    )
    cases, lines = read(tmp_path, DUO)
    assert [(case.name, case.problem is None) for case in cases] == [("A", True), ("B", False), ("C", True)]
    assert lines == [
        "1 file is skipped because its name says that it is a label map or a map of other images: "
        f"A_t1_seg.nii.gz{IN_A_TABLE}",
        f"1 file is skipped because it fits no channel (T1: *t1*; T2: *t2*): flairs.nii.gz{IN_A_TABLE}",
    ]


def test_patients_with_numbers_are_told_from_sequences_with_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"patient{n}_t{t}.nii.gz" for n in (1, 2) for t in (1, 2)), "t1_patient3.nii", "t2_patient3.nii")
    cases, lines = read(tmp_path, DUO)
    assert [(case.name, case.problem) for case in cases] == [(f"patient{n}", None) for n in (1, 2, 3)]
    assert lines == []


def test_files_of_one_patient_who_has_no_name_are_named_after_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "Anna/t1.nii", "Anna/t2.nii")
    assert names_in(tmp_path / "Anna", DUO) == ["Anna"]


def test_what_is_left_out_of_case_folders_is_said_once_for_all(tmp_path: Path) -> None:
    touch(tmp_path, *(f"p{n}/{name}" for n in range(5) for name in ("t1.nii", "t2.nii", "dose.nii", "s.seg.nrrd")))
    _, lines = read(tmp_path, DUO)
    assert lines == [
        f"5 files are skipped because they are segmentations (.seg.nrrd): p0/s.seg.nrrd, p1/s.seg.nrrd, p2/s.seg.nrrd "
        f"and 2 more{IN_A_TABLE}",
        "5 files are skipped because they fit no channel (T1: *t1*; T2: *t2*): p0/dose.nii, p1/dose.nii, p2/dose.nii "
        f"and 2 more{IN_A_TABLE}",
    ]


def test_in_a_case_folder_the_image_is_told_from_its_label_map(tmp_path: Path) -> None:
    touch(tmp_path, "p1/scan.nii.gz", "p1/liver_seg.nii.gz", "p2/doctor.nii", "p2/ct.nii", "p3/seg.nii")
    cases, lines = read(tmp_path, CT)
    assert [Path(case.images[0]).name for case in cases] == ["scan.nii.gz", "ct.nii", "seg.nii"]
    assert [line.split(" skipped")[0] for line in lines] == ["1 file is", "1 file is"]


def test_images_of_other_formats_are_counted_and_companions_of_images_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.mhd", "b.raw", "a.json", "notes.xlsx", "README", "c.mgz", "d.dcm", "._a.nii.gz")
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["a", "b"]
    assert lines == [
        "2 files are skipped because they are of none of the formats .nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd: "
        f"c.mgz, d.dcm{IN_A_TABLE}"
    ]


def test_a_link_to_a_scan_that_is_gone_is_a_case(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    assert names_in(tmp_path) == ["a", "b"]


def test_a_case_folder_that_cannot_be_read_is_a_failed_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "p1/a.nii", "p2/a.nii")
    iterdir = Path.iterdir

    def refuse(folder: Path):  # type: ignore[no-untyped-def]
        if folder.name == "p1":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    first, second = read(tmp_path, CT)[0]
    assert first.problem == ("The folder p1 cannot be read: Permission denied", "check its permissions")
    assert second.problem is None


def test_a_case_with_very_many_files_does_not_list_them_all(tmp_path: Path) -> None:
    touch(tmp_path, *(f"p1/{n}.nii" for n in range(9)))
    (case,) = read(tmp_path, CT)[0]
    assert case.problem is not None
    assert case.problem[0] == "9 files fit the channel CT (*ct*, *phantom*): 0.nii, 1.nii, 2.nii and 6 more"


def test_another_weighting_of_the_same_patient_is_no_case(tmp_path: Path) -> None:
    touch(tmp_path, "s1_T1w.nii.gz", "s1_T2w.nii.gz", "s2_T1w.nii.gz", "s2_FLAIR.nii.gz", "s3_t1ce.nii.gz")
    touch(tmp_path, "s3_t2f.nii.gz")
    cases, lines = read(tmp_path, HIPPOCAMPUS)
    assert [case.name for case in cases] == ["s1_T1w", "s2_T1w", "s3_t1ce"]
    assert lines == [
        "3 files are skipped because they are further images of cases that have one for T1 (*hippocampus*, *t1*): "
        f"s1_T2w.nii.gz, s2_FLAIR.nii.gz, s3_t2f.nii.gz{IN_A_TABLE}"
    ]


def test_a_bids_data_set_is_its_subjects(tmp_path: Path) -> None:
    touch(tmp_path, "dataset_description.json", "derivatives/x/sub-01/sub-01_mask.nii.gz", "sub-04/anat/a.txt")
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_bold.nii.gz")
    touch(tmp_path, "sub-t1/ses-1/anat/sub-t1_ses-1_T2w.nii.gz", "sub-t1/ses-1/anat/sub-t1_ses-1_T1w.nii.gz")
    touch(tmp_path, "sub-03/anat/sub-03_run-1_T1w.nii", "sub-03/anat/sub-03_run-2_T1w.nii")
    cases, lines = read(tmp_path, HIPPOCAMPUS)
    assert [(case.name, Path(case.images[0]).name) for case in cases] == [
        ("sub-01", "sub-01_T1w.nii.gz"),
        ("sub-03_run-1", "sub-03_run-1_T1w.nii"),
        ("sub-03_run-2", "sub-03_run-2_T1w.nii"),
        ("sub-t1_ses-1", "sub-t1_ses-1_T1w.nii.gz"),
    ]
    assert [line.split(": ")[-1].split(";")[0] for line in lines] == [
        "derivatives/",
        "sub-01/func/sub-01_bold.nii.gz, sub-t1/ses-1/anat/sub-t1_ses-1_T2w.nii.gz",
        "sub-04/",
    ]


def test_the_last_word_of_a_bids_name_tells_the_modality_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    touch(tmp_path, "sub-ct2/anat/sub-ct2_T2w.nii.gz", "sub-3/anat/sub-3_rec-T1w_T2w.nii", "sub-4/anat/sub-4_T1w.nii")
    touch(tmp_path, "sub-4/anat/sub-4_space-T1w_T2w.nii", "sub-5/anat/sub-5_ce-gd_T1w.nii", "sub-6/pet/sub-6_pet.nii")
    touch(tmp_path, "sub-7/anat/sub-7_acq-t1_FLAIR.nii", "sub-8/anat/sub-8_odd.nii")
    cases, lines = read(tmp_path, HIPPOCAMPUS)
    assert {case.name: Path(case.images[0]).name for case in cases if case.problem is None} == {
        "sub-4": "sub-4_T1w.nii",
        "sub-5_ce-gd": "sub-5_ce-gd_T1w.nii",
        "sub-8": "sub-8_odd.nii",  # its name says nothing
    }
    failed = {case.name: case.problem[0] for case in cases if case.problem is not None}
    assert sorted(failed) == ["sub-3", "sub-6", "sub-7", "sub-ct2"]
    assert set(failed.values()) == {"0 files fit the channel T1 (*hippocampus*, *t1*): none"}
    assert "sub-3_rec-T1w_T2w.nii" in lines[0]


@pytest.mark.parametrize("folder", ["sub-01", "sub-01/ses-1"])
def test_a_subject_or_session_of_a_bids_data_set_is_read_as_such(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, *(f"sub-01/ses-1/anat/sub-01_ses-1_{k}.nii.gz" for k in ("T1w", "T2w", "acq-hr_T1w")))
    touch(tmp_path, "sub-01/ses-1/func/sub-01_ses-1_bold.nii.gz", "sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii.gz")
    cases, lines = read(tmp_path / folder, HIPPOCAMPUS)
    assert [case.name for case in cases] == ["sub-01_ses-1", "sub-01_ses-1_acq-hr"]
    assert [line.split(" skipped")[0] for line in lines] == ["3 files are"]


def test_the_channels_of_a_bids_visit_are_one_case(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_{kind}.nii.gz" for n in "12" for kind in ("T1w", "T2w")))
    cases, lines = read(tmp_path, DUO)
    assert [case.name for case in cases] == ["sub-1_ses-1", "sub-1_ses-2"]
    assert [[Path(image).name[-10:-7] for image in case.images] for case in cases] == [["T1w", "T2w"]] * 2
    assert lines == []


def test_a_patients_folder_may_hold_folders_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "p1/scan.nii.gz", "p1/screenshots/a.png", "p2/anat/scan.nii.gz", "p3/a/x.nii.gz", "p3/notes/n.md")
    cases, lines = read(tmp_path, CT)
    assert [(case.name, Path(case.images[0]).name) for case in cases] == [
        ("p1", "scan.nii.gz"),
        ("p2", "scan.nii.gz"),
        ("p3", "x.nii.gz"),
    ]
    assert lines == [f"2 folders are skipped because they hold no images: p1/screenshots/, p3/notes/{IN_A_TABLE}"]


def test_the_slices_of_a_folder_are_the_case_and_not_what_lies_in_a_folder_below(tmp_path: Path) -> None:
    touch(tmp_path, "p1/1", "p1/more/2")
    for name in ("p1/1", "p1/more/2"):
        (tmp_path / name).write_bytes(128 * b"\0" + b"DICM")
    cases, lines = read(tmp_path, CT)
    assert [case.images for case in cases] == [(str(tmp_path / "p1"),)]
    why = "it lies inside the folder of a DICOM series, which is the case"
    assert lines == [f"1 folder is skipped because {why}: p1/more/{IN_A_TABLE}"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Named pipes are POSIX's.")
def test_pipes_are_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "p2/b.nii.gz")
    for name in ("pipe.nii.gz", "p2/pipe", "p3/pipe"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / name)
    cases, lines = read(tmp_path, CT)
    assert [case.name for case in cases] == ["a", "p2"]
    assert "p3/" in lines[-1]
    assert "pipe.nii.gz" in lines[0]
