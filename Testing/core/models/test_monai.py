"""MONAI's own tools accept the bundles.

`verify_metadata` downloads the schema that metadata.json names unless the file is there already, so the tests hand it
one: bundle_schema.json beside this file, or MONAI's own where $AUTOFOCUS_MONAI_SCHEMA says it lies.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from AutofocusCore.models import load_bundle
from AutofocusCore.models.store import bundled_model_folder

OURS = Path(__file__).with_name("bundle_schema.json")
BUNDLED = sorted(p.parents[1] for p in bundled_model_folder().glob("*/configs/metadata.json"))

monai_bundle = pytest.importorskip("monai.bundle", reason="MONAI is not installed; the extra [train] has it.")


@pytest.fixture(params=["ours", "MONAI's"])
def schema(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def offline(*args: object, **kwargs: object) -> None:
        raise AssertionError("The test reached for the network.")

    monkeypatch.setattr(socket.socket, "connect", offline)
    source = str(OURS) if request.param == "ours" else os.environ.get("AUTOFOCUS_MONAI_SCHEMA", "")
    if not source:
        pytest.skip("Set AUTOFOCUS_MONAI_SCHEMA to a copy of the schema that metadata.json names.")
    copy = tmp_path / "schema.json"
    copy.write_bytes(Path(source).read_bytes())
    return copy


def test_verify_metadata_accepts_a_written_bundle(bundle: Path, schema: Path) -> None:
    monai_bundle.verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(schema))


@pytest.mark.parametrize("folder", BUNDLED, ids=lambda folder: folder.name)
def test_verify_metadata_accepts_the_models_that_come_with_the_program(folder: Path, schema: Path) -> None:
    monai_bundle.verify_metadata(meta_file=str(folder / "configs" / "metadata.json"), filepath=str(schema))


def test_verify_metadata_would_notice_a_missing_field(bundle: Path, schema: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    del metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    path.write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(ValueError, match="Failed validating"):
        monai_bundle.verify_metadata(meta_file=str(path), filepath=str(schema))


def test_verify_net_in_out_accepts_network_and_channels(bundle: Path) -> None:
    configs = bundle / "configs"
    for item in ("network_def", "network"):
        monai_bundle.verify_net_in_out(
            net_id=item,
            meta_file=str(configs / "metadata.json"),
            config_file=str(configs / "inference.json"),
            device="cpu",
            any=29,
            bundle_root=str(bundle),
        )


def _parsed(bundle: Path) -> object:
    parser = monai_bundle.ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.read_meta(str(bundle / "configs" / "metadata.json"))
    parser["bundle_root"] = str(bundle)
    return parser


def test_the_configuration_holds_the_network_with_its_weights(bundle: Path) -> None:
    parser = _parsed(bundle)
    from_config = parser.get_parsed_content("network").state_dict()  # type: ignore[attr-defined]
    from_bundle = load_bundle(bundle).build().state_dict()
    assert all(torch.equal(from_config[name], from_bundle[name]) for name in from_bundle)


def test_the_configuration_turns_a_file_into_a_labelmap(bundle: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 100, (6, 14, 16)).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 1.5, 3.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))

    parser = _parsed(bundle)
    get = parser.get_parsed_content  # type: ignore[attr-defined]
    batch = get("preprocessing")({"image": str(tmp_path / "ct.nii.gz")})
    assert tuple(batch["image"].shape) == (1, 16, 14, 6)
    batch["pred"] = get("inferer")(batch["image"][None], get("network"))[0]
    assert tuple(batch["pred"].shape) == (3, 16, 14, 6)

    # LPS is SimpleITK's own frame, so that the volume is the file's array and the axes come back turned round.
    normalised = (values - values.mean()) / values.std()
    network = get("network")
    padded = torch.nn.functional.pad(
        torch.from_numpy(normalised)[None, None], 6 * [network.margin], value=normalised.min()
    )
    with torch.no_grad():
        expected = network(padded)[0].permute(0, 3, 2, 1)
    torch.testing.assert_close(torch.as_tensor(batch["pred"]), expected, atol=1e-3, rtol=1e-3)
    labels = get("postprocessing")(batch)["pred"]
    assert tuple(labels.shape) == (1, 16, 14, 6)
