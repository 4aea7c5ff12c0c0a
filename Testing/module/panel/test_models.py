"""The list of models: opened by a button, searched, added to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from Testing.module.panel.conftest import ROOT, TINY, Application, write_tiny_model


def test_the_button_opens_the_list_which_the_search_narrows(app: Application) -> None:
    app.wait(lambda: TINY in app.panel.models.names)
    app.ui.modelButton.click()
    assert app.ui.modelPopup.visible
    tree = app.ui.modelTree

    def shown() -> set[str]:
        items = [tree.topLevelItem(i) for i in range(tree.topLevelItemCount)]
        return {item.text(0) for item in items if not item.isHidden()}

    everything = shown()
    app.ui.modelSearchLineEdit.setText("seminal ct")
    assert {title.partition(" (")[0] for title in shown()} == {"Pelvic CT phantom"}
    app.ui.modelSearchLineEdit.setText("")
    assert shown() == everything
    app.ui.modelPopup.hide()


def test_the_chosen_model_says_what_it_finds_in_plain_text(app: Application) -> None:
    app.wait(lambda: TINY in app.panel.models.names)
    app.panel.models.choose("pelvis-phantom")
    assert app.ui.modelButton.text == "Pelvic CT phantom (CT)"
    assert "Seminal vesicles" in app.ui.modelSummaryLabel.text
    assert "mean Dice" in app.ui.modelSummaryLabel.text
    from AutofocusSegmentationLib.panel.model_list import summary

    hostile = {"structures": [{"name": "<b>x</b>"}], "dice": {}}
    assert "<b>" not in summary(hostile)


def test_a_dice_of_some_structures_says_of_which(app: Application) -> None:
    from AutofocusSegmentationLib.panel.model_list import summary

    structures = [{"name": name} for name in ("Bladder", "Prostate", "Rectum", "Sacrum", "Colon", "Femur")]
    assert summary({"structures": structures[:2], "dice": {"Bladder": 0.9}}) == (
        "Bladder, Prostate; Dice 0.90 on unseen cases, measured of Bladder alone."
    )
    five = {entry["name"]: 0.9 for entry in structures[:5]}
    assert "measured of 5 structures alone." in summary({"structures": structures, "dice": five})
    assert "mean Dice 0.90 on unseen cases." in summary({"structures": structures[:5], "dice": five})


def test_escape_at_the_question_for_the_checksum_imports_nothing(app: Application, tmp_path: Path) -> None:
    app.wait(lambda: TINY in app.panel.models.names)
    archive = shutil.make_archive(
        str(tmp_path / "other"), "zip", root_dir=os.environ["AUTOFOCUS_MODELS"], base_dir=TINY
    )
    app.host.dialogs.answers.append(archive)  # the file; and Escape at the next question
    app.ui.importModelButton.click()
    asked = [dialog for dialog in app.host.dialogs.seen if dialog.kind == "QInputDialog"]
    assert len(asked) == 1
    app.pause()
    assert not [dialog for dialog in app.host.dialogs.seen if "in its place" in dialog.text], "nothing was imported"


def test_a_model_that_is_no_model_is_refused_with_its_reason(app: Application, tmp_path: Path) -> None:
    app.wait(lambda: bool(app.panel.models.names))
    path = tmp_path / "model.zip"
    path.write_bytes(b"no archive")
    app.panel.models.import_file(str(path))
    app.wait(lambda: "color" in app.ui.modelSummaryLabel.text)


def test_a_model_of_a_known_name_replaces_it_if_the_user_says_so(app: Application, tmp_path: Path) -> None:
    import qt

    name = "pelvis-phantom"
    app.wait(lambda: name in app.panel.models.names)
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", ROOT / "AutofocusCore" / "bundles", name)
    folder = Path(os.environ["AUTOFOCUS_MODELS"]) / name
    app.panel.models.import_file(archive)  # and No
    app.wait(lambda: any(name in dialog.text for dialog in app.host.dialogs.seen))
    assert not folder.exists()
    app.host.dialogs.answers.append(qt.QMessageBox.Yes)
    app.panel.models.import_file(archive)
    app.wait(folder.exists)
    app.pause()
    shutil.rmtree(folder)


def test_a_model_that_was_imported_is_chosen(app: Application, tmp_path: Path) -> None:
    app.wait(lambda: TINY in app.panel.models.names)
    app.panel.models.choose(TINY)
    models = Path(os.environ["AUTOFOCUS_MODELS"])
    write_tiny_model(tmp_path / "tiny-new", title="Tiny new")
    app.panel.models.import_file(shutil.make_archive(str(tmp_path / "new"), "zip", tmp_path, "tiny-new"))
    app.wait(lambda: (app.panel.models.chosen or {}).get("name") == "tiny-new")
    assert app.panel.parameters.model_name == "tiny-new"
    shutil.rmtree(models / "tiny-new")
    app.panel.load_models(TINY)
    app.wait(lambda: "tiny-new" not in app.panel.models.names)
