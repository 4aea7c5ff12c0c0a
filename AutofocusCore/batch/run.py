"""Runs a batch: finds finished cases, runs the others, writes the tables."""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.batch.cohort import Case
from AutofocusCore.batch.manifest import Manifest, fingerprint, locked
from AutofocusCore.batch.pool import Pool, Result
from AutofocusCore.batch.tables import write_tables
from AutofocusCore.errors import AutofocusError, Cancelled, InputError, OutputError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.dicom_objects import DICOM_FORMATS
from AutofocusCore.io.kinds import is_folder
from AutofocusCore.io.outputs import SEGMENTATION_FORMATS, check_folder, check_sidecar, sidecar_path
from AutofocusCore.jobs.job import Job, Outputs, Settings

if TYPE_CHECKING:
    from AutofocusCore.models import Model

TABLES_EVERY_S = 5.0


@dataclass(frozen=True)
class Batch:
    """A batch to run.

    Args:
        cases: the cases.
        folder: folder of the results; created if it does not exist.
        format: extension of the segmentations, or "rtstruct" or "seg" for DICOM objects.
        attention, probabilities, uncertainty, review, report: whether to write these too.
        settings: settings of all cases; those of a case take precedence.
        workers: number of processes.
        dask: whether to use a Dask cluster; `scheduler`: address of a running one.
    """

    cases: tuple[Case, ...]
    folder: Path
    format: str = ".seg.nrrd"
    attention: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    review: bool = False
    report: bool = False
    settings: Settings = field(default_factory=Settings)
    workers: int = 1
    dask: bool = False
    scheduler: str | None = None

    def job(self, case: Case, model: Model, folder: Path | None = None) -> Job:
        """The job of a case: `<case>.seg.nrrd`, `<case>_probabilities.nrrd`, `<case>_attention/…`.

        Args:
            case: the case.
            model: the model.
            folder: folder of the files; default: the batch's folder.
        """
        stem = str((folder or self.folder) / case.stem)
        dicom = self.format if self.format in DICOM_FORMATS else None
        outputs = Outputs(
            segmentation=f"{stem}{self.format}" if dicom is None else f"{stem}_{dicom}.dcm",
            dicom=dicom,
            uncertainty=f"{stem}_uncertainty.nrrd" if self.uncertainty else None,
            review=f"{stem}_review.csv" if self.review else None,
            report=f"{stem}_report.html" if self.report else None,
            attention=f"{stem}_attention" if self.attention else None,
            probabilities=f"{stem}_probabilities.nrrd" if self.probabilities else None,
        )
        settings = self.settings
        if case.roi is not None:
            settings = dataclasses.replace(settings, roi_mask=case.roi, roi_box=None)
        if case.series is not None:
            settings = dataclasses.replace(settings, series=(case.series,))
        if case.frame is not None:
            settings = dataclasses.replace(settings, frame=case.frame)
        return Job(case.images, str(model.path), outputs, settings)


@dataclass(frozen=True)
class Summary:
    """Numbers of finished cases (and how many of them were finished before) and of failed cases."""

    done: int
    done_before: int
    failed: int


