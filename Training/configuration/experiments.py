"""The configurations of a table, and the runs of each by seed and fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from AutofocusCore.errors import InputError, SettingError
from Training.configuration.config import Config
from Training.preparing.data_list import read_data_list

CONFIGS = Path(__file__).parents[1] / "configs"
FIRST = "basic"


@dataclass(frozen=True)
class Member:
    """One training run of a table.

    Args:
        model: name of the network, its configuration's.
        name: of the run among the model's: "seed 1, fold 0".
        config: with seed and fold put in.
        folder: of the run.
    """

    model: str
    name: str
    config: Config
    folder: Path


def experiments(table: str, only: Sequence[str] = ()) -> dict[str, Path]:
    """The configurations of a table by their names, `FIRST` first; files named base… are only begun from.

    Raises:
        SettingError: there is no such table, or nothing in it has one of the names.
    """
    folder = next((f for f in (CONFIGS / table, Path(table)) if f.is_dir()), None)
    if folder is None:
        known = ", ".join(sorted(f.name for f in CONFIGS.iterdir() if f.is_dir()))
        raise SettingError(f"There is no table {table}", f"use networks, {known} or a folder of configurations")
    found = {
        path.stem: path
        for path in sorted(folder.glob("*.toml"), key=lambda p: p.stem)
        if not path.stem.startswith("base")
    }
    unknown = [name for name in only if name not in found]
    if unknown or not found:
        raise SettingError(f"{folder} has no configuration {unknown[0] if unknown else ''}", f"use {', '.join(found)}")
    chosen = {name: path for name, path in found.items() if not only or name in only}
    return dict(sorted(chosen.items(), key=lambda item: item[0] != FIRST))


def refuse_folds(config: Config, folds: Sequence[int]) -> None:
    """Refuse folds for a configuration without folds.

    Raises:
        SettingError: there are some.
    """
    if folds and config.data.fold is None:
        asked = ", ".join(map(str, folds))
        raise SettingError(
            f"The configuration has no data.fold, so that there are no folds {asked} of it",
            "leave --folds out, or add --set data.fold=0 where the data have folds",
        )


def members(
    model: str, config: Config, seeds: Sequence[int], folds: Sequence[int], data: Path | None, folder: Path
) -> list[Member]:
    """The runs of a network: one for each seed, and for each fold where the configuration names one of them.

    Args:
        model: the network's name.
        config: its configuration.
        seeds: none: the configuration's own.
        folds: none: all that there are.
        data: folder of the data set, in place of the configuration's.
        folder: of the table's runs.

    Raises:
        InputError: the data have no folds.
    """
    numbers: Sequence[int | None] = [None]
    if config.data.fold is not None:
        numbers = folds or folds_of(config, data)
    result = []
    for seed in seeds or [config.run.seed]:
        for fold in numbers:
            own = replace(config, run=replace(config.run, seed=seed), data=replace(config.data, fold=fold))
            name = f"seed {seed}" + ("" if fold is None else f", fold {fold}")
            result.append(Member(model, name, own, folder / model / name.replace(", ", "-").replace(" ", "-")))
    return result


def folds_of(config: Config, data: Path | None) -> list[int]:
    """The folds of a cross-validation, all of them.

    Raises:
        InputError: a prepared folder without folds, or none at all.
    """
    if config.data.source != "prepared":
        return list(range(config.data.folds))
    folder = data or Path(config.data.folder)
    folds = sorted({case.fold for case in read_data_list(folder).cases if case.fold is not None})
    if not folds:
        raise InputError(f"{folder} has no folds", "prepare it with --folds, or leave data.fold out")
    return folds
