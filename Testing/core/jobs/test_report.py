"""The report of a case: what it says first, which slices it shows, and that it prints."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.jobs.measure import measure
from AutofocusCore.jobs.page import estimate_cell, table
from AutofocusCore.jobs.report import best_plane, write_report
from AutofocusCore.review import Assessment, Estimate, Place
from Testing.small_models import small_spec

FIRST, SECOND = (structure.name for structure in small_spec().structures)


def scan_and_labels() -> tuple[sitk.Image, sitk.Image]:
    values = np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32)
    found = np.zeros(values.shape, np.uint8)
    found[2:16, 3:9, 4:10] = 1
    found[12:15, 15:20, 20:24] = 2
    images = sitk.GetImageFromArray(values), sitk.GetImageFromArray(found)
    for image in images:
        image.SetSpacing((2.0, 2.0, 3.0))
        image.SetOrigin((-10.0, 5.0, 100.0))
    return images


def test_the_slice_that_is_shown_has_all_structures_where_one_has() -> None:
    image, labels = scan_and_labels()
    found = sitk.GetArrayFromImage(labels)
    k = image.TransformPhysicalPointToIndex(best_plane(image, found, np.array([0.0, 0.0, 1.0])).tolist())[2]
    assert set(np.unique(found[k])) == {0, 1, 2}
    assert best_plane(image, np.zeros_like(found), np.array([0.0, 0.0, 1.0])) is None


def test_a_turned_scan_is_sliced_across_its_own_axes() -> None:
    image, labels = scan_and_labels()
    turned = sitk.PermuteAxes(image, (2, 0, 1))
    found = sitk.GetArrayFromImage(sitk.PermuteAxes(labels, (2, 0, 1)))
    there = best_plane(turned, found, np.array([0.0, 0.0, 1.0]))
    here = best_plane(image, sitk.GetArrayFromImage(labels), np.array([0.0, 0.0, 1.0]))
    assert there[2] == here[2]


def test_the_report_begins_with_what_was_found_and_what_to_check_first(tmp_path: Path) -> None:
    image, labels = scan_and_labels()
    spec = small_spec()
    estimates = {FIRST: Estimate(0.85, 0.8, 0.9, False), SECOND: Estimate(0.5, 0.3, 0.6, True)}
    places = (Place(SECOND, 2, (32.0, 39.0, 139.0), 0.4, 0.1, 0.3),)
    measured = measure(labels, spec.structures, image)
    record = {"created": "2026-11-30T01:50:51+00:00", "inputs": {"MR": "a<b.nii.gz"}}
    write_report(tmp_path / "x.html", image, labels, spec, measured, Assessment(estimates, places, (), True), record)
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert f"2 of 2 structures found; check first: {SECOND}; 1 place to look at." in text
    assert "2026-11-30 01:50 UTC" in text
    assert "a&lt;b.nii.gz" in text
    assert len(re.findall("data:image/png", text)) == 4
    assert "@media print" in text
    assert text.count("<thead>") == 2, "headers are printed again on every sheet"


def test_an_estimate_is_a_text_and_a_bar_of_its_interval() -> None:
    cell = estimate_cell(Estimate(0.5, 0.3, 0.6, True))
    assert "0.50 (0.30 to 0.60)" in cell
    assert "left:30%;width:30%" in cell
    assert "check this contour" in cell
    assert estimate_cell(None) == "No estimate"


def test_cells_are_text_unless_they_are_said_to_be_html() -> None:
    assert "<td>&lt;b&gt;</td>" in table(("Name",), [("<b>",)])
    assert '<td class="n"><b></td>' in table(("Name",), [("<b>",)], numbers=(0,), raw=True)
