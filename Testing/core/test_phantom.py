"""The pelvic CT phantom: repeatable, anatomical, and in Hounsfield units."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from AutofocusCore.errors import SettingError
from AutofocusCore.phantom import PHANTOM_STRUCTURES, make_phantom
from AutofocusCore.phantom.findings import Findings

LABEL = {name: label for label, name in PHANTOM_STRUCTURES.items()}
SEEDS = [0, 1, 2]


@cache
def phantom(seed: int) -> tuple[sitk.Image, sitk.Image]:
    return make_phantom(seed)


def arrays(seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    image, labels = phantom(seed)
    return sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(labels)


def digest(image: sitk.Image) -> str:
    return hashlib.sha256(sitk.GetArrayViewFromImage(image).tobytes()).hexdigest()


def centre(labels: sitk.Image, name: str) -> NDArray[np.float64]:
    """Centre of a structure in the patient (LPS, mm)."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(labels)
    return np.array(statistics.GetCentroid(LABEL[name]))


def test_a_seed_gives_the_same_scan_in_another_process() -> None:
    code = (
        "import hashlib, SimpleITK as sitk; from AutofocusCore.phantom import make_phantom;"
        "print(*(hashlib.sha256(sitk.GetArrayViewFromImage(i).tobytes()).hexdigest() for i in make_phantom(1)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert printed == [digest(image) for image in phantom(1)]


def test_seeds_give_different_patients() -> None:
    assert len({digest(phantom(seed)[1]) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_structure_is_there_in_one_piece(seed: int) -> None:
    _, labels = arrays(seed)
    assert set(np.unique(labels)) == {0, *PHANTOM_STRUCTURES}
    for label in PHANTOM_STRUCTURES:
        pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(phantom(seed)[1] == label))
        assert pieces.max() == 1, PHANTOM_STRUCTURES[label]


@pytest.mark.parametrize("seed", SEEDS)
def test_structures_lie_where_they_do_in_a_patient(seed: int) -> None:
    image, labels = phantom(seed)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    prostate, vesicles, bladder, rectum, left, right = (centre(labels, name) for name in LABEL)
    assert left[0] - right[0] > 150, "the left femur lies on the left, which is +x"
    assert bladder[2] > prostate[2] + 15, "the bladder sits on the prostate"
    assert vesicles[2] > prostate[2], "the seminal vesicles lie above the prostate"
    assert bladder[1] < vesicles[1] < rectum[1] + 10, "from front to back: bladder, vesicles, rectum"
    assert prostate[1] < rectum[1]


def test_bladders_and_rectums_vary_widely() -> None:
    volumes = {name: [] for name in ("bladder", "rectum")}
    for seed in range(8):
        _, labels = make_phantom(seed, size=(56, 48, 40), spacing=(6.0, 6.0, 6.0))
        for name, found in volumes.items():
            found.append((sitk.GetArrayViewFromImage(labels) == LABEL[name]).sum() * 0.216)
    assert max(volumes["bladder"]) > 4 * min(volumes["bladder"])
    assert max(volumes["rectum"]) > 3 * min(volumes["rectum"])


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_have_their_hounsfield_units(seed: int) -> None:
    image, labels = arrays(seed)
    assert image.dtype == np.int16
    assert np.median(image[:, 0, :]) < -950, "air in front of the patient"
    for name in ("left femur", "right femur"):
        assert 200 < image[labels == LABEL[name]].mean() < 800
    for name in ("prostate", "seminal vesicles"):
        assert 5 < np.median(image[labels == LABEL[name]]) < 65
    outside = image[(labels == 0) & (image > -300)]
    fat, soft = (outside > -130) & (outside < -70), (outside > 20) & (outside < 90)
    assert fat.mean() > 0.08
    assert soft.mean() > 0.2


def test_a_finer_grid_shows_the_same_patient() -> None:
    _, coarse = arrays(2)
    _, fine = make_phantom(2, size=(216, 168, 120), spacing=(2.0, 2.0, 2.0))
    fine_labels = sitk.GetArrayViewFromImage(fine)
    for label, name in PHANTOM_STRUCTURES.items():
        volumes = (coarse == label).sum() * 27.0, (fine_labels == label).sum() * 8.0
        assert volumes[1] == pytest.approx(volumes[0], rel=0.06), name


def test_noise_falls_with_dose() -> None:
    images = [sitk.GetArrayFromImage(make_phantom(0, size=(64, 48, 16), dose=dose)[0]) for dose in (0.1, 1.0, 10.0)]
    quiet = images[-1].astype(float)
    inside = (quiet > 0) & (quiet < 100)
    assert (images[0] - quiet)[inside].std() > 2 * (images[1] - quiet)[inside].std() > 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0, "size": (4, 40, 40)}, r"size is \(4, 40, 40\)"),
        ({"seed": 0, "spacing": (3.0, 0.0, 3.0)}, "spacing is"),
        ({"seed": 0, "dose": 0.0}, "dose is 0.0"),
    ],
)
def test_what_makes_no_scan_is_refused_by_name(options: dict, named: str) -> None:
    with pytest.raises(SettingError, match=named):
        make_phantom(**options)


