"""Bundles: the round trip, and everything that must not get in."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from AutofocusCore.errors import ModelError, OutputError
from AutofocusCore.models import load_bundle, write_bundle
from AutofocusCore.models.bundle import problems, read_bundle

from .conftest import LICENCE, make_spec

WEIGHTS = "models/model.safetensors"


class _Touch:
    """Unpickled, it makes a file: the trace of executed code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def _tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def _refused(path: Path, said: str) -> None:
    """Loading fails with one sentence, verification says so too, and nothing on the disk has changed."""
    place = path.parent
    before = _tree(place)
    with pytest.raises(ModelError, match=said) as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert problems(path)
    assert _tree(place) == before


def test_a_loaded_model_predicts_what_the_written_one_did(bundle: Path, network: torch.nn.Module) -> None:
    model = load_bundle(bundle)
    assert model.spec == make_spec()
    built = model.build()
    assert not built.training
    x = torch.randn(1, 1, 31, 32, 33, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(built(x), network(x))
    assert problems(bundle) == []


def test_a_zip_is_the_same_model_and_nothing_is_unpacked(archive: Path, bundle: Path) -> None:
    before = sorted(archive.parent.rglob("*"))
    model = load_bundle(archive)
    assert model.spec == load_bundle(bundle).spec
    assert model.checksum == load_bundle(bundle).checksum
    assert model.build().state_dict().keys() == load_bundle(bundle).build().state_dict().keys()
    assert sorted(archive.parent.rglob("*")) == before


def test_a_zip_with_the_files_at_its_top_is_read_too(bundle: Path) -> None:
    flat = Path(shutil.make_archive(str(bundle.parent / "flat"), "zip", bundle))
    assert load_bundle(flat).spec.name == "test-model"


def test_the_same_model_is_the_same_bytes(bundle: Path, tmp_path: Path, network: torch.nn.Module) -> None:
    shuffled = dict(reversed(network.state_dict().items()))
    again = write_bundle(tmp_path / "again", make_spec(), shuffled, LICENCE)
    assert _tree(again) == _tree(bundle)


def test_the_card_says_what_it_must(bundle: Path) -> None:
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    for needed in ("(synthetic)", "made-up images", "Not for clinical use", "| Prostate | 0.910 |", "| b | 0.92 |"):
        assert needed in card
    assert "python Training/train.py Training/configs/test.toml" in card
    assert "percentiles 5, 95" in card


def test_the_card_of_a_model_of_patients_does_not_say_synthetic(tmp_path: Path, network: torch.nn.Module) -> None:
    folder = write_bundle(tmp_path / "real", make_spec(synthetic=False), network.state_dict(), LICENCE)
    assert "synthetic" not in (folder / "docs" / "README.md").read_text(encoding="utf-8").lower()


def test_writing_again_replaces_a_model_and_leaves_nothing_aside(bundle: Path, network: torch.nn.Module) -> None:
    write_bundle(bundle, make_spec(version="2.0.0"), network.state_dict(), LICENCE)
    assert load_bundle(bundle).spec.version == "2.0.0"
    assert list(bundle.parent.iterdir()) == [bundle]


def test_writing_never_replaces_what_is_not_a_model(tmp_path: Path, network: torch.nn.Module) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ModelError, match="not a model"):
        write_bundle(precious, make_spec(), network.state_dict(), LICENCE)
    assert _tree(tmp_path) == {"precious/thesis.txt": b"years of work"}


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="rights do not bind root"
)
def test_an_unwritable_place_is_an_output_error(tmp_path: Path, network: torch.nn.Module) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Cannot write"):
        write_bundle(tmp_path / "model", make_spec(), network.state_dict(), LICENCE)


def test_a_place_below_a_file_is_an_output_error(tmp_path: Path, network: torch.nn.Module) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="Cannot write"):
        write_bundle(tmp_path / "file" / "model", make_spec(), network.state_dict(), LICENCE)


