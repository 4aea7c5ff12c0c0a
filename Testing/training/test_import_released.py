"""The authors' checkpoints become models that compute what they computed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import AutofocusCore
import Training.import_released
from AutofocusCore.errors import AutofocusError, ModelError
from AutofocusCore.models import load_bundle, load_network
from Training.import_released import import_released

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    path = tmp_path / "LICENCE"
    path.write_text("Whatever the authors allow.", encoding="utf-8")
    return path


def description(folder: Path, channels: int, structures: int, more: str = "") -> Path:
    def code(value: str) -> str:
        return f'{{ scheme = "SCT", value = "{value}", meaning = "Part" }}'

    parts = "".join(
        f'[[model.structures]]\nname = "Part {number}"\ncolor = [{number}, 2, 3]\n'
        f"category = {code('49755003')}\ntype = {code('86049000')}\n"
        for number in range(1, structures + 1)
    )
    path = folder / "released.toml"
    path.write_text(
        '[model]\nname = "released"\ntitle = "Released"\ndescription = "A test"\nversion = "1.0.0"\n'
        'licence = "LicenseRef-authors"\nsynthetic = false\nspacing = [1, 1, 1]\ntraining_data = "BRATS 2015"\n'
        f'channels = [{", ".join(f"""{{ name = "C{n}", modality = "MR" }}""" for n in range(channels))}]\n'
        f'normalization = {{ method = "z-score", mask = "nonzero" }}\n{more}\n{parts}',
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("name", ["AFN1", "AFN5", "ASPP_c"])
def test_an_imported_network_computes_the_released_ones_output(
    name: str, tmp_path: Path, licence: Path, fixtures_released: Path
) -> None:
    checkpoint = fixtures_released / f"{name}_checkpoint.pth.tar"
    options = AutofocusCore.load_released_checkpoint(checkpoint).options
    told = description(tmp_path, options["in_channels"], options["num_classes"] - 1)
    folder = import_released(checkpoint, told, tmp_path / "released", licence)
    model = load_bundle(folder)
    assert model.spec.architecture["architecture"] == options["architecture"]
    assert [s.name for s in model.spec.structures] == [f"Part {n}" for n in range(1, options["num_classes"])]
    stored = np.load(fixtures_released / f"{name}_io.npz")
    with torch.inference_mode():
        logits = load_network(folder).eval()(torch.from_numpy(stored["input"]))
    np.testing.assert_allclose(logits.numpy(), stored["output"], atol=1e-4)


def test_a_description_that_does_not_fit_the_weights_is_refused(
    tmp_path: Path, licence: Path, fixtures_released: Path
) -> None:
    checkpoint = fixtures_released / "AFN1_checkpoint.pth.tar"
    options = AutofocusCore.load_released_checkpoint(checkpoint).options
    channels, structures = options["in_channels"], options["num_classes"] - 1
    for says, told in (
        (f"{structures + 1} structures", (channels, structures + 1)),
        (f"{channels + 1} channels", (channels + 1, structures)),
        ("architecture = 'afn-5'", (channels, structures, 'architecture = { architecture = "afn-5" }')),
        ("norm = 'fused'", (channels, structures, 'architecture = { norm = "fused" }')),
    ):
        with pytest.raises(AutofocusError, match=says):
            import_released(checkpoint, description(tmp_path, *told), tmp_path / "out", licence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"), [("model = 3", r"model = 3; write a table"), ("[model]\nchannels = 4", "lists no channels")]
)
def test_a_description_of_the_wrong_kind_is_refused_in_a_sentence(
    text: str, says: str, tmp_path: Path, licence: Path, fixtures_released: Path
) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AutofocusError, match=says):
        import_released(fixtures_released / "AFN1_checkpoint.pth.tar", path, tmp_path / "out", licence)


def test_a_file_that_could_execute_something_is_refused(tmp_path: Path, licence: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple:
            return print, ("harm",)

    torch.save({"state_dict": Harm()}, tmp_path / "bad.pth.tar", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="more than plain weights"):
        import_released(tmp_path / "bad.pth.tar", description(tmp_path, 4, 4), tmp_path / "out", licence)


def test_the_command_takes_the_configuration_that_such_a_network_is_trained_with(
    tmp_path: Path, licence: Path, fixtures_released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = fixtures_released / "AFN1_checkpoint.pth.tar"
    config = ROOT / "Training" / "configs" / "brats2015" / "afn-1.toml"
    words = [str(checkpoint), str(config), "--licence", str(licence), "--out", str(tmp_path / "brats2015-afn-1")]
    monkeypatch.setattr(sys, "argv", ["import_released.py", *words])
    assert Training.import_released.main() == 0
    assert load_bundle(tmp_path / "brats2015-afn-1").spec.name == "brats2015-afn-1"
