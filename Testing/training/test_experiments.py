"""What a table consists of, and which go through the folds of their data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from AutofocusCore.errors import SettingError
from Training.configuration.config import load_config
from Training.configuration.experiments import experiments, refuse_folds


def test_a_table_whose_data_are_prepared_with_folds_goes_through_all_of_them() -> None:
    assert {load_config(path).data.fold for path in experiments("pelvic-ct").values()} == {0}


def test_the_networks_on_real_ct_learn_from_the_same_scans_in_the_same_way() -> None:
    configs = [load_config(path) for path in experiments("head-neck-ct").values()]
    ours = [c for c in configs if c.baseline is None]
    shared = [(c.data, c.scans, c.augmentation, c.optimizer, c.run, c.model.structures) for c in ours]
    assert all(one == shared[0] for one in shared)
    assert ours[0].run.steps == 8 * 170
    names = [c.model.architecture["architecture"] for c in ours]
    assert names == ["basic", "afn-1", "afn-4", "afn-6", "aspp-c"]
    (dynunet,) = (c for c in configs if c.baseline is not None)
    first = ours[0]
    assert (dynunet.data, dynunet.augmentation, dynunet.optimizer) == (first.data, first.augmentation, first.optimizer)
    assert replace(dynunet.run, steps=first.run.steps) == first.run, "fewer steps, in the same hours"


def test_folds_are_asked_only_of_a_configuration_that_names_one(balls_config: Path) -> None:
    config = load_config(balls_config)
    refuse_folds(config, [])
    refuse_folds(load_config(balls_config, ["data.fold=0", "data.folds=2"]), [0, 1])
    with pytest.raises(SettingError, match=r"no folds 0, 1 of it; leave --folds out"):
        refuse_folds(config, [0, 1])