def test_weights_that_do_not_fit_are_not_written(tmp_path: Path, network: torch.nn.Module) -> None:
    state = network.state_dict()
    name = next(iter(state))
    for spoiled, said in (
        ({k: v for k, v in state.items() if k != name}, f"lack {name}"),
        ({**state, "extra.weight": torch.zeros(1)}, "unknown extra.weight"),
        ({**state, name: torch.zeros(3, 3)}, f"{name} has shape"),
        ({**state, name: torch.full_like(state[name], float("nan"))}, f"{name} holds NaN"),
        ({**state, name: state[name].long()}, f"{name} is of type"),
    ):
        with pytest.raises(ModelError, match=said):
            write_bundle(tmp_path / "model", make_spec(), spoiled, LICENCE)
    assert list(tmp_path.iterdir()) == []


def test_one_changed_byte_anywhere_is_noticed(bundle: Path) -> None:
    for name in list(_tree(bundle)):
        path = bundle / name
        whole = path.read_bytes()
        spoiled = bytearray(whole)
        spoiled[len(spoiled) // 2] ^= 1
        path.write_bytes(bytes(spoiled))
        _refused(bundle, "Model ")
        path.write_bytes(whole)
    load_bundle(bundle)


@pytest.mark.parametrize("name", ["configs/metadata.json", WEIGHTS, "LICENSE", "checksums.json", "docs/README.md"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    _refused(bundle, f"{name}|{name.rsplit('/')[-1]}")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 5000, -1])
def test_weights_cut_short_are_refused(bundle: Path, kept: int, reseal: Callable[[Path], None]) -> None:
    path = bundle / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    _refused(bundle, "cut short")
    reseal(bundle)
    _refused(bundle, "cut short")


def test_a_file_beside_the_listed_ones_is_named(bundle: Path) -> None:
    (bundle / "docs" / "extra.txt").write_text("hello", encoding="utf-8")
    _refused(bundle, r"'docs/extra.txt'.*not in its checksums")


def test_what_an_operating_system_leaves_is_not_in_the_way(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"x")
    (bundle / "docs" / "Thumbs.db").write_bytes(b"x")
    assert load_bundle(bundle).spec.name == "test-model"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin", ".ts", ".py", ".sh", ".exe", ".so", ".pth.tar", ""])
def test_pickles_and_code_are_refused_even_with_right_checksums(
    bundle: Path, tmp_path: Path, suffix: str, reseal: Callable[[Path], None]
) -> None:
    trace = tmp_path / "executed"
    (bundle / "models" / f"model{suffix}").write_bytes(pickle.dumps(_Touch(trace)))
    reseal(bundle)
    _refused(bundle, "can run code|no model needs")
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_named_safetensors_is_not_opened(
    bundle: Path, tmp_path: Path, protocol: int, reseal: Callable[[Path], None]
) -> None:
    trace = tmp_path / "executed"
    (bundle / WEIGHTS).write_bytes(pickle.dumps(_Touch(trace), protocol))
    reseal(bundle)
    _refused(bundle, "pickle named .safetensors")
    assert not trace.exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_a_torch_checkpoint_named_safetensors_is_not_opened(
    bundle: Path, tmp_path: Path, legacy: bool, reseal: Callable[[Path], None]
) -> None:
    trace = tmp_path / "executed"
    torch.save({"weights": _Touch(trace)}, bundle / WEIGHTS, _use_new_zipfile_serialization=not legacy)
    reseal(bundle)
    _refused(bundle, "named .safetensors; it was not opened")
    assert not trace.exists()


def test_a_torch_checkpoint_in_place_of_a_model_is_not_opened(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    torch.save({"weights": _Touch(trace)}, tmp_path / "model.pth")
    _refused(tmp_path / "model.pth", "not a model|damaged")
    assert not trace.exists()


def test_weights_of_another_network_are_refused_by_name(bundle: Path, reseal: Callable[[Path], None]) -> None:
    state = load_file(bundle / WEIGHTS)
    name = sorted(state)[0]
    renamed = {("other." + k if k == name else k): v for k, v in state.items()}
    for spoiled, said in (
        (renamed, f"lack {name}"),
        ({**state, name: state[name].double()}, f"{name} is of type torch.float64"),
        ({**state, name: state[name][None]}, f"{name} has shape"),
        ({**state, name: torch.full_like(state[name], float("inf"))}, f"{name} holds NaN or inf"),
    ):
        save_file({k: v.contiguous() for k, v in spoiled.items()}, bundle / WEIGHTS)
        reseal(bundle)
        _refused(bundle, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["autofocus"]["architecture"].update(architecture="u-net"), "no architecture 'u-net'"),
        (lambda m: m["autofocus"]["architecture"].update(colour="red"), "colour"),
        (lambda m: m["autofocus"]["architecture"].update(num_classes=4), "num_classes is 4; make it 3"),
        (lambda m: m["autofocus"]["architecture"].update(dilation_rates="fast"), "dilation_rates"),
        (lambda m: m["autofocus"]["channels"].append({"name": "MR", "modality": "MR"}), "in_channels is 1; make it 2"),
        (lambda m: m["autofocus"]["structures"].pop(), "num_classes is 3; make it 2"),
        (lambda m: m["autofocus"].update(format=2), "newer than 1.*update"),
        (lambda m: m["autofocus"].update(format="one"), "format is 'one'"),
        (lambda m: m.pop("autofocus"), "not a model of AutofocusSegmentation"),
        (lambda m: m["autofocus"].update(name="../../etc"), "name is '../../etc'"),
        (lambda m: m.update(description="$__import__('os').mkdir('executed')"), "holds code"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    bundle: Path, reseal: Callable[[Path], None], change: Callable[[dict], None], said: str
) -> None:
    _edit(bundle / "configs" / "metadata.json", change)
    reseal(bundle)
    _refused(bundle, said)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff"])
def test_metadata_that_is_not_json_is_refused(bundle: Path, reseal: Callable[[Path], None], text: str) -> None:
    (bundle / "configs" / "metadata.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    reseal(bundle)
    _refused(bundle, "metadata.json is not JSON")


@pytest.mark.parametrize(
    "item",
    [
        {"_target_": "os.system", "command": "mkdir executed"},
        {"_target_": "monai.data.torch.load", "f": "x"},
        {"deep": [{"note": "$import os"}]},
        {"network": "%../other.json"},
        {"$import os": 1},
    ],
)
def test_a_configuration_that_monai_would_execute_is_refused(
    bundle: Path, reseal: Callable[[Path], None], item: dict[str, object]
) -> None:
    _edit(bundle / "configs" / "inference.json", lambda config: config.update(item))
    reseal(bundle)
    _refused(bundle, "calls|holds code")


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("preprocessing", lambda c: c["transforms"][0].update(reader="os.system")),
        ("preprocessing", lambda c: c["transforms"][0].update(reader="monai.data.ITKReader")),
        ("preprocessing", lambda c: c["transforms"][0].update(_mode_="callable")),
        ("preprocessing", lambda c: c["transforms"][0].update(_requires_="@x")),
        ("preprocessing", lambda c: c["transforms"][0].update(keys=["image", "os.system"])),
        ("preprocessing", lambda c: c["transforms"][-1].update(dtype="builtins.eval")),
        ("preprocessing", lambda c: c["transforms"].append({"_target_": "SaveImaged", "keys": "pred"})),
        ("preprocessing", lambda c: c["transforms"].append({"_target_": "Compose", "transforms": []})),
        ("preprocessing", lambda c: c["transforms"].append("@network")),
        ("preprocessing", lambda c: c.update(lazy=True)),
        ("network", lambda c: c.update(path="/tmp/another/model")),
        ("network", lambda c: c.update(_disabled_="true")),
        ("network_def", lambda c: c.update(architecture="os.system")),
        ("inferer", lambda c: c.update(device="cpu")),
        ("postprocessing", lambda c: c.update(_target_="AutofocusCore.models.load_network")),
    ],
)
def test_a_configuration_may_give_only_the_arguments_that_ours_gives(
    bundle: Path, reseal: Callable[[Path], None], section: str, change: Callable[[dict], object]
) -> None:
    _edit(bundle / "configs" / "inference.json", lambda config: change(config[section]))
    reseal(bundle)
    _refused(bundle, "which no model needs; do not use this model")


@pytest.mark.parametrize("added", [{"initialize": ["x"]}, {"preprocessing#transforms": []}, {"+network": {}}])
def test_a_configuration_has_no_sections_of_its_own(
    bundle: Path, reseal: Callable[[Path], None], added: dict[str, object]
) -> None:
    _edit(bundle / "configs" / "inference.json", lambda config: config.update(added))
    reseal(bundle)
    _refused(bundle, "has a (section|key)")


def test_metadata_is_no_configuration(bundle: Path, reseal: Callable[[Path], None]) -> None:
    _edit(bundle / "configs" / "metadata.json", lambda m: m.update(x={"_target_": "LoadImaged", "keys": "image"}))
    reseal(bundle)
    _refused(bundle, "has a key '_target_'")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda own: own.update(dice={"Prostate": 10**400}), "JSON that can be used"),
        (lambda own: own.update(spacing=[10**400, 1, 1]), "JSON that can be used"),
        (lambda own: own.update(format=10**400), "JSON that can be used"),
        (lambda own: own.update(figures={"deep": json.loads("[" * 600 + "]" * 600)}), "JSON that can be used"),
        (lambda own: own["architecture"].update(dilation_rates=[2, 10**9]), "dilation_rates is"),
        (lambda own: own["architecture"].update(dilation_rates=[2, 2**70]), "dilation_rates is"),
        (lambda own: own["architecture"].update(dilation_rates=[True, 6]), "dilation_rates is"),
        (lambda own: own["architecture"].update(dilation_rates=["2", 6]), "dilation_rates is"),
        (lambda own: own["architecture"].update(dilation_rates=list(range(1, 500))), "…; give up to 32"),
        (lambda own: own["architecture"].update(norm=["branch"]), "norm is"),
        (lambda own: own["architecture"].update(architecture=["afn-1"]), "architecture"),
        (lambda own: own.update(architecture=_streams(width=100_000)), "width is"),
        (lambda own: own.update(architecture=_streams(width=4096)), "The weights lack|weights"),
        (lambda own: own.update(architecture=_streams(scales=[1e-9, 1.0])), "scales is"),
        (lambda own: own.update(architecture=_streams(dilations=[10**9, 2])), "dilations is"),
        (lambda own: own["channels"][0].update(patterns=["*a" * 200]), "patterns of"),
        (lambda own: own.update(title="x" * 10**6), "title is"),
    ],
)
def test_absurd_numbers_are_refused_before_they_take_time_or_memory(
    bundle: Path, reseal: Callable[[Path], None], change: Callable[[dict], object], cause: str
) -> None:
    _edit(bundle / "configs" / "metadata.json", lambda metadata: change(metadata["autofocus"]))
    reseal(bundle)
    started = time.process_time()
    _refused(bundle, cause)
    assert time.process_time() - started < 5


