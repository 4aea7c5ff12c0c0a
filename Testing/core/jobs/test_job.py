"""A job described: what it may say, and what is refused before anything is computed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from AutofocusCore.errors import OutputError, SettingError
from AutofocusCore.jobs.job import Job, Outputs, Settings

SOUND: dict[str, Any] = {"images": ["a.nii.gz"], "model": "m", "outputs": {"segmentation": "o.nii.gz"}}
MAPS = ("o_attention-1.seq.nrrd", "o_dilation-1.nrrd")


def job(folder: Path, segmentation: str = "o.nii.gz", *, image: str = "a.nii.gz", **outputs: str) -> Job:
    named = {kind: str(folder / name) for kind, name in outputs.items()}
    return Job((str(folder / image),), "m", Outputs(str(folder / segmentation), **named))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", 5),
        ("precision", []),
        ("mode", {}),
        ("memory_limit", "4G"),
        ("memory_limit", True),
        ("roi_mask", 5),
        ("roi_box", ["0", "0", "0", "9", "9", "9"]),
        ("roi_box", [0, 0, 0, 9, 9, float("nan")]),
        ("roi_box", "012345"),
        ("roi_box", 5),
        ("smallest_island_mm3", "much"),
        ("series", "abc"),
        ("series", [[]]),
        ("frame", "x"),
        ("frame", 1.5),
        ("attention_layers", ["1"]),
        ("attention_layers", 1),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(field: str, value: object) -> None:
    with pytest.raises(SettingError, match=rf"The setting {field} is .+; give .+\.$"):
        Job.from_dict({**SOUND, "settings": {field: value}})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"outputs": {"segmentation": 5}}, r"The output segmentation is 5; give the name of a file\."),
        ({"outputs": {"segmentation": None}}, "The output segmentation is None"),
        ({"outputs": {"segmentation": "o.nii", "attention": True}}, "The output attention is True; give .* a folder"),
        ({"outputs": {"segmentation": "o\0.nii"}}, "The output segmentation is"),
        ({"outputs": "o.nii"}, "The job is malformed"),
        ({"images": "a.nii.gz"}, "The job's images are 'a.nii.gz'; give a list of names"),
        ({"images": [5]}, r"The job's images are \[5\]"),
        ({"settings": "fast"}, "The job is malformed"),
        ({"settings": {"speed": 1}}, "The job is malformed"),
    ],
)
def test_a_malformed_job_is_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        Job.from_dict({**SOUND, **fields})


def test_settings_that_came_as_json_equal_those_that_did_not() -> None:
    settings = Settings(roi_box=(0, 1, 2, 3.5, 4, 5), series=("t2",), attention_layers=(0, 3), frame=2, memory_limit=9)
    values = json.loads(json.dumps({**SOUND, "settings": vars(settings)}))
    assert Job.from_dict(values).settings == settings


def test_a_json_file_of_others_is_never_replaced_by_a_legend(tmp_path: Path) -> None:
    sidecar = tmp_path / "o.json"
    for text in ('{"Modality": "MR"}', "[1, 2]", "no JSON", "", '{"structures": "many"}'):
        sidecar.write_text(text, encoding="utf-8")
        with pytest.raises(OutputError, match=r"replace .*o\.json, which is not a label sidecar; rename that file"):
            job(tmp_path).check_outputs()
        assert sidecar.read_text(encoding="utf-8") == text
        job(tmp_path, "o.seg.nrrd").check_outputs()  # has no sidecar
    sidecar.write_text('{"structures": [], "provenance": null}', encoding="utf-8")
    job(tmp_path).check_outputs()


def test_a_file_of_attention_may_be_no_input_and_no_other_output(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    with pytest.raises(OutputError, match=r"o_dilation-1\.nrrd is also an input"):
        job(tmp_path, image="maps/o_dilation-1.nrrd", attention="maps").check_outputs(MAPS)
    with pytest.raises(OutputError, match=r"Two outputs have the same name .*o_dilation-1\.nrrd"):
        job(tmp_path, attention="maps", probabilities="maps/o_dilation-1.nrrd").check_outputs(MAPS)
    (tmp_path / "maps" / MAPS[0]).mkdir()
    with pytest.raises(OutputError, match=r"o_attention-1\.seq\.nrrd is a folder"):
        job(tmp_path, attention="maps").check_outputs(MAPS)
    job(tmp_path, attention="new/maps").check_outputs(MAPS)  # the folder need not be there
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_written_is_called_as_the_user_called_it(tmp_path: Path) -> None:
    if not Path("/proc/self").exists():  # a folder that even root may not write to
        pytest.skip("There is no /proc.")
    with pytest.raises(OutputError, match=r"Cannot write /proc/o\.nii\.gz: "):
        Job((), "m", Outputs("/proc/o.nii.gz")).check_outputs()
    with pytest.raises(OutputError, match=r"Cannot write /proc/new/maps: "):
        job(tmp_path, attention="/proc/new/maps").check_outputs()


def test_an_output_whose_name_is_no_unicode_is_refused(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Names are Unicode there.")
    name = os.fsdecode(b"sc\xffan.nii.gz")
    for each in (job(tmp_path, name), job(tmp_path, attention=name), job(tmp_path, probabilities=name)):
        with pytest.raises(OutputError, match=r"sc.an\.nii\.gz has characters that are not valid .*; rename it\."):
            each.check_outputs()


def test_the_only_format_that_would_do_is_named_alone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"s\.txt has \.txt, which is not a format for it; use \.csv\."):
        job(tmp_path, statistics="s.txt").check_outputs()
