"""Who is in a cohort: tables as people save them, folders as people keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore.batch import Case, read_cohort
from AutofocusCore.errors import InputError
from AutofocusCore.models import Channel

CT = (Channel("CT", "CT", ("*ct*",)),)
BRAIN = (
    Channel("T1", "MR", ("*t1*",)),
    Channel("T1c", "MR", ("*t1c*", "*t1ce*")),
    Channel("FLAIR", "MR", ("*flair*",)),
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, encoding: str, delimiter: str) -> None:
    rows = [
        ["Case", "flair", "T 1", "t1_c", "note"],
        ["Müller, 'A'", "a b.nii", "sub/ü.nii", "/abs/c.nii", "x"],
        [],
        ["2", "f", "t", "c"],
    ]
    text = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    (tmp_path / "cohort.csv").write_bytes(text.encode(encoding))
    first, second = read_cohort(tmp_path / "cohort.csv", BRAIN)
    assert first.name == "Müller, 'A'"
    assert first.images == tuple(str(tmp_path / name) for name in ("sub/ü.nii", "/abs/c.nii", "a b.nii"))
    assert second == Case("2", tuple(str(tmp_path / name) for name in ("t", "c", "f")))


def test_a_table_may_say_more_of_a_case(tmp_path: Path) -> None:
    text = "case,image,roi,series,frame\na,a.nii,m.nii,2,\nb,b.nii,,,3\nc,,,,\nd,d.nii,,,x\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    a, b, c, d = read_cohort(tmp_path / "t.csv", CT)
    assert (a.roi, a.series, a.frame) == (str(tmp_path / "m.nii"), "2", None)
    assert (b.roi, b.series, b.frame) == (None, None, 3)
    assert c.problem == ("The table names no file for CT", "fill it in, in row 4")
    assert d.problem == ("The frame is 'x'", "give a whole number from 0 up, in row 5")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is empty"),
        ("case,ct\n", "holds no case"),
        ("name,ct\na,b\n", "no column 'case'"),
        ("case,pet\na,b\n", "no column 'CT'; add it; there are case, pet"),
        ("case,ct\n,b\n", "Row 2 of .* has no case name"),
        ("case,ct\na,b\na,c\n", "Two cases are named a"),
        ("case,ct\na/1,b\nA:1,c\n", "cases a/1 and A:1 would write the same files"),
        ('case,ct\n"a,b\n', "is not a valid CSV file"),
        ("case,ct\n" + "n" * 200 + ",b\n", "is too long"),
    ],
)
def test_a_faulty_table_is_named(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=cause):
        read_cohort(tmp_path / "t.csv", CT)


def test_tables_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("case,ct\nMüller,a\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 text; save it as 'CSV UTF-8'"):
        read_cohort(tmp_path / "latin.csv", CT)
    with pytest.raises(InputError, match="no table or folder"):
        read_cohort(tmp_path / "none.csv", CT)


def test_case_names_become_file_names_of_every_system() -> None:
    stems = {name: Case(name, ()).stem for name in ("a/b:c", "con", "x.", " y ", "..", ".hidden", "Ünü", "nul.1")}
    assert stems == {
        "a/b:c": "a_b_c", "con": "_con", "x.": "x", " y ": "y", "..": "_", ".hidden": "_.hidden", "Ünü": "Ünü",
        "nul.1": "_nul.1",
    }  # fmt: skip


def test_a_folder_of_files_for_one_channel(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "b_CT.nii.gz",
        "a_ct.nrrd",
        "a_labels.nii.gz",
        "c_ct.seg.nrrd",
        "readme.txt",
        ".x_ct.nii",
        "out/d_ct.nii",
    )
    cases = read_cohort(tmp_path, CT, leave_out=tmp_path / "out")
    assert [case.name for case in cases] == ["a_ct", "b_CT"]


def test_a_folder_of_files_for_several_channels(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{case}_{c}.nii.gz" for case in ("Anna", "Bob_t1test") for c in ("t1", "T1ce", "flair")))
    touch(tmp_path, "Carl_flair.nii.gz", "Carl_t1.nii.gz")
    anna, bob, carl = read_cohort(tmp_path, BRAIN)
    assert [Path(p).name for p in anna.images] == ["Anna_t1.nii.gz", "Anna_T1ce.nii.gz", "Anna_flair.nii.gz"]
    assert (bob.name, len(bob.images)) == ("Bob_t1test", 3)
    assert carl.problem is not None
    assert "0 files fit the channel T1c" in carl.problem[0]


def test_a_folder_of_folders(tmp_path: Path) -> None:
    touch(
        tmp_path, "p1/scan.nii.gz", "p2/other.nii.gz", "p2/the_ct.nii.gz", "p3/0001.dcm", "p3/0002.dcm", "p4/CT/1.dcm"
    )
    cases = read_cohort(tmp_path, CT)
    assert [(case.name, case.images) for case in cases] == [
        (name, (str(tmp_path / path),))
        for name, path in (("p1", "p1/scan.nii.gz"), ("p2", "p2/the_ct.nii.gz"), ("p3", "p3"), ("p4", "p4/CT"))
    ]


def test_folders_with_a_channel_too_many(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "p1/t1.nii",
        "p1/t1c.nii",
        "p1/flair.nii",
        "p1/flair2.nii",
        "p2/t1/1.dcm",
        "p2/t1c/1.dcm",
        "p2/flair/1.dcm",
    )
    first, second = read_cohort(tmp_path, BRAIN)
    assert first.problem == (
        "2 files fit the channel FLAIR (*flair*): flair.nii, flair2.nii", "rename them, or list the files in a table"
    )  # fmt: skip
    assert [Path(path).name for path in second.images] == ["t1", "t1c", "flair"]


def test_a_row_that_cannot_be_used_costs_its_own_case_alone(tmp_path: Path) -> None:
    rows = ["a,~nosuchuser/x,", "b,bad\0name,", "c,c.nii,²", "d,d.nii," + "9" * 5000, "e,e.nii,3", "f,f.nii,-1"]
    (tmp_path / "t.csv").write_text("case,ct,frame\n" + "\n".join(rows) + "\n", encoding="utf-8")
    cases = read_cohort(tmp_path / "t.csv", CT)
    assert [case.problem is None for case in cases] == [True, False, False, False, True, False]
    assert cases[0].images == (str(tmp_path / "~nosuchuser" / "x"),)
    assert cases[1].problem == ("The cell 'bad␀name' holds a NUL character", "write it again, in row 3")
    assert cases[2].problem == ("The frame is '²'", "give a whole number from 0 up, in row 4")
    assert cases[4].frame == 3
