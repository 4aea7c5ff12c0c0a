"""The model folders: listing, finding, importing, sharing."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
import torch

from AutofocusCore.errors import ModelError, OutputError
from AutofocusCore.models import (
    damaged_models,
    export_zip,
    files,
    find_model,
    import_model,
    list_models,
    load_bundle,
    store,
    user_model_folder,
    verify_model,
    write_bundle,
)
from Testing import fork_server
from Testing.waiting import patience

from .conftest import LICENCE, make_spec

WEIGHTS = "models/model.safetensors"


def _names() -> list[str]:
    return [model.spec.name for model in list_models()]


def test_without_any_folder_there_are_no_models(user_folder: Path) -> None:
    assert list_models() == []
    assert damaged_models() == []
    with pytest.raises(ModelError, match=r"no model 'test-model', nor any other; import one"):
        find_model("test-model")


def test_the_folder_is_the_systems_unless_the_environment_names_one(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert user_model_folder() == user_folder
    monkeypatch.setenv("AUTOFOCUS_MODELS", "")
    assert user_model_folder().parts[-2:] == ("autofocus-segmentation", "models")


@pytest.mark.parametrize("xdg", [None, "", "relative/data", "/srv/some data"])
def test_the_systems_folder_is_the_one_that_platformdirs_names(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch, xdg: str | None
) -> None:
    monkeypatch.delenv("AUTOFOCUS_MODELS")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if xdg is not None:
        monkeypatch.setenv("XDG_DATA_HOME", xdg)
    known = platformdirs.user_data_path("autofocus-segmentation", appauthor=False)
    assert user_model_folder() == known / "models"


@pytest.mark.parametrize(("system", "class_name"), [("Darwin", "macos.MacOS"), ("Linux", "unix.Unix")])
@pytest.mark.parametrize("xdg", ["", "/srv/some data"])
def test_so_it_is_on_the_other_systems(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch, system: str, class_name: str, xdg: str
) -> None:
    if os.name != "posix":
        pytest.skip("Folders of POSIX systems do not look the same from here.")
    monkeypatch.delenv("AUTOFOCUS_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", xdg)
    monkeypatch.setattr(platform, "system", lambda: system)
    module, name = class_name.split(".")
    known = getattr(importlib.import_module(f"platformdirs.{module}"), name)("autofocus-segmentation", appauthor=False)
    assert user_model_folder() == known.user_data_path / "models"


def test_on_windows_it_is_the_folder_for_data_of_this_computer(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AUTOFOCUS_MODELS")
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert user_model_folder() == tmp_path / "Local" / "autofocus-segmentation" / "models"
    monkeypatch.delenv("LOCALAPPDATA")
    assert user_model_folder() == Path.home() / "AppData" / "Local" / "autofocus-segmentation" / "models"


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_imported_model_is_listed_found_and_sound(kind: str, bundle: Path, archive: Path, user_folder: Path) -> None:
    imported = import_model(bundle if kind == "folder" else archive)
    assert imported.path == user_folder / "test-model"
    assert _names() == ["test-model"]
    assert find_model("test-model") == find_model("Test-Model") == find_model(user_folder / "test-model") == imported
    assert find_model(str(archive)).checksum == imported.checksum
    assert verify_model(imported) == []
    assert list(user_folder.iterdir()) == [imported.path]


def test_an_unknown_name_is_answered_with_the_closest_and_all(bundle: Path, user_folder: Path) -> None:
    import_model(bundle)
    with pytest.raises(ModelError, match=r"no model 'tets-model'; did you mean 'test-model'\? There are test-model"):
        find_model("tets-model")
    with pytest.raises(ModelError, match=r"no model 'xyz'; there are test-model"):
        find_model("xyz")
    with pytest.raises(ModelError, match=r"There is no model at .*nowhere"):
        find_model("./nowhere")


def test_a_damaged_model_hides_no_other(bundle: Path, user_folder: Path, network: torch.nn.Module) -> None:
    import_model(bundle)
    for name in ("changed", "no-weights"):
        write_bundle(user_folder / name, make_spec(name=name), network.state_dict(), LICENCE)
    (user_folder / "changed" / "LICENSE").write_text("mine", encoding="utf-8")
    (user_folder / "no-weights" / WEIGHTS).unlink()
    (user_folder / "empty").mkdir()
    (user_folder / "a file.txt").write_text("not a model", encoding="utf-8")
    (user_folder / ".hidden").mkdir()
    assert _names() == ["test-model"]
    assert [(path.name, reason[-1]) for path, reason in damaged_models()] == [
        ("changed", "."),
        ("empty", "."),
        ("no-weights", "."),
    ]
    with pytest.raises(ModelError, match="LICENSE is damaged"):
        find_model("changed")


def test_verify_tells_what_became_of_a_model_after_it_was_listed(bundle: Path, user_folder: Path) -> None:
    model = import_model(bundle)
    (model.path / "LICENSE").unlink()
    (model.path / WEIGHTS).write_bytes((model.path / WEIGHTS).read_bytes()[:-1])
    told = " ".join(verify_model(model))
    assert "LICENSE" in told
    assert "cut short" in told
    shutil.rmtree(model.path)
    assert "no model at" in verify_model(model)[0]


def test_a_model_is_not_replaced_unless_asked(bundle: Path, user_folder: Path, network: torch.nn.Module) -> None:
    import_model(bundle)
    newer = write_bundle(bundle.parent / "newer", make_spec(version="2.0.0"), network.state_dict(), LICENCE)
    with pytest.raises(ModelError, match="already a model"):
        import_model(newer)
    assert find_model("test-model").spec.version == "1.2.0"
    import_model(newer, replace=True)
    assert find_model("test-model").spec.version == "2.0.0"
    assert [p.name for p in user_folder.iterdir()] == ["test-model"]


def test_a_bundled_model_is_hidden_only_when_asked(
    bundle: Path, user_folder: Path, tmp_path: Path, network: torch.nn.Module
) -> None:
    write_bundle(tmp_path / "bundled" / "test-model", make_spec(version="0.1.0"), network.state_dict(), LICENCE)
    assert find_model("test-model").spec.version == "0.1.0"
    with pytest.raises(ModelError, match="comes with the program"):
        import_model(bundle)
    assert not user_folder.exists()
    import_model(bundle, replace=True)
    assert find_model("test-model").spec.version == "1.2.0"
    assert _names() == ["test-model"]


def test_a_folder_that_claims_a_bundled_models_name_is_not_used(
    bundle: Path, user_folder: Path, tmp_path: Path, network: torch.nn.Module
) -> None:
    write_bundle(tmp_path / "bundled" / "test-model", make_spec(version="0.1.0"), network.state_dict(), LICENCE)
    for folder, cause in (("test-model", "has the name of one that comes with"), ("elsewhere", "calls itself")):
        shutil.copytree(bundle, user_folder / folder)
        assert find_model("test-model").spec.version == "0.1.0"
        assert [cause in sentence for _, sentence in damaged_models()] == [True]
        shutil.rmtree(user_folder / folder)
    import_model(bundle, replace=True)
    assert find_model("test-model").spec.version == "1.2.0"
    shutil.rmtree(user_folder / "test-model")  # what was allowed once was allowed to that very model
    write_bundle(user_folder / "test-model", make_spec(version="3.0.0"), network.state_dict(), LICENCE)
    assert find_model("test-model").spec.version == "0.1.0"


def test_what_is_installed_is_what_was_checked_even_if_the_archive_changes_meanwhile(
    archive: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sum_ = hashlib.sha256(archive.read_bytes()).hexdigest()
    read = store.read_archive

    def read_then_changed(path: Path) -> bytes:
        data = read(path)
        path.write_bytes(b"something else by now")
        return data

    monkeypatch.setattr(store, "read_archive", read_then_changed)
    model = import_model(archive, checksum=sum_)
    assert verify_model(model) == []


def test_what_git_and_other_tools_leave_in_a_folder_is_not_part_of_the_model(bundle: Path, user_folder: Path) -> None:
    clean = load_bundle(bundle)
    (bundle / ".gitattributes").write_text("*.safetensors filter=lfs", encoding="utf-8")
    (bundle / ".git" / "objects").mkdir(parents=True)
    (bundle / ".git" / "objects" / "pack.idx").write_bytes(b"\x80\x04")
    (bundle / "models" / ".gitkeep").touch()
    assert load_bundle(bundle).identity == clean.identity
    imported = import_model(bundle)
    assert [path.name for path in imported.path.rglob(".*")] == []


def test_the_page_of_a_site_that_hosts_models_is_no_harm(bundle: Path, user_folder: Path) -> None:
    (bundle / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    assert verify_model(load_bundle(bundle)) == []
    assert import_model(bundle).spec == load_bundle(bundle).spec
    (bundle / "docs" / "other.md").write_text("x", encoding="utf-8")
    with pytest.raises(ModelError, match="not in its checksums"):
        load_bundle(bundle)


def test_one_bad_model_does_not_stop_the_others(
    bundle: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_model(bundle)
    text = (bundle / "configs" / "metadata.json").read_text(encoding="utf-8")
    bad = Path(shutil.copytree(bundle, user_folder / "bad"))
    for old, new in (('"format": 1', f'"format": {10**400}'), ('"label": 1', f'"label": {"9" * 400}')):
        assert old in text
        (bad / "configs" / "metadata.json").write_text(text.replace(old, new), encoding="utf-8")
        assert _names() == ["test-model"]
        assert len(damaged_models()) == 1

    def broken(metadata: object) -> None:
        raise OverflowError("of a kind that nobody has thought of")

    monkeypatch.setattr("AutofocusCore.models.bundle.ModelSpec.from_metadata", broken)
    assert _names() == []
    assert any("cannot be understood" in sentence for _, sentence in damaged_models())


def test_the_published_checksum_decides(archive: Path, bundle: Path, user_folder: Path) -> None:
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    for wrong, said in (("0" * 64, "not the expected one"), ("abc", "no SHA-256")):
        with pytest.raises(ModelError, match=said):
            import_model(archive, checksum=wrong)
    assert not user_folder.exists()
    import_model(archive, checksum="SHA256:" + right.upper())
    import_model(bundle, checksum=hashlib.sha256((bundle / WEIGHTS).read_bytes()).hexdigest(), replace=True)


def test_a_refused_model_leaves_no_trace(
    bundle: Path, rezip: Callable[..., Path], user_folder: Path, tmp_path: Path
) -> None:
    (bundle / WEIGHTS).write_bytes(b"\x80\x04nonsense")
    for bad in (bundle, rezip(("test-model/../../escape.txt", b"x")), tmp_path / "nowhere"):
        with pytest.raises(ModelError):
            import_model(bad)
    assert not user_folder.exists()
    assert not list(tmp_path.rglob("escape.txt"))


def test_a_user_folder_that_cannot_be_made_is_an_output_error(bundle: Path, user_folder: Path) -> None:
    user_folder.write_bytes(b"a file is in the way")
    with pytest.raises(OutputError, match="Cannot write"):
        import_model(bundle)


def test_the_exported_archive_is_the_same_bytes_each_time_and_imports(
    bundle: Path, archive: Path, user_folder: Path, tmp_path: Path
) -> None:
    model = import_model(archive)
    again = export_zip(model, tmp_path / "again.zip")
    assert again.read_bytes() == archive.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.zip", "source", "user models"]


def test_a_damaged_model_is_not_exported(bundle: Path, tmp_path: Path) -> None:
    model = load_bundle(bundle)
    (bundle / "LICENSE").write_text("mine", encoding="utf-8")
    with pytest.raises(ModelError, match="LICENSE is damaged"):
        export_zip(model, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


IMPORT = """
import sys
from AutofocusCore.errors import ModelError
from AutofocusCore.models import import_model
for _ in range(3):
    for path in sys.argv[2:]:
        try:
            import_model(path, replace=sys.argv[1] == "replace")
        except ModelError as error:
            if "already a model" not in str(error) and "keep writing" not in str(error):
                raise
