"""Texts that a terminal or a spreadsheet would obey are made harmless."""

from __future__ import annotations

import pytest

from AutofocusCore.io.texts import csv_cell, plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\x08\x9b1m", r"a\rb\x08\x9b1m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("Bäcker × 3 µm\nnext\tline", "Bäcker × 3 µm\nnext\tline"),
    ],
)
def test_a_terminal_is_told_nothing_but_text(text: str, shown: str) -> None:
    assert plain_text(text) == shown


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+2", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r=1"])
def test_a_cell_that_begins_like_a_formula_is_text(text: str) -> None:
    assert csv_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["+1", "-2.5", "@", "=1"])
def test_a_name_is_text_though_it_looks_like_a_number(text: str) -> None:
    assert csv_cell(text, name=True) == "'" + text
    assert csv_cell("anna", name=True) == "anna"


@pytest.mark.parametrize("value", ["anna", "-12.5", "+3", "", "a=b", 7, -1.5, None])
def test_other_cells_and_numbers_stay(value: object) -> None:
    assert csv_cell(value) == value
