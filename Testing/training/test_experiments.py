"""What a table consists of, and which go through the folds of their data."""

from __future__ import annotations

from pathlib import Path

import pytest

from AutofocusCore.errors import SettingError
from Training.configuration.config import load_config
from Training.configuration.experiments import experiments, refuse_folds


@pytest.mark.parametrize("table", ["head-neck-ct", "pelvic-ct"])
def test_tables_whose_data_are_prepared_with_folds_go_through_all_of_them(table: str) -> None:
    assert {load_config(path).data.fold for path in experiments(table).values()} == {0}


def test_folds_are_asked_only_of_a_configuration_that_names_one(balls_config: Path) -> None:
    config = load_config(balls_config)
    refuse_folds(config, [])
    refuse_folds(load_config(balls_config, ["data.fold=0", "data.folds=2"]), [0, 1])
    with pytest.raises(SettingError, match=r"no folds 0, 1 of it; leave --folds out"):
        refuse_folds(config, [0, 1])