def _streams(**options: object) -> dict[str, object]:
    return {"architecture": "scale-streams", "in_channels": 1, "num_classes": 3, "encoder": "basic", **options}


def test_equal_weights_under_another_description_are_another_model(
    bundle: Path, reseal: Callable[[Path], None]
) -> None:
    before = load_bundle(bundle)
    _edit(bundle / "configs" / "metadata.json", lambda metadata: metadata["autofocus"].update(spacing=[2, 2, 2]))
    reseal(bundle)
    after = load_bundle(bundle)
    assert before.checksum == after.checksum
    assert before.identity != after.identity


def test_checksums_of_another_kind_are_refused(bundle: Path) -> None:
    for content in ("[]", '{"algorithm": "md5", "files": {}}', '{"algorithm": "sha256", "files": {"LICENSE": 3}}', "x"):
        (bundle / "checksums.json").write_text(content, encoding="utf-8")
        _refused(bundle, "checksums.json is not")


def test_links_are_refused(bundle: Path, tmp_path: Path) -> None:
    licence = bundle / "LICENSE"
    outside = tmp_path / "outside"
    outside.write_bytes(licence.read_bytes())
    licence.unlink()
    try:
        licence.symlink_to(outside)
    except OSError:
        pytest.skip("This system does not let an ordinary user make links.")
    _refused(bundle, "link 'LICENSE'")