"""


@pytest.mark.parametrize("mode", ["replace", "keep"])
def test_imports_at_once_leave_one_whole_model(
    mode: str, bundle: Path, user_folder: Path, network: torch.nn.Module
) -> None:
    other = write_bundle(bundle.parent / "other", make_spec(version="9.0.0"), network.state_dict(), LICENCE)
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", IMPORT, mode]
    running = [
        fork_server.start([*command, *map(str, paths)], cwd=root, stderr=subprocess.PIPE, encoding="utf-8")
        for paths in ((bundle, other), (other, bundle), (bundle, other))
    ]
    for process in running:
        _, stderr = process.communicate(timeout=patience())
        assert process.returncode == 0, stderr
    assert [p.name for p in user_folder.iterdir()] == ["test-model"]
    model = find_model("test-model")
    assert verify_model(model) == []
    assert model.spec.version in ("1.2.0", "9.0.0")


@pytest.mark.parametrize("look", ["iterdir", "is_file"])
@pytest.mark.parametrize("comes_back", [False, True], ids=["away", "replaced"])
def test_a_model_that_another_process_moves_away_while_it_is_looked_at_is_no_stranger(
    look: str, comes_back: bool, bundle: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, moved = import_model(bundle).path, []
    of_old = getattr(Path, look)

    def looked(path: Path) -> object:
        if path in (placed, placed / files.METADATA) and not moved:
            moved.append(placed.rename(user_folder.parent / "moved"))
            found = of_old(path) if look == "is_file" else iter(of_old(path))
            if comes_back:
                shutil.copytree(moved[0], placed)
            return found
        return of_old(path)

    monkeypatch.setattr(Path, look, looked)
    assert import_model(bundle, replace=True).path == placed
    assert moved
    assert verify_model(find_model("test-model")) == []


def test_a_model_that_is_moved_away_just_after_it_was_in_the_way_is_not_missed(
    bundle: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, moved, rename = import_model(bundle).path, [], Path.rename

    def renamed(path: Path, target: Path) -> Path:
        try:
            return rename(path, target)
        except OSError:
            if target == placed and not moved:
                moved.append(rename(placed, user_folder.parent / "moved"))
            raise

    monkeypatch.setattr(Path, "rename", renamed)
    assert import_model(bundle, replace=True).path == placed
    assert moved
    assert verify_model(find_model("test-model")) == []


@pytest.mark.parametrize("fails", [False, True], ids=["files of both", "files missing"])
def test_a_model_that_is_replaced_while_it_is_read_is_read_again(
    fails: bool, bundle: Path, user_folder: Path, network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_model(bundle)
    other = write_bundle(bundle.parent / "other", make_spec(version="9.0.0"), network.state_dict(), LICENCE)
    read_folder, readings = files._read_folder, []

    def read(path: Path) -> dict[str, bytes]:
        found = read_folder(path)
        readings.append(path)
        if path == user_folder / "test-model" and readings.count(path) == 1:
            import_model(other, replace=True)
            if fails:
                raise FileNotFoundError(path)
            return {**read_folder(path), files.METADATA: found[files.METADATA]}
        return found

    monkeypatch.setattr(files, "_read_folder", read)
    assert find_model("test-model").spec.version == "9.0.0"


def test_a_killed_import_leaves_no_model_by_half(bundle: Path, user_folder: Path) -> None:
    script = f"""
