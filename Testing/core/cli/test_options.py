"""Values of the options that `segment` and `batch` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from AutofocusCore.cli.options import (
    add_engine_options,
    check_layers,
    frame,
    layers,
    memory,
    natural,
    non_negative,
    positive_int,
    roi,
    settings_for_workers,
    settings_of,
)
from AutofocusCore.errors import SettingError
from Testing.small_models import small_spec


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_engine_options(parser)
    return parser.parse_args(words)


def test_sizes_of_memory_have_units() -> None:
    assert [memory(text) for text in ("4G", "1.5 GiB", "512m", "1000")] == [2**32, 3 * 2**29, 2**29, 1000]


def test_a_region_is_a_box_in_ras_or_lps_or_else_the_file_of_a_mask() -> None:
    assert roi("1,2,3,4,5,6") == roi("RAS:1,2,3,4,5,6") == (None, (-1.0, -2.0, 3.0, -4.0, -5.0, 6.0))
    assert roi("lps:1,2,3,4,5,6") == (None, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    assert roi("mask,1.nii.gz") == ("mask,1.nii.gz", None)


def test_a_mask_whose_name_has_five_commas_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a,b,c,d,e,f.nrrd"
    path.touch()
    assert roi(str(path)) == (str(path), None)


def test_layers_are_counted_from_1_by_people_and_given_once() -> None:
    assert layers("4,1, 4") == (0, 3)


def test_a_frame_is_a_number_from_0_or_all() -> None:
    assert (frame("0"), frame("12"), frame("ALL")) == (0, 12, "all")


@pytest.mark.parametrize(
    ("read", "text", "why"),
    [
        (memory, "0", "'0' is no size of memory; write 4G or 512M"),
        (memory, "much", "'much' is no size of memory"),
        (roi, "1,2,3", "a box has six numbers, and '1,2,3' has 3"),
        (roi, "1,2,3,4,5,nan", "'1,2,3,4,5,nan' is no box; write x0,y0,z0,x1,y1,z1 in mm, finite numbers"),
        (roi, "1,2,3,4,5,--6", "'1,2,3,4,5,--6' is no box; write x0,y0,z0,x1,y1,z1 in mm"),
        (roi, "1,2,3,4,2,6", "is flat; its two corners must differ along every axis"),
        (non_negative, "-1", "'-1' is not a number from 0 up"),
        (non_negative, "inf", "'inf' is not a number from 0 up"),
        (non_negative, "few", "'few' is not a number from 0 up"),
        (positive_int, "0", "'0' is not a whole number from 1 up"),
        (natural, "-1", "'-1' is not a whole number from 0 up"),
        (frame, "last", "'last' is not a whole number from 0 up"),
        (layers, "1,x", "'x' is not a whole number from 1 up"),
        (layers, "0", "'0' is not a whole number from 1 up"),
    ],
)
def test_other_values_are_refused_with_the_value_and_what_to_write(
    read: Callable[[str], Any], text: str, why: str
) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    assert why in str(caught.value)


def test_options_become_settings() -> None:
    box = settings_of(given("--roi", "LPS:0,0,0,1,2,3", "--memory-limit", "1G", "--smallest-island", "2.5"))
    assert (box.roi_mask, box.roi_box) == (None, (0, 0, 0, 1, 2, 3))
    assert (box.memory_limit, box.smallest_island_mm3, box.device, box.mode) == (2**30, 2.5, "auto", "exact")


def test_workers_get_the_mask_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings_for_workers(given("--roi", "mask.nrrd")).roi_mask == str(Path.cwd() / "mask.nrrd")
    assert settings_for_workers(given()).roi_mask is None


def test_layers_that_the_model_lacks_are_named_as_they_were_given() -> None:
    one = small_spec(architecture={"architecture": "afn-1", "in_channels": 1, "num_classes": 3})
    check_layers(given("--attention-layers", "1").attention_layers, one)
    with pytest.raises(SettingError, match=r"no autofocus layer 2 or 5; give .* numbers from 1 to 1"):
        check_layers(given("--attention-layers", "1,2,5").attention_layers, one)


def test_a_model_without_autofocus_layers_has_none_to_choose() -> None:
    basic = small_spec(architecture={"architecture": "basic", "in_channels": 1, "num_classes": 3})
    with pytest.raises(SettingError, match="has no autofocus layers; leave out --attention-layers"):
        check_layers(given("--attention-layers", "1").attention_layers, basic)
