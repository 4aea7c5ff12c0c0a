"""The layouts of PASCAL VOC 2012 and ADE20K, made on the fly: lists, labels, crops, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from AutofocusCore.errors import InputError
from Training.photographs.data import MEAN, SPREAD, UNLABELLED, draw_crop, draw_crops, photographs
from Training.photographs.settings import Crops, Photographs


def write_pair(image: Path, labels: Path, seed: int, low: int, high: int, palette: bool = False) -> None:
    """A photograph of 40 x 30 pixels: a square of one class on background, its colour by its class."""
    rng = np.random.default_rng(seed)
    truth = np.full((30, 40), low, np.uint8)
    truth[5:20, 8:30] = rng.integers(low + 1, high + 1)
    truth[0, :3] = 255 if low == 0 and palette else low
    pixels = np.stack([truth, 255 - truth, 40 + truth // 2], axis=-1)
    for path in (image, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(image, quality=95)
    mask = Image.fromarray(truth)
    if palette:
        mask = Image.frombytes("P", mask.size, mask.tobytes())
        mask.putpalette([value for index in range(256) for value in (index, 7, 255 - index)])
    mask.save(labels)


def write_voc(folder: Path) -> Path:
    """Six photographs, four to train on; labels as PNGs with a palette."""
    names = [f"2007_00000{number}" for number in range(6)]
    for seed, name in enumerate(names):
        write_pair(
            folder / "JPEGImages" / f"{name}.jpg", folder / "SegmentationClassAug" / f"{name}.png",
            seed, 0, 20, palette=True,
        )  # fmt: skip
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "trainaug.txt").write_text("\n".join(names[:4]) + "\n", encoding="utf-8")
    pairs = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in names[4:]]
    (lists / "val.txt").write_text("\n".join(pairs), encoding="utf-8")
    return folder


def write_ade(folder: Path) -> Path:
    """Three photographs to train on, and one to measure."""
    for part, count in (("training", 3), ("validation", 1)):
        lines = []
        for seed in range(count):
            image = f"ADEChallengeData2016/images/{part}/ADE_{part}_{seed:08}.jpg"
            labels = f"ADEChallengeData2016/annotations/{part}/ADE_{part}_{seed:08}.png"
            write_pair(folder / image, folder / labels, seed, 0, 150)
            lines.append(json.dumps({"fpath_img": image, "fpath_segm": labels, "width": 40, "height": 30}))
        (folder / f"{part}.odgt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return write_voc(tmp_path)


@pytest.fixture
def ade(tmp_path: Path) -> Path:
    return write_ade(tmp_path)


def test_both_kinds_of_voc_lists_are_read_and_a_palette_means_its_indices(voc: Path) -> None:
    data = Photographs("voc2012", str(voc))
    train, validation = photographs(data, "train"), photographs(data, "validation")
    assert [len(train), len(validation)] == [4, 2]
    assert [one.name for one in validation] == ["2007_000004", "2007_000005"]
    image, labels = train[0].read()
    values = np.asarray(labels)
    assert image.size == labels.size == (40, 30)
    assert image.mode == "RGB"
    assert (values[0, :3] == UNLABELLED).all()
    assert values[25, 35] == 0
    assert 1 <= values[10, 10] <= 20


def test_ade_labels_begin_at_zero_and_zero_is_unlabelled(ade: Path) -> None:
    data = Photographs("ade20k", str(ade))
    assert [len(photographs(data, part)) for part in ("train", "validation")] == [3, 1]
    one = photographs(data, "train")[0]
    with Image.open(one.labels) as opened:
        before = np.asarray(opened)
    after = np.asarray(one.read()[1])
    assert (after[before == 0] == UNLABELLED).all()
    assert (after[before > 0] == before[before > 0] - 1).all()


def test_a_crop_shows_the_same_place_of_photograph_and_labels(voc: Path) -> None:
    """The colour of a pixel tells its class, so that a shift between the two would show."""
    one = photographs(Photographs("voc2012", str(voc)), "train")[1]
    crops = Crops(size=(24, 33), scaling=(1.0, 1.0))
    for seed in range(8):
        values, labels = draw_crop(one, crops, np.random.default_rng(seed))
        assert values.shape == (3, 24, 33)
        colours = (values.permute(1, 2, 0).numpy() * SPREAD + MEAN) * 255
        inside = labels.numpy() % 255 > 0
        assert inside.any()
        square = int(labels[labels % 255 > 0][0])
        green = colours[..., 1]
        assert np.median(green[inside]) == pytest.approx(255 - square, abs=4)
        assert np.median(green[labels.numpy() == 0]) == pytest.approx(255, abs=4)


def test_a_photograph_that_is_smaller_than_the_crop_is_extended_without_labels(voc: Path) -> None:
    one = photographs(Photographs("voc2012", str(voc)), "train")[0]
    values, labels = draw_crop(one, Crops(size=(64, 64), scaling=(1.0, 1.0)), np.random.default_rng(0))
    outside = labels == UNLABELLED
    assert int((~outside).sum()) == 30 * 40 - 3
    assert (values[:, 0, 0] == 0).all() or (values[:, -1, -1] == 0).all()
    assert int((values.abs().sum(dim=0) == 0).sum()) >= 64 * 64 - 30 * 40


def test_the_same_step_draws_the_same_batch_and_every_photograph_has_its_turn(voc: Path) -> None:
    items = photographs(Photographs("voc2012", str(voc)), "train")
    crops = Crops(size=(16, 16), per_step=2)
    first, again = (draw_crops(items, crops, seed=3, step=5) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for turn in range(3):
        names = [name for step in (2 * turn, 2 * turn + 1) for name in draw_crops(items, crops, 3, step)[2]]
        assert sorted(names) == sorted(one.name for one in items)


def test_missing_files_are_named_all_at_once_before_anything_is_read(voc: Path) -> None:
    (voc / "JPEGImages" / "2007_000001.jpg").unlink()
    (voc / "SegmentationClassAug" / "2007_000002.png").unlink()
    with pytest.raises(InputError, match=r"2 files .*2007_000001\.jpg, .*2007_000002\.png"):
        photographs(Photographs("voc2012", str(voc)), "train")
    with pytest.raises(InputError, match="--data"):
        photographs(Photographs("voc2012", str(voc / "JPEGImages")), "train")
    with pytest.raises(InputError, match="not understood"):
        photographs(Photographs("ade20k", str(voc), train="ImageSets/Segmentation/trainaug.txt"), "train")


def test_labels_out_of_range_of_another_size_or_damaged_are_named(voc: Path) -> None:
    one, other, third, fourth = photographs(Photographs("voc2012", str(voc)), "train")
    Image.fromarray(np.full((30, 40), 77, np.uint8)).save(one.labels)
    Image.fromarray(np.zeros((30, 41), np.uint8)).save(other.labels)
    third.labels.write_bytes(b"not an image")
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(fourth.labels)
    for broken, why in (
        (one, "labels \\[77\\]"),
        (other, "remove it from"),
        (third, "cannot be read"),
        (fourth, "mode RGB"),
    ):
        with pytest.raises(InputError, match=why):
            broken.read()