def run_batch(
    batch: Batch,
    model: Model,
    *,
    say: Callable[[str], None] = print,
    case_done: Callable[[int, int], None] | None = None,
    progress: Callable[[str, Mapping[str, Any]], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Summary:
    """Run the cases that are not finished. The batch continues after cases that fail.

    Args:
        batch: the batch.
        model: the model.
        say: receives lines about repeated and failed cases.
        case_done: called with the numbers of finished cases and of all.
        progress: called with a case's name and the fields of its progress.
        cancelled: called between events; the batch stops if it returns true.

    Raises:
        OutputError: the folder cannot be written, another batch is writing there, or two cases write the same file.
        ModelError: the model's calibration cannot be used.
        Cancelled: `cancelled` returned true; finished cases are kept.
    """
    from AutofocusCore.review.calibration import calibration_of

    calibration_of(model.spec)  # refused here, and not again by every case
    with Staging() as staging:
        staging.folder(batch.folder)
    check_folder(batch.folder)
    _check_files(batch, model)
    with locked(batch.folder):
        manifest = Manifest(batch.folder)
        manifest.recover()
        try:
            return _run(batch, model, manifest, say, case_done, progress, cancelled)
        finally:
            manifest.remove_unfinished()  # of ended workers


def _run(
    batch: Batch,
    model: Model,
    manifest: Manifest,
    say: Callable[[str], None],
    case_done: Callable[[int, int], None] | None,
    progress: Callable[[str, Mapping[str, Any]], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Summary:
    outcomes: dict[str, Mapping[str, Any]] = {}
    remaining: list[tuple[Case, Job, dict[str, Any]]] = []
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    for case in batch.cases:
        job = batch.job(case, model)
        problem = _problem_of(case, job)
        if problem is not None:
            outcomes[case.name] = _as_outcome(problem)
            say(f"{case.name}: {problem}")
            continue
        made_from = fingerprint(job, model.identity)
        outcome, reason = manifest.finished_outcome(case.stem, made_from)
        if outcome is not None:
            outcomes[case.name] = outcome
        else:
            remaining.append((case, batch.job(case, model, manifest.new_part(case.stem)), made_from))
            if reason is not None:
                reasons[reason].append(case.name)
    before = sum(outcome["type"] == "result" for outcome in outcomes.values())
    if before:
        say(f"{before} of {len(batch.cases)} cases are done already.")
    for reason, names in reasons.items():
        say(f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {reason}; done again.")

    names, structures = [case.name for case in batch.cases], [s.name for s in model.spec.structures]
    saved_at = -TABLES_EVERY_S

    def report() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("The batch was cancelled", "start it again to continue where it stopped")
        if case_done is not None:
            case_done(len(outcomes), len(batch.cases))

    try:
        report()
        for number, outcome in _results(batch, [job for _, job, _ in remaining], remaining, progress):
            case, _, made_from = remaining[number]
            if outcome["type"] == "result":
                kept = {key: value for key, value in outcome.items() if key != "id"}
                try:
                    outcome = manifest.finish(case.stem, made_from, kept)
                except OutputError as error:
                    outcome = _as_outcome(error)
            if outcome["type"] == "error":
                say(f"{case.name}: {outcome['cause']}; {outcome['remedy']}.")
            outcomes[case.name] = outcome
            report()
            if time.monotonic() - saved_at > TABLES_EVERY_S:
                write_tables(batch.folder, names, outcomes, structures)
                saved_at = time.monotonic()
    finally:
        write_tables(batch.folder, names, outcomes, structures)
    done = sum(outcome["type"] == "result" for outcome in outcomes.values())
    return Summary(done, before, len(outcomes) - done)


def _problem_of(case: Case, job: Job) -> AutofocusError | None:
    """Why a case cannot be computed, if that is known in advance."""
    if case.problem is not None:
        return InputError(*case.problem)
    try:
        check_sidecar(job.outputs.segmentation)
    except OutputError as error:
        return error
    files = filter(None, (job.outputs.segmentation, job.outputs.probabilities))
    taken = next((path for path in files if is_folder(path)), None)
    return OutputError(f"The output {taken} is a folder", "move it elsewhere") if taken else None


def _as_outcome(error: AutofocusError) -> dict[str, Any]:
    return {"type": "error", **error.to_dict()}


def _results(
    batch: Batch,
    jobs: Sequence[Job],
    remaining: Sequence[tuple[Case, Job, dict[str, Any]]],
    progress: Callable[[str, Mapping[str, Any]], None] | None,
) -> Iterator[Result]:
    if batch.dask or batch.scheduler is not None:
        from AutofocusCore.batch.cluster import run_on_cluster

        if jobs:
            yield from run_on_cluster(jobs, scheduler=batch.scheduler, workers=batch.workers)
        return

    def forward(number: int, fields: Mapping[str, Any]) -> None:
        if progress is not None:
            progress(remaining[number][0].name, fields)

    with Pool(min(batch.workers, max(1, len(jobs))), progress=forward) as pool:
        yield from pool.run(jobs)


def _check_files(batch: Batch, model: Model) -> None:
    """Refuse outputs that two cases share or that are inputs, also on systems that ignore upper and lower case."""
    formats = (*SEGMENTATION_FORMATS, *DICOM_FORMATS)
    if batch.format not in formats:
        raise OutputError(f"The format {batch.format} is not known", f"use one of {', '.join(formats)}")
    owners: dict[str, str] = {}
    for case in batch.cases:
        outputs = batch.job(case, model).outputs
        sidecar = sidecar_path(outputs.segmentation) if outputs.dicom is None else None
        files = {name: path for name, path in dataclasses.asdict(outputs).items() if name != "dicom"}
        wanted = (*files.values(), sidecar)
        for path in (Path(path) for path in wanted if path is not None):
            key = os.path.realpath(path).casefold()
            if key in owners:
                raise OutputError(
                    f"The cases {owners[key]} and {case.name} would both write {path.name}",
                    "give one of them another name",
                )
            owners[key] = case.name
    for case in batch.cases:
        for image in case.images:
            if os.path.realpath(image).casefold() in owners:
                raise OutputError(f"The result of a case would replace the image {image}", "write to another folder")
