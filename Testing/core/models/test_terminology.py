"""The codes of the structures: of the form that DICOM and Slicer ask for, and each structure its own."""

from __future__ import annotations

import pytest

from AutofocusCore.errors import ModelError
from AutofocusCore.models import terminology
from AutofocusCore.models.parts import Code
from AutofocusCore.models.terminology import KNOWN, structure, structures

# Verhoeff's dihedral group D5, in which the last digit of a SNOMED CT identifier is a check digit.
PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _product(a: int, b: int) -> int:
    turn = (a % 5 + b) % 5 if a < 5 and b < 5 else 0
    if a < 5 and b >= 5:
        turn = (a + b) % 5 + 5
    elif a >= 5 and b < 5:
        turn = (a - b) % 5 + 5
    elif a >= 5:
        turn = (a - b) % 5
    return turn


def _check(identifier: str) -> int:
    total = 0
    for place, digit in enumerate(reversed(identifier)):
        value = int(digit)
        for _ in range(place % 8):
            value = PERMUTATION[value]
        total = _product(total, value)
    return total


CODES = {name: code for name, code in vars(terminology).items() if isinstance(code, Code)}


@pytest.mark.parametrize("name", CODES)
def test_every_code_is_a_snomed_ct_concept_with_a_right_check_digit(name: str) -> None:
    code = CODES[name]
    assert code.scheme == "SCT"
    assert code.value[-3:-1] in ("00", "10"), "concept identifiers have 00 or 10 before the check digit"
    assert _check(code.value) == 0


def test_a_wrong_digit_would_be_noticed() -> None:
    assert _check("41216002") != 0
    assert _check("41261001") != 0


def test_every_structure_has_a_triplet_and_a_colour_of_its_own() -> None:
    made = structures(*KNOWN)
    assert [s.label for s in made] == list(range(1, len(KNOWN) + 1))
    assert len({s.color for s in made}) == len(made)
    assert len({(s.type, s.modifier) for s in made}) == len(made)
    assert all(s.category == terminology.ANATOMICAL_STRUCTURE for s in made)


def test_sides_are_told_apart_by_the_modifier() -> None:
    left, right = structure("Left femur", 5), structure("Right femur", 6)
    assert left.type == right.type == terminology.FEMUR
    assert (left.modifier, right.modifier) == (terminology.LEFT, terminology.RIGHT)


def test_an_unknown_structure_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'Spleen'.*Prostate"):
        structure("Spleen", 1)
