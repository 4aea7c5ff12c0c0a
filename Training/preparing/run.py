"""Prepares all cases, in several processes if asked for, shows progress, and writes the list of the results."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from AutofocusCore import __version__
from AutofocusCore.errors import InputError, OutputError, SettingError
from AutofocusCore.io.atomic import write_text
from AutofocusCore.io.holding import HELD, hold
from AutofocusCore.io.temporary import remove_leftovers
from Training.preparing.data_list import CaseEntry, DataList
from Training.preparing.folds import assign_folds
from Training.preparing.found import Found, FoundCase
from Training.preparing.making import CASES, Outcome, make_case
from Training.preparing.reading import Settings
from Training.preparing.suspects import FILE_NAME, contours_csv, look_at_contours, settings_text


def prepare_all(
    found: Found, out: Path, settings: Settings, *, folds: int = 0, seed: int = 0, workers: int = 1, asked: Any = None
) -> DataList:
    """Make every case and write data.json.

    Args:
        found: the collection.
        out: the prepared folder; cases that are there already, made in the same way, are kept.
        folds: number of folds for cross-validation over the training cases, 0 for none.
        seed: of the folds.
        workers: processes.
        asked: what the user asked for, recorded as it is.

    Raises:
        InputError: no case can be used; all problems are in the message.
        SettingError: the folder lies within the source, where the next run would read it as data.
        OutputError: nothing may be written there, another process writes there, or one was ended from outside.
    """
    if out.resolve().is_relative_to(found.source.resolve()):
        raise SettingError(f"{out} lies in the data's own folder {found.source}", "give a folder elsewhere")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made ({error.strerror})", "give another folder") from None
    cause, remedy = f"Another preparation is writing to {out}", "wait for it to end, or give another folder"
    with hold(out / HELD, cause, remedy):
        return _prepare(found, out, settings, folds, seed, workers, asked)


def _prepare(found: Found, out: Path, settings: Settings, folds: int, seed: int, workers: int, asked: Any) -> DataList:
    remove_leftovers(out / CASES)
    outcomes: dict[str, Outcome] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("preparing", total=len(found.cases))
        for outcome in _outcomes(found, settings, out, workers):
            outcomes[outcome.case] = outcome
            progress.update(task, advance=1, description=outcome.case)

    problems = list(found.problems)
    for case in found.cases:
        problems += outcomes[case.name].problems
    usable = [case for case in found.cases if outcomes[case.name].facts is not None]
    if not usable:
        listed = " ".join(f"{p.case}: {p.problem}" for p in problems)
        raise InputError(f"No case can be used. {listed}".rstrip("."), "correct what is named, or give another folder")
    fold = assign_folds(found.cases, folds, seed)  # also for cases left out: correcting one moves no other
    entries = tuple(_entry(case, outcomes[case.name], found, fold.get(case.name)) for case in usable)
    preparation = {
        **(asked or {}),
        "settings": asdict(settings),
        "normalization": asdict(settings.normalization) if settings.normalization else None,
        "folds": folds,
        "seed": seed,
        "relabelled": {str(old): new for old, new in found.relabelled.items()},
        **({} if found.submitted is None else {"submitted": {str(k): v for k, v in found.submitted.items()}}),
        "versions": {
            "autofocus-segmentation": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "SimpleITK": sitk.Version_VersionString(),
        },
    }
    structures = {str(label): name for label, name in found.structures.items()}
    listed = tuple(asdict(problem) for problem in problems)
    contours = look_at_contours(entries, structures)
    wrong = tuple(
        {"case": one.case, "structure": one.structure, "volume_ml": one.volume_ml, "why": one.why}
        for one in contours
        if one.why
    )
    prepared = DataList(found.name, tuple(found.channels), structures, entries, listed, preparation, wrong)
    write_text(out / FILE_NAME, contours_csv(contours))
    prepared.write(out)
    return prepared


def _outcomes(found: Found, settings: Settings, out: Path, workers: int) -> Iterator[Outcome]:
    shared = replace(found, cases=(), problems=())  # what every process needs of it
    if workers <= 1 or len(found.cases) <= 1:
        for case in found.cases:
            yield make_case(case, shared, settings, out)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=become_worker) as pool:
        try:
            for done in as_completed([pool.submit(make_case, case, shared, settings, out) for case in found.cases]):
                yield done.result()
        except BrokenProcessPool:
            raise OutputError("A process was ended from outside", "use fewer --workers: memory may be short") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def become_worker() -> None:
    """One thread for each process; Ctrl+C is handled by the first process only, and a worker ends when that one does.

    A worker whose first process was killed would otherwise write on, and then wait for work for ever.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _entry(case: FoundCase, outcome: Outcome, found: Found, fold: int | None) -> CaseEntry:
    facts = dict(outcome.facts or {})
    voxels = facts.get("voxels", {})
    unknown = facts.get("unknown", ())
    empty = (name for label, name in found.structures.items() if voxels and not voxels[str(label)])
    absent = tuple(name for name in empty if name not in unknown)
    return CaseEntry(
        name=case.name,
        fold=fold,
        part=case.part,
        absent=absent,
        submission_name=case.submission_name,
        sources=tuple(path.relative_to(found.source).as_posix() for path in case.sources),
        **facts,
    )


def describe(prepared: DataList, kept: Sequence[str] = ()) -> Iterator[str]:
    """A summary in lines: numbers of cases, folds and structures, absent structures, and every problem."""
    train = [case for case in prepared.cases if case.part == "train"]
    yield f"{len(prepared.cases)} cases: {len(train)} to train on, {len(prepared.cases) - len(train)} to test on"
    sizes = [sum(case.fold == fold for case in train) for fold in range(prepared.preparation.get("folds", 0))]
    if sizes:
        yield f"{len(sizes)} folds of {', '.join(map(str, sizes))} cases"
    for fold in (fold for fold, size in enumerate(sizes) if not size):
        yield f"Fold {fold} has no case left; correct those that were left out, or ask for fewer --folds."
    labelled = [case for case in prepared.cases if case.labels]
    for name in prepared.structures.values():
        for what in ("absent", "unknown"):
            without = [case.name for case in labelled if name in getattr(case, what)]
            if without:
                yield f"{name} is {what} in {len(without)} of {len(labelled)}: {', '.join(without)}"
    for one in prepared.suspects:
        yield f"{one['case']}: its {one['structure']} looks wrong, {one['why']}"
    if prepared.suspects:
        yield f"{FILE_NAME} has all contours. Look at those above; a configuration leaves out the wrong ones by"
        yield settings_text([(one["case"], one["structure"]) for one in prepared.suspects])
    for problem in prepared.problems:
        yield f"{problem['case']}{' (left out)' if problem['left_out'] else ''}: {problem['problem']}"
