"""The worker's request "teach"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from AutofocusCore.errors import Cancelled, SettingError
from AutofocusCore.models import load_bundle
from AutofocusCore.worker.teaching import teach
from Testing.core.small_lessons import write_ball_model, write_corrections
from Testing.core.small_networks import narrow_networks

pytestmark = pytest.mark.timeout(300)  # the first test also loads torch's optimisers, on a busy computer


@pytest.fixture(scope="module")
def request_fields(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A request with two corrected cases, for a narrow network with hardly any training."""
    folder = tmp_path_factory.mktemp("teach")
    with narrow_networks():
        model = write_ball_model(folder / "balls", steps=1)
        cases = write_corrections(folder / "cases", [1, 2], grown=1.0)
        listed = [
            {"name": str(n), "images": [str(cases / f"case-{n}.nii.gz")], "labels": str(cases / f"case-{n}.seg.nrrd")}
            for n in (1, 2)
        ]
        yield {"model": str(model), "cases": listed, "settings": {"steps": 1}}


def test_a_model_is_taught_with_progress_of_every_stage(request_fields: dict[str, Any], tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    request = {**request_fields, "output": str(tmp_path / "new")}
    answer = teach(request, said.append, lambda: False)
    assert load_bundle(answer["written"]).spec.name == "new"
    assert answer["lessons"] == ["1", "2"]
    assert answer["better"]
    assert [row["structure"] for row in answer["structures"]] == ["Anterior hippocampus", "Posterior hippocampus"]
    assert list(dict.fromkeys(fields["stage"] for fields in said)) == ["read", "before", "keep", "teach", "after"]


def test_a_model_that_is_not_better_is_written_only_anyway(request_fields: dict[str, Any], tmp_path: Path) -> None:
    settings = {"check": ["1"], "minutes": 1e-9}
    request = {**request_fields, "output": str(tmp_path / "new"), "settings": settings}
    answer = teach(request, lambda fields: None, lambda: False)
    assert (answer["better"], answer["written"]) == (False, None)
    assert not (tmp_path / "new").exists()
    assert teach({**request, "anyway": True}, lambda fields: None, lambda: False)["written"]


def test_a_request_that_was_stopped_goes_on_when_it_comes_again(request_fields: dict[str, Any], tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    request = {**request_fields, "output": str(tmp_path / "new"), "settings": {"steps": 3}}

    def stopped() -> bool:
        return bool(said) and (said[-1]["stage"], said[-1]["done"]) == ("teach", 33)

    with pytest.raises(Cancelled):
        teach(request, said.append, stopped)
    said.clear()
    assert teach(request, said.append, lambda: False)["resumed"] == 2
    assert [fields["said"] for fields in said if "said" in fields] == [
        "The lesson goes on after 2 steps, where it was stopped."
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_cancelled_request_leaves_nothing(request_fields: dict[str, Any], tmp_path: Path) -> None:
    stages: list[str] = []
    request = {**request_fields, "output": str(tmp_path / "new")}
    with pytest.raises(Cancelled):
        teach(request, lambda fields: stages.append(fields["stage"]), lambda: "before" in stages)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cases": None}, "cases are None; give a list"),
        ({"cases": [{"name": "a"}]}, "give name, images .a list. and labels"),
        ({"cases": [{"name": "a", "images": ["x"]}]}, "labels is None"),
        ({"settings": {"minuets": 3}}, "settings of teaching"),
        ({"settings": {"minutes": "ten"}}, "minutes of teaching are 'ten'"),
        ({"settings": {"structures": "Larynx"}}, "structures is 'Larynx'; give a list"),
        ({"settings": {"steps": -1}}, "steps is -1"),
        ({"settings": {"memory_limit": 0}}, "memory limit is 0"),
    ],
)
def test_a_request_that_is_wrong_is_answered_in_a_sentence(
    change: dict[str, Any], sentence: str, request_fields: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=sentence):
        teach({**request_fields, "output": str(tmp_path / "new"), **change}, lambda fields: None, lambda: False)