def drawn(seed: int) -> Findings:
    return Findings.drawn(np.random.default_rng([seed, 4]))


@cache
def with_prosthesis() -> tuple[int, float]:
    """The first seed with a hip prosthesis, and its side."""
    return next((seed, side) for seed in range(100) if (side := drawn(seed).prosthesis) is not None)


def test_every_kind_of_finding_is_drawn_for_some_patients_and_never_for_all() -> None:
    found = [dataclasses.asdict(drawn(seed)) for seed in range(300)]
    plain = dataclasses.asdict(Findings())
    for kind in plain:
        share = np.mean([one[kind] != plain[kind] for one in found])
        assert 0.05 < share < 0.7, kind
    kinds = [sum(one[kind] != plain[kind] for kind in plain) for one in found]
    assert np.mean([count >= 2 for count in kinds]) > 0.75


def test_without_findings_a_patient_has_the_same_anatomy() -> None:
    seed, _ = with_prosthesis()
    coarse = {"size": (72, 56, 40), "spacing": (6.0, 6.0, 6.0)}
    plain, found = (sitk.GetArrayFromImage(make_phantom(seed, findings=f, **coarse)[1]) for f in (False, True))
    changed = plain != found
    assert set(found[changed]) <= {1}, "only a median lobe, which is prostate, takes voxels of another structure"
    assert changed.sum() < 0.02 * (plain > 0).sum()


def test_a_prosthesis_is_metal_within_the_femur_and_sends_streaks_through_its_slices() -> None:
    seed, side = with_prosthesis()
    (image, labels), (plain, _) = (
        (sitk.GetArrayFromImage(i) for i in make_phantom(seed, findings=f, dose=10.0)) for f in (True, False)
    )
    femur, other = (LABEL["left femur"], LABEL["right femur"])[:: int(side)]
    metal = image > 2500
    assert metal[labels == femur].sum() * 0.027 > 15, "mL of metal"
    assert not metal[labels == other].any()
    crossed = metal.any(axis=(1, 2))
    organs = (labels > 0) & (labels < 5)
    beside, above = (organs & crossed[:, None, None]), (organs & ~crossed[:, None, None])
    change = image.astype(float) - plain
    assert change[beside].std() > 20
    assert np.percentile(np.abs(change[above]), 80) < 10


def test_markers_and_calcifications_stay_in_the_prostate_and_a_balloon_in_the_bladder() -> None:
    marked = next(s for s in range(100) if drawn(s).markers and not drawn(s).gland_calcifications)
    image, labels = (sitk.GetArrayFromImage(i) for i in make_phantom(marked))
    assert 1 <= (image[labels == LABEL["prostate"]] > 600).sum() < 40
    blocked = next(s for s in range(200) if drawn(s).balloon and drawn(s).prosthesis is None)
    with_balloon, without = (make_phantom(blocked, dose=10.0, findings=f) for f in (True, False))
    labels = sitk.GetArrayFromImage(with_balloon[1])
    wall = sitk.GetArrayFromImage(with_balloon[0]).astype(float) - sitk.GetArrayFromImage(without[0])
    assert (wall[labels == LABEL["bladder"]] > 40).sum() * 0.027 > 1, "mL of the balloon's wall"


def test_a_median_lobe_bulges_into_the_bladder() -> None:
    seed = next(s for s in range(100) if drawn(s).median_lobe > 11)
    coarse = {"size": (72, 56, 40), "spacing": (6.0, 6.0, 6.0)}
    plain, found = (sitk.GetArrayFromImage(make_phantom(seed, findings=f, **coarse)[1]) for f in (False, True))
    gained = (found == LABEL["prostate"]) & (plain != LABEL["prostate"])
    assert gained.sum() * 0.216 > 1, "mL"
    assert (plain[gained] == LABEL["bladder"]).mean() > 0.3
    assert np.nonzero(found == LABEL["prostate"])[0].max() > np.nonzero(plain == LABEL["prostate"])[0].max()
