"""Configuration files: begun from others, changed on the command line, written and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore.errors import SettingError
from Training.configuration.toml_files import apply_overrides, read_values, toml_text, values_of


def test_a_file_wins_over_its_base_field_by_field(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "first.toml").write_text("[run]\nsteps = 1\nseed = 7\n[data]\nwatch = 0\n", encoding="utf-8")
    (tmp_path / "second.toml").write_text(
        'base = "far/first.toml"\n[run]\nsteps = 2\nlist = [1, 2]\n', encoding="utf-8"
    )
    (tmp_path / "third.toml").write_text('base = "second.toml"\n[run]\nlist = [3]\n', encoding="utf-8")
    read = read_values(tmp_path / "third.toml", ["run.seed=9"])
    assert read == {"run": {"steps": 2, "seed": 9, "list": [3]}, "data": {"watch": 0}}


def test_a_file_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "b.toml"\n', encoding="utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"\n', encoding="utf-8")
    with pytest.raises(SettingError, match="is its own base"):
        read_values(tmp_path / "a.toml")


def test_a_base_that_is_missing_or_no_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "nowhere.toml"\n', encoding="utf-8")
    with pytest.raises(SettingError, match=r"nowhere\.toml cannot be read"):
        read_values(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("base = 3\n", encoding="utf-8")
    with pytest.raises(SettingError, match="base is 3"):
        read_values(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run.steps=3", 3),
        ("run.steps = 3", 3),
        ("run.steps=1e-3", 0.001),
        ("run.steps=[1, 2]", [1, 2]),
        ("run.steps=true", True),
        ('run.steps="dice"', "dice"),
        ("run.steps=dice", "dice"),
        ("run.steps=a folder/with=signs", "a folder/with=signs"),
    ],
)
def test_an_override_is_toml_or_a_bare_word(override: str, expected: object) -> None:
    assert apply_overrides({"run": {"steps": 1, "seed": 2}}, [override]) == {"run": {"steps": expected, "seed": 2}}


def test_an_override_reaches_a_table_within_a_table_and_leaves_the_rest() -> None:
    before = {"model": {"architecture": {"norm": "branch", "architecture": "afn-1"}}}
    after = apply_overrides(before, ["model.architecture.norm=fused", "run.seed=2"])
    assert after == {"model": {"architecture": {"norm": "fused", "architecture": "afn-1"}}, "run": {"seed": 2}}
    assert before["model"]["architecture"]["norm"] == "branch"


@pytest.mark.parametrize("override", ["steps=3", "run.steps", ".steps=3", "run.steps=[1", "run.steps=", "run.a=1\nb=2"])
def test_an_override_of_another_form_is_refused(override: str) -> None:
    with pytest.raises(SettingError, match="--set"):
        apply_overrides({}, [override])


def test_what_is_written_is_read_back_without_what_is_none() -> None:
    values = {"a": {"b": (1, 2), "c": None, "text": 'with "marks"\nand lines'}, "list": [{"d": 1.5}, {"d": True}]}
    assert values_of(toml_text(values), "it") == {
        "a": {"b": [1, 2], "text": 'with "marks"\nand lines'}, "list": [{"d": 1.5}, {"d": True}],
    }  # fmt: skip