import os
from pathlib import Path
from AutofocusCore.models import import_model, replace_folder
replace_folder._rename = lambda *args, **kwargs: os._exit(9)
import_model({str(bundle)!r})
"""
    root = Path(__file__).resolve().parents[3]
    assert fork_server.run([sys.executable, "-c", script], cwd=root, env=dict(os.environ)).returncode == 9
    assert list_models() == []
    assert damaged_models() == []
    import_model(bundle)
    assert _names() == ["test-model"]


def test_an_import_killed_between_its_two_renames_gives_the_old_model_back(bundle: Path, user_folder: Path) -> None:
    import_model(bundle).path.rename(user_folder / ".autofocus-replaced-0123456789abcdef-test-model")
    write_bundle(user_folder / "another", make_spec(name="another"), load_bundle(bundle).build().state_dict(), LICENCE)
    assert _names() == ["another", "test-model"]
    assert sorted(p.name for p in user_folder.iterdir()) == ["another", "test-model"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a process's files.")
def test_a_full_disk_is_an_output_error_and_leaves_nothing(bundle: Path, user_folder: Path) -> None:
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from AutofocusCore.errors import OutputError
from AutofocusCore.models import import_model
try:
    import_model({str(bundle)!r})
except OutputError as error:
    print(error)
"""
    root = Path(__file__).resolve().parents[3]
    run = fork_server.run([sys.executable, "-c", script], cwd=root, env=dict(os.environ))
    assert "Cannot write" in run.stdout
    assert "free space" in run.stdout
    assert list(user_folder.iterdir()) == []


def test_listing_needs_no_torch(bundle: Path, user_folder: Path) -> None:
    import_model(bundle)
    script = "import sys, json; from AutofocusCore.models import list_models, find_model; find_model('test-model'); "
    script += "print(json.dumps(['test-model' in [m.spec.name for m in list_models()], 'torch' in sys.modules]))"
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", script], cwd=root, check=True, timeout=patience(), capture_output=True)
    assert json.loads(run.stdout) == [True, False]


def test_building_a_network_does_not_load_torchs_compiler(bundle: Path) -> None:
    code = "import sys; sys.modules['torch._dynamo'] = None  # importing it now fails\n"
    code += "from AutofocusCore.models import load_bundle; print(load_bundle(sys.argv[1]).build().margin)"
    command = [sys.executable, "-c", code, str(bundle)]
    run = fork_server.run(command, cwd=Path(__file__).resolve().parents[3], env=dict(os.environ))
    assert run.stdout == "14\n", run.stderr
