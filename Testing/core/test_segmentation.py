"""From scans to a labelmap: the same place, the same labels, whatever the grid, the region and the order of axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from AutofocusCore import build_network
from AutofocusCore.errors import Cancelled, DeviceError, InputError, ModelError, SettingError
from AutofocusCore.images import read_image
from AutofocusCore.images.geometry import Grid, model_grid
from AutofocusCore.images.resampling import sample, to_image
from AutofocusCore.models import Channel, ModelSpec, Normalization
from AutofocusCore.result import AttentionMap
from AutofocusCore.segmentation import RoiBox, segment_image
from Testing.core.small_networks import narrow_networks
from Testing.small_models import small_spec

THRESHOLDS = (1.0, 3.0)


@dataclass(frozen=True)
class Model:
    """A description and a network, without a bundle."""

    spec: ModelSpec
    network: torch.nn.Module

    def build(self) -> torch.nn.Module:
        return self.network


def describe(architecture: str, modality: str, channels: int, changes: dict[str, object]) -> ModelSpec:
    fields: dict[str, object] = {
        "channels": tuple(Channel(f"{modality}{i + 1}", modality) for i in range(channels)),
        "architecture": {"architecture": architecture, "in_channels": channels, "num_classes": 3},
    }
    return small_spec(**{**fields, **changes})


def random_model(architecture: str = "afn-1", modality: str = "MR", channels: int = 1, **changes: object) -> Model:
    """A network of random weights, scaled so that all classes occur."""
    torch.manual_seed(0)
    spec = describe(architecture, modality, channels, changes)
    with narrow_networks():
        network = build_network(**spec.architecture).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return Model(spec, network)


def threshold_model(channel: int = 0, channels: int = 1, modality: str = "MR", **changes: object) -> Model:
    """A network whose weights pass one channel on and cut it at two thresholds of the normalised intensity."""
    spec = describe("basic", modality, channels, changes)
    with narrow_networks():
        network = build_network(**spec.architecture).eval()
    first = True
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.zeros_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
            centre = module.weight.shape[-1] // 2
            module.weight.data[0, channel if first else 0, centre, centre, centre] = 1
            first = False
    gain = 8.0  # each of the three residual blocks adds its input to itself
    low, high = THRESHOLDS
    head = network.head
    head.weight.data.zero_()
    head.weight.data[1, 0], head.weight.data[2, 0] = 4 / gain, 8 / gain
    head.bias.data = torch.tensor([0.0, -4 * low, -4 * (low + high)])
    return Model(spec, network)


def blob_image(grid: Grid, at: np.ndarray, sigma: float = 5.0) -> sitk.Image:
    z, y, x = np.indices(grid.shape)
    distance = np.linalg.norm(grid.to_mm(np.stack([x, y, z], axis=-1)) - at, axis=-1)
    return to_image((1000 * np.exp(-0.5 * (distance / sigma) ** 2)).astype(np.float32), grid)


def turned_grid(seed: int, size: tuple[int, int, int] = (22, 25, 20)) -> Grid:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return Grid.from_matrix(size, rotation * rng.uniform(1.2, 2.2, 3), rng.uniform(-200, 200, 3))


def labels_of(result: object) -> np.ndarray:
    return sitk.GetArrayFromImage(result.labels)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.logical_and(first, second).sum() / (first.sum() + second.sum())


def noise_image(shape: tuple[int, int, int] = (10, 14, 12), **geometry: object) -> sitk.Image:
    image = sitk.GetImageFromArray(np.random.default_rng(0).gamma(3, 60, shape).astype(np.float32))
    for name, value in geometry.items():
        getattr(image, f"Set{name.capitalize()}")(value)
    return image


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.5)])
def test_the_labelmap_has_exactly_the_grid_of_the_image_and_lies_on_the_structure(seed: int, spacing: object) -> None:
    grid = turned_grid(seed)
    at = grid.to_mm((11, 12, 10))
    image = blob_image(grid, at)
    result = segment_image(threshold_model(spacing=spacing), [image])
    assert Grid.of(result.labels) == grid  # bit for bit
    assert result.labels.GetPixelID() == sitk.sitkUInt8
    labels = labels_of(result)
    values = sitk.GetArrayFromImage(image)
    normal = (values - values.mean()) / values.std()
    for label in (1, 2):
        z, y, x = np.nonzero(labels >= label)
        assert len(z) > 20
        np.testing.assert_allclose(grid.to_mm(np.stack([x, y, z], axis=-1).mean(axis=0)), at, atol=0.5)
        assert dice(labels >= label, normal > THRESHOLDS[label - 1]) > 0.85


def test_rotated_flipped_and_resampled_copies_get_the_same_labels_in_the_patient() -> None:
    here = Grid((22, 24, 20), (1.5, 1.5, 1.5), (-20, 30, 5), tuple(np.eye(3).ravel()))
    centre = here.to_mm((11, 12, 10))
    image = blob_image(here, centre)
    model = threshold_model(spacing=(1.5, 1.5, 1.5))
    expected = labels_of(segment_image(model, [image]))
    flipped = Grid.from_matrix(
        (24, 22, 20), np.array([[0, -1.5, 0], [1.5, 0, 0], [0, 0, -1.5]]), here.to_mm((21, 0, 19))
    )
    result = segment_image(model, [to_image(sample(image, flipped, 0.0), flipped)])
    np.testing.assert_array_equal(sample(result.labels, here, 0, nearest=True), expected)
    angle = np.radians(25)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    matrix = rotation * (1.1, 1.3, 2.0)
    turned = Grid.from_matrix((32, 28, 16), matrix, centre - matrix @ np.array([15.5, 13.5, 7.5]))
    result = segment_image(model, [to_image(sample(image, turned, 0.0), turned)])
    for label in (1, 2):
        mapped = sample(result.labels, here, 0, nearest=True)
        # Thresholds are of the copy's own mean and deviation, so that shape and place must agree, not size alone.
        z, y, x = np.nonzero(mapped >= label)
        np.testing.assert_allclose(here.to_mm(np.stack([x, y, z], axis=-1).mean(axis=0)), centre, atol=0.4)
        assert dice(mapped >= label, expected >= label) > 0.85


@pytest.mark.parametrize("channel", [0, 1])
def test_channels_on_different_grids_meet_in_millimetres(channel: int) -> None:
    first, second = turned_grid(5), turned_grid(6, size=(30, 28, 26))
    centre = first.to_mm((11, 13, 10))
    second = Grid.from_matrix(second.size, second.matrix, centre - second.matrix @ np.array([15, 14, 13]))
    at = centre + np.array([3, -4, 5])
    images = [blob_image(first, centre), blob_image(second, centre)]
    images[channel] = blob_image((first, second)[channel], at)
    result = segment_image(threshold_model(channel, channels=2, spacing=(2, 2, 2)), images)
    assert Grid.of(result.labels) == first
    z, y, x = np.nonzero(labels_of(result))
    np.testing.assert_allclose(first.to_mm(np.stack([x, y, z], axis=-1).mean(axis=0)), at, atol=0.6)


def test_an_image_on_the_models_lattice_is_never_interpolated() -> None:
    image = noise_image(spacing=(1, 2, 3))
    result = segment_image(random_model(orientation="LPS"), [image], precision="float32", probabilities=True)
    values = sitk.GetArrayFromImage(image)
    normal = (values - values.mean()) / values.std()
    network = random_model().network
    padding = 6 * [network.margin]
    volume = torch.nn.functional.pad(torch.from_numpy(normal)[None, None], padding, value=float(normal.min()))
    with torch.inference_mode():
        expected = torch.softmax(network(volume)[0], dim=0).numpy()
    found = sitk.GetArrayFromImage(result.probabilities)
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, -1), atol=1e-3)
    np.testing.assert_array_equal(labels_of(result), found.argmax(axis=-1))


@pytest.mark.parametrize(("as_mask", "mask"), [(False, "all"), (True, "nonzero")])
def test_inside_a_region_of_interest_nothing_changes_and_outside_is_background(as_mask: bool, mask: str) -> None:
    grid = turned_grid(2)
    values = np.random.default_rng(0).gamma(3, 60, grid.shape).astype(np.float32)
    values[:, :4] = 0
    image = to_image(values, grid)
    model = random_model(spacing=(2.4, 2.4, 2.4), normalization=Normalization(mask=mask, sigmas=(2, 2)))
    whole = labels_of(segment_image(model, [image], precision="float32"))
    box = RoiBox(tuple(grid.to_mm((11, 14, 10))), (16, 14, 12), tuple(turned_grid(9).direction))
    inside = box.mask_on(grid)
    roi = to_image(inside.astype(np.uint8), grid) if as_mask else box
    result = segment_image(model, [image], roi=roi, precision="float32", attention="all", probabilities=True)
    labels = labels_of(result)
    assert inside.sum() > 100
    assert len(np.unique(whole[inside])) > 1
    assert (labels[inside] != whole[inside]).mean() < 1e-3
    assert not labels[~inside].any()
    assert np.all(sitk.GetArrayFromImage(result.probabilities)[~inside] == (1, 0, 0))
    map_ = result.attention[0]
    assert map_.weights.shape[1:] == map_.grid.shape
    assert np.prod(map_.grid.shape) < 0.8 * np.prod(model_grid(grid, "RAS", model.spec.spacing).shape)
    assert np.all(map_.grid.to_index(box.corners()) > -0.5)


def ct_of_a_body() -> tuple[sitk.Image, np.ndarray]:
    """A CT of 3 mm with a cylinder of tissue above a table, and where the tissue is."""
    values = np.full((16, 40, 44), -1000, dtype=np.float32)
    _, y, x = np.indices(values.shape)
    body = ((y - 18) / 11) ** 2 + ((x - 22) / 14) ** 2 < 1
    values[body] = np.random.default_rng(0).normal(40, 60, body.sum())
    values[:, 36] = 200  # the table
    image = to_image(values, Grid((44, 40, 16), (3, 3, 3), (0, 0, 0), tuple(np.eye(3).ravel())))
    return sitk.Cast(image, sitk.sitkInt16), body


def test_the_maps_know_where_the_patient_is_and_where_air() -> None:
    image, body = ct_of_a_body()
    model = random_model("afn-1", "CT", spacing=(3, 3, 3), orientation="LPS", normalization=Normalization(mask="body"))
    map_ = segment_image(model, [image], precision="float32", attention="all").attention[0]
    first = np.rint(Grid.of(image).to_index(np.array(map_.grid.origin))).astype(int)[::-1]
    expected = body[tuple(slice(at, at + n) for at, n in zip(first, map_.weights.shape[1:], strict=True))]
    assert dice(map_.patient, expected) > 0.97
    reach = segment_image(model, [image], precision="float32", attention="all").reach
    assert reach.values[~map_.patient].max() == 0 < reach.values[map_.patient].min()
    assert segment_image(random_model(), [noise_image()], attention="all").attention[0].patient is None


def test_only_the_body_is_predicted() -> None:
    image, body = ct_of_a_body()
    model = random_model("basic", "CT", normalization=Normalization(mask="body", percentiles=(5, 95)))
    result = segment_image(model, [image], precision="float32", probabilities=True)
    beyond = sitk.GetArrayFromImage(result.probabilities)[..., 0] == 1
    assert beyond[:, 34:].all()
    assert 1 in labels_of(result)[body]
    assert 2 in labels_of(result)[body]
    assert result.warnings == ()


def test_attention_sums_to_one_and_its_effective_dilation_is_in_millimetres() -> None:
    result = segment_image(random_model(spacing=(1, 2, 4)), [noise_image(spacing=(1, 2, 4))], attention="all")
    map_ = result.attention[0]
    assert map_.rates == (2, 6, 10, 14)
    assert map_.weights.dtype == np.float32
    np.testing.assert_allclose(map_.weights.sum(axis=0), 1, atol=1e-4)
    even = AttentionMap(np.full((4, 2, 2, 2), 0.25, dtype=np.float32), map_.rates, map_.grid)
    np.testing.assert_allclose(even.effective_dilation_mm(), 8 * 2, rtol=1e-6)  # a voxel of 1 × 2 × 4 mm


def test_the_reach_is_the_sum_of_what_the_layers_chose_and_of_the_fixed_layers() -> None:
    model = random_model("afn-2", spacing=(1, 2, 4))
    image = noise_image(spacing=(1, 2, 4))
    result = segment_image(model, [image], attention="all", precision="float32")
    fixed = 1 + 1 + 4 * 2  # two plain layers, four of dilation 2, in voxels of 2 mm
    chosen = sum(map_.effective_dilation_mm() for map_ in result.attention.values())
    np.testing.assert_allclose(result.reach.values, 2 * fixed + chosen, rtol=1e-5)
    assert result.reach.grid == result.attention[0].grid
    assert segment_image(model, [image], attention=[1], precision="float32").reach is None, "a layer is missing"
    assert segment_image(random_model("basic"), [noise_image()], attention="all").reach is None


def test_small_islands_are_removed_on_request() -> None:
    grid = Grid((40, 24, 24), (1, 1, 1), (0, 0, 0), tuple(np.eye(3).ravel()))
    image = blob_image(grid, np.array([10, 12, 12]), 4) + blob_image(grid, np.array([32, 12, 12]), 1.2)
    model = threshold_model()
    whole, cleaned = (labels_of(segment_image(model, [image], smallest_island_mm3=v)) for v in (0, 60))
    assert whole[:, :, 25:].any()
    assert not cleaned[:, :, 25:].any()
    np.testing.assert_array_equal(whole[:, :, :25], cleaned[:, :, :25])


def test_of_a_structure_that_is_one_piece_small_parts_far_from_the_largest_go() -> None:
    grid = Grid((40, 24, 24), (1, 1, 1), (0, 0, 0), tuple(np.eye(3).ravel()))
    image = blob_image(grid, np.array([10, 12, 12]), 4) + blob_image(grid, np.array([32, 12, 12]), 2)
    model = threshold_model()
    whole = labels_of(segment_image(model, [image]))
    one_piece = tuple(replace(structure, connected=True) for structure in model.spec.structures)
    single = labels_of(segment_image(threshold_model(structures=one_piece), [image]))
    assert whole[:, :, 25:].any()
    assert not single[:, :, 25:].any()
    np.testing.assert_array_equal(whole[:, :, :25], single[:, :, :25])


def test_stages_are_timed_and_reported() -> None:
    seen = []
    result = segment_image(random_model("basic"), [noise_image()], progress=seen.append)
    assert set(result.seconds) == {"prepare", "predict", "resample"}
    assert all(value >= 0 for value in result.seconds.values())
    stages = list(dict.fromkeys(report.stage for report in seen))
    assert stages == ["prepare", "predict", "resample"]
    for stage in stages:
        last = [report for report in seen if report.stage == stage][-1]
        assert 0 < last.done <= last.total


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_it_can_be_cancelled_between_steps(after: int) -> None:
    calls = iter(range(1000))
    with pytest.raises(Cancelled):
        segment_image(random_model("basic"), [noise_image()], cancelled=lambda: next(calls) >= after)


def refusal(model: Model, *images: sitk.Image, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        segment_image(model, list(images), **options)
    assert caught.value.remedy
    return str(caught.value)


def test_the_wrong_number_of_channels_is_refused() -> None:
    text = refusal(random_model(channels=2), noise_image())
    assert "expects 2 images (MR1, MR2), but 1 was given" in text
    assert "expects 1 image (MR1), but 2 were given" in refusal(random_model(), noise_image(), noise_image())


def test_images_that_cannot_be_used_are_refused() -> None:
    model = random_model()
    assert "is empty: every voxel is 7" in refusal(model, sitk.Image([9, 9, 9], sitk.sitkInt16) + 7)
    assert "2-D" in refusal(model, noise_image()[:, :, 3])
    assert "2-D" in refusal(model, noise_image()[:, :, 3:4])
    assert "4 dimensions" in refusal(model, sitk.JoinSeries([noise_image(), noise_image()]))
    assert "3 values per voxel" in refusal(model, sitk.Compose([noise_image()] * 3))
    assert "too small: 12 × 3 × 10" in refusal(model, noise_image()[:, :3])
    spoilt = sitk.GetArrayFromImage(noise_image())
    spoilt[: spoilt.shape[0] // 2 + 1] = np.nan
    assert "more than half" in refusal(model, sitk.GetImageFromArray(spoilt))
    assert "is a ndarray, not an image" in refusal(model, spoilt)
    assert "is a str, not an image" in refusal(model, "a.nrrd")


@pytest.mark.parametrize("smallest", [float("nan"), -1.0, "5"])
def test_an_island_is_a_volume(smallest: object) -> None:
    with pytest.raises(SettingError, match="smallest_island_mm3"):
        segment_image(random_model(), [noise_image()], smallest_island_mm3=smallest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", [None, "hippocampus", object()]),
        ("images", [None, noise_image(), "a.nrrd", 1, np.zeros((4, 4, 4)), {1: 2}]),
        ("region of interest", ["body", ((0, 9),) * 3, True, np.ones((10, 14, 12), bool)]),
        ("probabilities", [None, "no", 1]),
        ("evidence", [None, "no", 1]),
        ("smallest_island_mm3", [None, "1", float("inf"), 1j, True]),
        ("mode", [None, 1, ["exact"]]),
        ("device", [None, True, "abacus"]),
        ("precision", [None, 16, ["float32"]]),
        ("memory_limit", [True, "1", float("nan"), 0, 1j]),
        ("attention", [0, True, "none", [0.0], [True]]),
        ("progress", ["print"]),
        ("cancelled", [False]),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_in_one_sentence_before_the_image_is_prepared(
    name: str, values: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("AutofocusCore.segmentation.prepare_checked", None)
    sound = {"model": random_model(), "channels": [noise_image()]}
    argument = {"images": "channels", "region of interest": "roi"}.get(name, name)
    for value in values:
        with pytest.raises((InputError, SettingError, DeviceError)) as caught:
            segment_image(**{**sound, argument: value})  # type: ignore[arg-type]
        sentence = str(caught.value)
        assert name.removesuffix("_limit") in sentence.lower(), (value, sentence)
        assert "\n" not in sentence
        assert len(sentence) < 250


@pytest.mark.parametrize("part", ["center", "size"])
@pytest.mark.parametrize("value", [None, 5, "abc", (1, 2), (1, 2, None), (1, 2, 3j), (1, 2, float("nan"))])
def test_a_box_takes_three_numbers(part: str, value: object) -> None:
    with pytest.raises(InputError, match="is not a box of three coordinates"):
        RoiBox(**{"center": (0, 0, 0), "size": (1, 1, 1), part: value})  # type: ignore[arg-type]


def test_a_few_voxels_without_a_value_are_filled_with_a_warning() -> None:
    spoilt = sitk.GetArrayFromImage(noise_image())
    spoilt[3, 4, 5] = np.nan
    result = segment_image(random_model("basic"), [sitk.GetImageFromArray(spoilt)])
    assert len(result.warnings) == 1
    assert "1 voxel" in result.warnings[0]


def test_channels_that_do_not_overlap_are_refused_and_little_overlap_is_remarked_on() -> None:
    model = random_model("basic", channels=2)
    far = noise_image(origin=(500, 0, 0))
    assert "The MR2 image and The MR1 image do not overlap in space" in refusal(model, noise_image(), far)
    result = segment_image(model, [noise_image(), noise_image(origin=(8, 0, 0))])
    assert "covers only 33 %" in result.warnings[0]


def test_messages_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flat.nii.gz"
    sitk.WriteImage(sitk.Image([9, 9, 9], sitk.sitkInt16), str(path))
    assert str(path) in refusal(random_model(), read_image(path).image)


def test_ct_for_a_model_of_mr_is_remarked_on() -> None:
    ct = np.full((16, 16, 16), -1000.0, dtype=np.float32)
    ct[3:12, 3:12, 3:12] = np.random.default_rng(0).normal(30, 40, (9, 9, 9))
    image = sitk.GetImageFromArray(ct.round().astype(np.int16))
    assert any("the model wants MR" in warning for warning in segment_image(random_model("basic"), [image]).warnings)
    assert segment_image(random_model("basic", "CT"), [image]).warnings == ()
    assert "the model wants CT" in segment_image(random_model("basic", "CT"), [noise_image()]).warnings[0]


def test_a_region_outside_the_image_is_refused() -> None:
    assert "does not touch" in refusal(random_model(), noise_image(), roi=RoiBox((900, 0, 0), (5, 5, 5)))


def test_settings_are_passed_on() -> None:
    with pytest.raises(SettingError):
        segment_image(random_model("basic"), [noise_image()], precision="float12")
    assert segment_image(random_model("basic"), [noise_image()], precision="float32").precision == "float32"


@pytest.mark.parametrize("kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt32, sitk.sitkFloat64])
def test_the_pixel_type_does_not_matter(kind: int) -> None:
    whole = sitk.Cast(sitk.Round(noise_image((6, 7, 8)) / 8), sitk.sitkFloat32)
    model = random_model("basic")
    expected = labels_of(segment_image(model, [whole], precision="float32"))
    np.testing.assert_array_equal(
        labels_of(segment_image(model, [sitk.Cast(whole, kind)], precision="float32")), expected
    )


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("odd_geometry/prostatex_mr_oblique/ProstateX-0218_t2_tra", "MR"),
        ("odd_geometry/niivue/FLAIR.nrrd", "MR"),
        ("odd_geometry/pyradiomics_brain_tumour_aniso/brain1_image.nrrd", "MR"),
        ("odd_geometry/niivue/shear.nii.gz", "CT"),
        ("ct_totalsegmentator/example_ct_dicom", "CT"),
    ],
)
def test_real_odd_volumes_go_all_the_way(
    reference_data: Path,
    name: str,
    modality: str,
) -> None:
    image = read_image(reference_data / name).image
    model = random_model("basic", modality, spacing=(9.0, 9.0, 9.0), normalization=Normalization(mask="body"))
    result = segment_image(model, [image])
    assert Grid.of(result.labels) == Grid.of(image)
    assert result.warnings == ()


def body_model() -> Model:
    """A network of the ROI domain for CT that looks at the body alone."""
    torch.manual_seed(0)
    options = {"norm": "fused", "domain": "roi", "dilation_rates": [1, 2]}
    spec = small_spec(
        channels=(Channel("CT", "CT"),),
        architecture={"architecture": "afn-2", "in_channels": 1, "num_classes": 3, **options},
        normalization=Normalization("window", mask="body", window=(-200.0, 400.0)),
        roi="body",
        spacing=(6.0, 6.0, 6.0),
    )
    with narrow_networks():
        network = build_network(**spec.architecture).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return Model(spec, network)


def cylinder_in_air(hu: float = 40.0) -> sitk.Image:
    """A CT of 180 mm with a cylinder of soft tissue, 100 mm wide, off the middle."""
    grid = Grid((30, 30, 30), (6.0, 6.0, 6.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    _, y, x = np.indices(grid.shape)
    inside = (y - 12) ** 2 + (x - 16) ** 2 < 8.5**2
    noise = np.random.default_rng(0).normal(0, 5, grid.shape)
    return to_image((np.where(inside, hu, -1000) + noise).astype(np.float32), grid)


def test_a_network_of_the_roi_domain_computes_the_body_alone() -> None:
    image = cylinder_in_air()
    result = segment_image(body_model(), [image], attention="all", probabilities=True, precision="float32")
    labels = sitk.GetArrayFromImage(result.labels)
    assert "inside the patient" in result.plan
    assert result.attention[0].patient is not None
    body = result.attention[0].patient
    assert 0.1 < body.mean() < 0.95
    assert not result.attention[0].weights[:, ~body].any()
    air = sitk.GetArrayFromImage(image) < -900
    far = ~sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray((~air).astype(np.uint8)), (3, 3, 3))).astype(
        bool
    )
    assert far.any()
    assert not labels[far].any()
    assert sitk.GetArrayFromImage(result.probabilities)[far][:, 0].min() > 0.999
    assert set(np.unique(labels[~air])) > {0}
    assert not result.warnings


def test_a_scan_without_a_body_is_segmented_as_a_whole_with_a_warning() -> None:
    image = cylinder_in_air() * 0 - 1000.0
    image[3, 3, 3] = -900.0
    result = segment_image(body_model(), [image], precision="float32")
    assert any("no body was found" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"roi": "legs"}, "body"),
        ({"roi": "body"}, "domain 'roi'"),
        (
            {
                "roi": "body",
                "architecture": {"architecture": "basic", "in_channels": 1, "num_classes": 3, "domain": "roi"},
            },
            "mask 'body'",
        ),
    ],
)
def test_a_region_of_interest_that_a_model_cannot_have_is_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        small_spec(**changes)
