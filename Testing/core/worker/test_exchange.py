"""What a worker hands over to a caller that shows it: volumes, their meaning, and where they lie on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.nrrd import grid_matrix
from AutofocusCore.io.temporary import PrivateFolder
from AutofocusCore.jobs.measure import Measurement
from AutofocusCore.models import Model, export_zip, find_model, user_model_folder
from AutofocusCore.models.terminology import structures
from AutofocusCore.result import AttentionMap, ReachMap, Recalibration, SegmentationResult
from AutofocusCore.review import Assessment
from AutofocusCore.worker.exchange import read_exchange_files, write_exchange_files
from AutofocusCore.worker.handlers import RequestHandlers

NAMED = structures("Right parotid gland", "Esophagus")
SETTINGS = {"device": "cpu", "precision": "float32"}
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
Job = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Volume:
    array: np.ndarray
    index_to_lps: np.ndarray


def read(told: dict[str, Any]) -> Volume:
    return Volume(np.load(told["path"]), np.array(told["index_to_lps"]))


@pytest.fixture
def services(tmp_path: Path) -> RequestHandlers:
    folder = tmp_path / "private"
    folder.mkdir()
    return RequestHandlers(PrivateFolder(folder))


@pytest.fixture
def job(tiny_model: Path, write_random_image: Callable[..., Path]) -> Job:
    """A request for a small oblique scan."""
    scan = write_random_image("scan.nrrd", spacing=(0.9, 1.1, 2.0), origin=(-5.0, 3.0, 70.0), direction=OBLIQUE)

    def request(**fields: Any) -> dict[str, Any]:
        return {"id": 1, "images": [str(scan)], "model": str(tiny_model), "settings": SETTINGS, **fields}

    return request


def test_labels_attention_and_probabilities_are_those_of_the_files_for_people(
    services: RequestHandlers, job: Job, tmp_path: Path
) -> None:
    result = services.segment(job(attention=True, probabilities=True))
    names = {"segmentation": "o.nrrd", "attention": "maps", "probabilities": "p.nrrd"}
    services.segment(job(outputs={kind: str(tmp_path / name) for kind, name in names.items()}))

    scan = sitk.ReadImage(job()["images"][0])
    grid = grid_matrix(scan.GetSpacing(), scan.GetOrigin(), scan.GetDirection())
    labels = read(result["labels"])
    assert labels.array.dtype == np.uint8
    assert len(np.unique(labels.array)) == 3
    np.testing.assert_array_equal(labels.array, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "o.nrrd"))))
    np.testing.assert_allclose(labels.index_to_lps, grid, atol=1e-12)

    probabilities = read(result["probabilities"])
    wanted = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "p.nrrd")))
    np.testing.assert_array_equal(np.moveaxis(probabilities.array, 0, -1), wanted)
    np.testing.assert_allclose(probabilities.array.sum(axis=0), 1, atol=1e-5)

    (attention,) = result["attention"]
    assert (attention["layer"], attention["rates"]) == (0, [2, 6])
    np.testing.assert_allclose(attention["rates_mm"], [2, 6])  # the model's voxels are of 1 mm
    weights, dilation = read(attention["weights"]), read(attention["dilation"])
    image = sitk.ReadImage(str(tmp_path / "maps" / "o_attention-1.seq.nrrd"))
    np.testing.assert_array_equal(np.moveaxis(weights.array, 0, -1), sitk.GetArrayFromImage(image))
    matrix = grid_matrix(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    np.testing.assert_allclose(weights.index_to_lps, matrix, atol=1e-12)
    np.testing.assert_allclose(dilation.index_to_lps, matrix, atol=1e-12)
    effective = np.tensordot(attention["rates_mm"], weights.array, axes=1)
    np.testing.assert_allclose(dilation.array, effective, rtol=1e-5)

    reach = sitk.ReadImage(str(tmp_path / "maps" / "o_reach.nrrd"))
    np.testing.assert_array_equal(read(result["reach"]).array, sitk.GetArrayFromImage(reach))
    assert sitk.GetArrayFromImage(reach).min() > 10, "every layer adds to it"


def test_the_dilation_that_is_shown_is_zero_in_the_air_and_classes_factors_come_with_it(tmp_path: Path) -> None:
    z, y, x = np.mgrid[:6, :8, :9]
    patient = (y > 2) & (x > 3) & (z >= 0)
    grid = Grid((9, 8, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    weights = np.full((2, 6, 8, 9), 0.5, np.float32)
    for known in (patient, None):
        factors = np.random.default_rng(0).random((3, 6, 8, 9)).astype(np.float32)
        result = SegmentationResult(
            np.zeros(patient.shape, np.uint8),
            grid,
            structures=NAMED,
            attention={0: AttentionMap(weights, (2, 6), grid, known)},
            recalibration=Recalibration(factors, grid, ("Background", "A", "B")) if known is None else None,
        )
        answer = write_exchange_files(tmp_path, result, lambda *_: None)
        (told,) = answer["attention"]
        shown = read(told["dilation"]).array
        assert told["air_is_zero"] == (known is not None)
        np.testing.assert_array_equal(shown, np.where(patient, 4, 0) if known is not None else 4)
        np.testing.assert_array_equal(read(told["weights"]).array, weights)
        if known is None:
            np.testing.assert_array_equal(read(answer["recalibration"]).array, factors)
        else:
            assert answer["recalibration"] is None


@pytest.mark.parametrize("known", [True, False])
def test_what_is_read_from_an_answer_is_the_result_that_was_written(tmp_path: Path, known: bool) -> None:
    random = np.random.default_rng(0)
    grid = Grid((7, 6, 5), (0.9, 1.1, 2.0), (-5.0, 3.0, 70.0), OBLIQUE)
    coarse = Grid((4, 3, 2), (2.0, 2.0, 4.0), (-5.0, 3.0, 70.0), OBLIQUE)
    patient = np.array([True, False] * 12).reshape(2, 3, 4) if known else None
    values = random.random((2, 3, 4)).astype(np.float32) * (1 if patient is None else patient)
    written = SegmentationResult(
        random.integers(0, 3, grid.shape).astype(np.uint8),
        grid,
        NAMED,
        attention={2: AttentionMap(random.random((2, 2, 3, 4)).astype(np.float32), (2, 6), coarse, patient)},
        reach=ReachMap(values, coarse, patient),
        recalibration=Recalibration(
            random.random((3, 2, 3, 4)).astype(np.float32), coarse, ("Background", *(s.name for s in NAMED))
        ),
        probability_array=random.random((*grid.shape, 3)).astype(np.float32),
        plan="in one slab", device="cpu", precision="float32", seconds={"predict": 1.25}, warnings=("Look.",),
        measurements=(Measurement(NAMED[0].name, 1, 3, 0.1),),
        assessment=Assessment({NAMED[0].name: None}, (), (), False),
        provenance={"result_id": "x"},
    )  # fmt: skip
    answer = write_exchange_files(tmp_path, written, lambda *_: None)
    found = read_exchange_files(json.loads(json.dumps({**written.to_dict(), **answer})))

    np.testing.assert_array_equal(found.label_array, written.label_array)
    np.testing.assert_allclose(found.grid.index_to_lps, grid.index_to_lps, atol=1e-12)
    np.testing.assert_array_equal(found.probability_array, written.probability_array)
    for name in ("weights", "dilation_mm", "patient"):
        one, other = (getattr(result.attention[2], name) for result in (found, written))
        np.testing.assert_array_equal(one, other)
    assert found.attention[2].rates == (2, 6)
    np.testing.assert_array_equal(found.reach.values, values)
    np.testing.assert_array_equal(found.recalibration.factors, written.recalibration.factors)
    assert found.recalibration.classes == written.recalibration.classes
    for name in ("structures", "plan", "device", "precision", "seconds", "warnings", "measurements", "assessment"):
        assert getattr(found, name) == getattr(written, name), name
    assert found.provenance == {"result_id": "x"}
    assert list(found.files) == answer["files"]


def test_an_answer_whose_files_are_gone_or_damaged_is_an_error_in_words(tmp_path: Path) -> None:
    grid = Grid((4, 3, 2), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), OBLIQUE)
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    answer = write_exchange_files(tmp_path, SegmentationResult(labels, grid, NAMED), lambda *_: None)
    np.testing.assert_array_equal(read_exchange_files(answer).label_array, labels)
    cut = tmp_path / "cut.npy"
    cut.write_bytes((tmp_path / "labels.npy").read_bytes()[:100])
    told = answer["labels"]
    for wrong in ({}, {**told, "index_to_lps": [1]}, {**told, "path": str(cut)}, {**told, "path": "gone.npy"}):
        with pytest.raises(InputError, match="cannot be read"):
            read_exchange_files({**answer, "labels": wrong})
    for field in ("structures", "measurements"):
        with pytest.raises(InputError, match="cannot be read"):
            read_exchange_files({**answer, field: [{"label": 1}]})


def test_the_answer_says_what_the_labels_mean_and_how_they_were_made(services: RequestHandlers, job: Job) -> None:
    result = json.loads(json.dumps(services.segment(job())))
    model = find_model(job()["model"])
    assert (result["attention"], result["probabilities"]) == ([], None)
    assert result["files"] == [result["labels"]["path"]]
    assert result["structures"] == model.spec.to_metadata()["autofocus"]["structures"]
    assert result["model"] == {"name": "tiny", "sha256": model.checksum, "identity": model.identity}
    record = result["provenance"]
    assert result["result_id"] == record["result_id"] != services.segment(job())["result_id"]
    assert (record["inputs"], record["device"], record["precision"]) == ({"MR": "scan.nrrd"}, "cpu", "float32")
    assert record["model"]["sha256"] == model.checksum
    counts = np.bincount(read(result["labels"]).array.ravel(), minlength=3)
    assert [m["voxels"] for m in result["measurements"]] == list(counts[1:])


def test_folders_go_with_the_next_job_or_when_they_are_forgotten(
    services: RequestHandlers, job: Job, tmp_path: Path
) -> None:
    def folders() -> list[str]:
        return sorted(path.name for path in (tmp_path / "private").glob("job-*"))

    services.segment(job(id="a"))
    services.segment(job(id="b", keep=False))
    services.segment(job(id={"c": 1}, keep=False))
    assert folders() == ["job-1", "job-3"]  # b went when c began
    services.segment(job(id="d"))
    assert folders() == ["job-1", "job-4"]
    assert services.forget({"job": "a"}) == {"forgotten": True}
    assert services.forget({"job": "a"}) == {"forgotten": False}
    assert services.forget({"job": {"c": 1}}) == {"forgotten": False}
    assert folders() == ["job-4"]


def test_a_job_that_fails_or_is_cancelled_leaves_no_folder(services: RequestHandlers, job: Job, tmp_path: Path) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    for request, options in ((job(images=["missing.nrrd"]), {}), (job(), {"cancelled": cancelled})):
        with pytest.raises(Exception, match=r"no file or folder|cancelled"):
            services.segment(request, **options)
        assert list((tmp_path / "private").glob("job-*")) == []


def test_a_plan_is_of_the_region_that_will_be_computed(services: RequestHandlers, job: Job) -> None:
    image = {"size": [100, 90, 40], "spacing": [1, 1, 2], "model": job()["model"], "settings": SETTINGS}
    whole = services.plan(image)
    assert (whole["device"], whole["precision"], whole["splits"]) == ("cpu", "float32", 1)
    assert whole["seconds"] > 0
    axes = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    placed = {**image, "origin": [500, 0, 0], "direction": axes}
    part = services.plan({**placed, "roi_box": [550, 45, 40, 20, 20, 20, *axes]})
    assert part["work"] < whole["work"] / 4
    assert part["seconds"] < whole["seconds"]
    middle = services.plan({**image, "roi_box": [0, 0, 0, 20, 20, 20, *axes]})  # nobody says where the image lies
    assert middle["work"] == pytest.approx(part["work"], rel=0.2)
    maps = services.plan({**image, "attention": True})
    assert maps["peak_bytes"] - whole["peak_bytes"] == 2 * 4 * 100 * 90 * 80  # rates, bytes of a float, voxels of 1 mm
    with pytest.raises(Exception, match="does not touch"):
        services.plan({**placed, "roi_box": [0, 45, 40, 20, 20, 20, *axes]})
    with pytest.raises(Exception, match="list of 15"):
        services.plan({**image, "roi_box": [0, 1]})


def test_planning_for_other_models_leaves_a_network_warm(
    services: RequestHandlers, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    build = Model.build
    monkeypatch.setattr(Model, "build", lambda model: (built.append(model.spec.name), build(model))[1])
    for name in (str(tiny_model), "pelvis-phantom", str(tiny_model), "hippocampus-mr", "pelvis-phantom"):
        services.plan({"size": [30, 30, 30], "spacing": [1, 1, 1], "model": name, "settings": SETTINGS})
    assert built == ["tiny", "pelvis-phantom", "hippocampus-mr"]


def test_a_model_comes_in_by_its_checksum_and_has_a_card(
    services: RequestHandlers, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOFOCUS_MODELS", str(tmp_path / "user"))
    archive = export_zip(find_model(tiny_model), tmp_path / "tiny.zip")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(Exception, match="not the expected one"):
        services.import_model({"path": str(archive), "sha256": "0" * 64})
    assert not (user_model_folder() / "tiny").exists()
    imported = services.import_model({"path": str(archive), "sha256": checksum, "replace": True})
    assert imported == {"name": "tiny", "path": str(user_model_folder() / "tiny")}
    with pytest.raises(Exception, match="already a model"):
        services.import_model({"path": str(tiny_model)})
    card = services.card({"model": "tiny"})["text"]
    assert card.startswith("# Tiny (synthetic)\n")
    assert "Anterior hippocampus" in card
