"""Removing a model: from the user's folder alone, and as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from AutofocusCore.errors import ModelError, OutputError
from AutofocusCore.models import find_model, import_model, list_models, remove_model


def test_a_removed_model_is_gone_and_nothing_of_it_is_left(bundle: Path, user_folder: Path) -> None:
    checksum = import_model(bundle).checksum
    removed = remove_model("Test-Model")
    assert (removed.name, removed.version, removed.checksum) == ("test-model", "1.2.0", checksum)
    assert removed.path == user_folder / "test-model"
    assert not removed.uncovers
    assert list(user_folder.iterdir()) == []
    assert list_models() == []


def test_a_damaged_model_can_be_removed_too(bundle: Path, user_folder: Path) -> None:
    (import_model(bundle).path / "LICENSE").write_text("changed")
    removed = remove_model("test-model")
    assert (removed.version, removed.checksum) == ("", "")
    assert list(user_folder.iterdir()) == []


def test_the_model_that_comes_with_the_program_stays_and_is_used_again(
    bundle: Path, user_folder: Path, tmp_path: Path
) -> None:
    bundled = shutil.copytree(bundle, tmp_path / "bundled" / "test-model")
    with pytest.raises(ModelError, match="test-model comes with the program; only models of your own"):
        remove_model("test-model")
    import_model(bundle, replace=True)
    assert remove_model("test-model").uncovers
    assert find_model("test-model").path == bundled
    # A model that is copied there by hand later may not hide it: the permission went with the model.
    shutil.copytree(bundle, user_folder / "test-model")
    assert find_model("test-model").path == bundled


@pytest.mark.parametrize("name", ["", "..", "../source/test-model", "a\\b", ".hides-bundled"])
def test_a_path_is_not_the_name_of_a_model(name: str, bundle: Path, user_folder: Path) -> None:
    import_model(bundle)
    with pytest.raises(ModelError, match="is not the name of a model"):
        remove_model(name)
    assert bundle.is_dir()
    assert list_models()


def test_an_unknown_name_and_a_folder_that_is_no_model_are_refused(bundle: Path, user_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'test-model' in your model folder .*; you have none"):
        remove_model("test-model")
    import_model(bundle)
    with pytest.raises(ModelError, match=r"no model 'test' in your model folder .*; there are test-model"):
        remove_model("test")
    notes = user_folder / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("keep")
    with pytest.raises(ModelError, match="is not a model; remove it yourself"):
        remove_model("notes")
    assert (notes / "mine.txt").is_file()


def test_a_link_is_removed_and_what_it_leads_to_stays(bundle: Path, user_folder: Path) -> None:
    user_folder.mkdir()
    try:
        (user_folder / "test-model").symlink_to(bundle, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make links")
    remove_model("test-model")
    assert list(user_folder.iterdir()) == []
    assert (bundle / "checksums.json").is_file()


def test_a_model_that_may_not_be_renamed_stays_whole(
    bundle: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_model(bundle)

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="permission denied"):
        remove_model("test-model")
    assert find_model("test-model").build() is not None