@pytest.mark.parametrize(
    "there", ["nothing", "an empty folder", "a folder of other things", "a text file", "an empty file"]
)
def test_what_is_not_a_model_is_called_so(tmp_path: Path, there: str) -> None:
    path = tmp_path / "thing"
    if "folder" in there:
        path.mkdir()
    if there == "a folder of other things":
        (path / "holiday.jpg").write_bytes(b"x")
    elif there == "a text file":
        path.write_text("hello", encoding="utf-8")
    elif there == "an empty file":
        path.write_bytes(b"")
    _refused(path, "is not a model|no model at|damaged or not a zip")


def test_several_problems_are_all_told(bundle: Path) -> None:
    (bundle / "LICENSE").write_text("changed", encoding="utf-8")
    (bundle / "docs" / "README.md").unlink()
    told = problems(bundle)
    assert all(problem.startswith(f"Model {bundle}: ") for problem in told)
    assert any("LICENSE" in problem for problem in told)
    assert any("README.md is missing" in problem for problem in told)


def test_weights_exchanged_after_reading_are_not_built(bundle: Path, reseal: Callable[[Path], None]) -> None:
    model = read_bundle(bundle)
    state = load_file(bundle / WEIGHTS)
    save_file({k: v + 1 for k, v in state.items()}, bundle / WEIGHTS)
    reseal(bundle)
    built = model.build().state_dict()
    assert all(torch.equal(built[name], value) for name, value in state.items()), "the checked ones are"


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_an_archive_cut_short_is_refused(archive: Path, kept: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])
    _refused(archive, "damaged or not a zip")


