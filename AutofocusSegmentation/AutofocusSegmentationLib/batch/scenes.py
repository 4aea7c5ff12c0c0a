"""A scene (.mrb) for every case that a batch has done: volume, segmentation, attention, provenance.

OUTDIR/<case>.mrb
OUTDIR/scenes.csv                            case, status, and why a scene could not be written
OUTDIR/.autofocus-batch/scenes/<case>.json   which record of the case the scene was made from, and what it looked like

A scene is written when it is not there, was changed, or the case was done again since.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.batch.manifest import STATE_FOLDER, Manifest, fingerprint, locked
from AutofocusCore.errors import AutofocusError, Cancelled
from AutofocusCore.io.atomic import cannot_write, write_text
from AutofocusCore.io.temporary import aside_name, remove_leftovers
from AutofocusCore.io.texts import csv_cell

if TYPE_CHECKING:
    from AutofocusCore.batch import Batch, Case
    from AutofocusCore.jobs.job import Job
    from AutofocusCore.models import Model
    from AutofocusSegmentationLib.batch.scene import BatchScene

TABLE = "scenes.csv"


@dataclass(frozen=True)
class Scenes:
    """How many scenes were written now, were there already, and could not be written."""

    written: int
    kept: int
    failed: int


def write_scenes(
    batch: Batch,
    model: Model,
    *,
    say: Callable[[str], None],
    beat: Callable[[], None],
    cancelled: Callable[[], bool],
) -> Scenes:
    """Write the scenes that are missing of the cases that are done.

    Args:
        batch: as it was run.
        model: with which model.
        say: takes lines about what failed.
        beat: called regularly, so that the watchdog knows that the batch is alive.
        cancelled: asked between cases.

    Raises:
        OutputError: the folder cannot be written, or a batch is writing there.
        Cancelled: `cancelled` said so; the scenes that are written stay.
    """
    with locked(batch.folder):
        remove_leftovers(batch.folder)
        table: dict[str, tuple[str, str, str]] = {}
        try:
            for case in _done(batch, model):
                beat()
                if cancelled():
                    raise Cancelled("The batch was cancelled", "start it again to continue where it stopped")
                table[case.name] = _one(batch, model, case, say)
        finally:
            _write_table(batch.folder, table)
    states = [state for state, _, _ in table.values()]
    return Scenes(states.count("written"), states.count("kept"), states.count("failed"))


def scene_path(batch: Batch, case: Case) -> Path:
    """Where the scene of a case goes."""
    return batch.folder / f"{case.stem}.mrb"


def _done(batch: Batch, model: Model) -> Iterator[Case]:
    """The cases that are done; the checksums of a case are compared when it is its turn."""
    manifest = Manifest(batch.folder)
    for case in batch.cases:
        if case.problem is None:
            outcome, _ = manifest.finished_outcome(case.stem, fingerprint(batch.job(case, model), model.identity))
            if outcome is not None:
                yield case


def _one(batch: Batch, model: Model, case: Case, say: Callable[[str], None]) -> tuple[str, str, str]:
    """Status, cause and remedy of one case's scene."""
    from AutofocusSegmentationLib.batch.scene import open_scene

    final, note = scene_path(batch, case), batch.folder / STATE_FOLDER / "scenes" / f"{case.stem}.json"
    made_from = _record_of(batch, case)
    if _noted(note) == {"made_from": made_from, "scene": _state_of(final)}:
        return "kept", "", ""
    scene = open_scene()
    try:
        scene.clear()
        fill(scene, case.name, batch.job(case, model), model)
        _save(scene, final)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps({"made_from": made_from, "scene": _state_of(final)}))
    except AutofocusError as error:
        say(f"{case.name}: {error}")
        return "failed", error.cause, error.remedy
    finally:
        scene.clear()
    return "written", "", ""


def fill(scene: BatchScene, name: str, job: Job, model: Model) -> Any:
    """Put a case into an empty scene: its volumes as the engine reads them, and its result.

    Returns:
        The nodes, as `add_to_scene` returns them.
    """
    from AutofocusCore.images import read_image
    from AutofocusCore.jobs.saved_result import read_result
    from AutofocusSegmentationLib.scene.image_node import add_image
    from AutofocusSegmentationLib.scene.results import add_to_scene

    result = read_result(job.outputs.segmentation, model.spec.structures, attention=job.outputs.attention)
    volumes = []
    for index, (path, channel) in enumerate(zip(job.images, model.spec.channels, strict=True)):
        series = job.settings.series[min(index, len(job.settings.series) - 1)] if job.settings.series else None
        image = read_image(path, series=series, frame=job.settings.frame).image
        title = name if len(job.images) == 1 else f"{name} {channel.name}"
        volumes.append(add_image(scene.mrml, title, image))
    added = add_to_scene(volumes[0], result, model.spec.to_metadata()["autofocus"], everything=True)
    scene.show(volumes[0])
    return added


def _save(scene: BatchScene, final: Path) -> None:
    """Write into a temporary folder, then move the file. It has its final name at once: the archive repeats it."""
    aside = aside_name(final)
    try:
        aside.mkdir()
        scene.save(aside / final.name)
        (aside / final.name).replace(final)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _record_of(batch: Batch, case: Case) -> str:
    record = batch.folder / STATE_FOLDER / "records" / f"{case.stem}.json"
    return hashlib.sha256(record.read_bytes()).hexdigest()


def _noted(note: Path) -> Any:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _state_of(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _write_table(folder: Path, table: Mapping[str, tuple[str, str, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "status", "cause", "remedy"])
    writer.writerows([csv_cell(cell) for cell in (name, *row)] for name, row in table.items())
    write_text(folder / TABLE, text.getvalue())