def test_an_archive_with_a_flipped_bit_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 8
    archive.write_bytes(bytes(data))
    _refused(archive, "damaged")


def test_an_archive_spoiled_anywhere_is_either_refused_or_the_same_model(archive: Path) -> None:
    whole = archive.read_bytes()
    sound = read_bundle(archive)
    random = np.random.default_rng(0)
    for _ in range(150):
        spoiled = bytearray(whole)
        # The directory at the end is where archives are most fragile.
        start = int(random.choice([0, len(whole) - 900]))
        for place in random.integers(start, len(whole), random.integers(1, 4)):
            spoiled[place] = random.integers(256)
        archive.write_bytes(bytes(spoiled))
        # Anything but a ModelError would end the test here.
        with contextlib.suppress(ModelError):
            assert read_bundle(archive) == sound


@pytest.mark.parametrize(
    "name",
    [
        "../escape.txt",
        "test-model/../../escape.txt",
        "test-model/docs/../../../escape.txt",
        "/absolute.txt",
        "C:/drive.txt",
        "C:drive.txt",
        "test-model\\docs\\..\\..\\escape.txt",
        "//server/share.txt",
        "test-model/docs/stream.txt:hidden",
        "test-model/docs/CON.txt",
        "test-model/docs/trailing.txt.",
        "test-model/docs/line\nbreak.txt",
        "test-model/" + "x" * 300 + ".txt",
        "..",
    ],
)
def test_an_archive_that_leads_elsewhere_is_refused(rezip: Callable[..., Path], name: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # the constructor would mend some of these
    path = rezip((info, b"escaped"))
    before = sorted(tmp_path.rglob("*"))
    _refused(path, "leads out|backslash|not a file name|longer than|twice")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_with_a_link_is_refused(rezip: Callable[..., Path]) -> None:
    info = zipfile.ZipInfo("test-model/docs/link.txt")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    _refused(rezip((info, b"/etc/passwd")), "a link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["test-model/LICENSE", "test-model/license", "test-model/LICENSE/inner.txt"])
def test_an_archive_with_two_files_of_one_name_is_refused(rezip: Callable[..., Path], name: str) -> None:
    _refused(rezip((name, b"other")), "two files of one name|twice")


def test_a_zip_bomb_is_refused_before_it_unfolds(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("test-model/docs/zeros.txt", bytes(64 * 1024**2))
    _refused(archive, "implausibly many bytes")


def test_an_archive_of_very_many_files_is_refused(rezip: Callable[..., Path]) -> None:
    _refused(rezip(*((f"test-model/docs/{i}.txt", b"") for i in range(1200))), "more than 1000 files")


def test_an_encrypted_archive_asks_to_be_unpacked(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    archive.write_bytes(bytes(data))
    _refused(archive, "encrypted")


def test_another_bundle_of_monai_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "spleen"
    (path / "configs").mkdir(parents=True)
    (path / "models").mkdir()
    (path / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    (path / "models" / "model.pt").write_bytes(b"x")
    _refused(path, "'models/model.pt'.*models/model.safetensors alone")
