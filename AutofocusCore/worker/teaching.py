"""The worker's request "teach": a new model from corrected cases.

    {"id": 14, "request": "teach", "model": "head-neck-ct", "output": "our-larynx", "replace": false, "anyway": false,
     "cases": [{"name": "anna", "images": ["anna.nii.gz"], "labels": "anna.seg.nrrd"}, …],
     "settings": {"minutes": 10, "structures": ["Larynx"], "check": ["anna"], "device": "auto", …}}
    {"id": 14, "type": "progress", "stage": "teach", "done": 40, "total": 100, "seconds_left": 360.0}
                                           stages: read, before, keep, teach, after
    {"id": 14, "type": "result", "structures": [{"structure", "taught", "lessons", "cases", "before", "after",
     "agreement", "gain"}, …], "gain": 0.2, "lessons": [name, …], "held_out": [name, …], "better": true,
     "written": path or null, "warnings": […], …}

Settings and result: `AutofocusCore.jobs.teach`. A model that is not better is written only with "anyway": true.

A lesson that was stopped, or brought no better model, goes on when the same request comes again, with the same cases
and settings; "resumed" in the result is the number of steps that were done before. A progress message then has the
sentence "said": that it goes on, or why it begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import SettingError
from AutofocusCore.worker.environment import give_memory_back
from AutofocusCore.worker.fields import text

if TYPE_CHECKING:
    from AutofocusCore.inference import Progress
    from AutofocusCore.jobs.teach_cases import CorrectedCase
    from AutofocusCore.jobs.teach_settings import TeachSettings


def teach(
    request: Mapping[str, Any], report: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Answer the request "teach".

    Args:
        request: its fields.
        report: receives the fields of each progress message.
        cancelled: asked whether to stop.

    Raises:
        AutofocusError: an error that the user can correct; nothing was written.
    """
    from AutofocusCore.jobs.teach import teach as teach_model
    from AutofocusCore.jobs.teach_output import kept_lesson, output_place, write_taught
    from AutofocusCore.models import find_model

    def progress(state: Progress) -> None:
        report(dataclasses.asdict(state))

    def said(sentence: str) -> None:
        report({"stage": "keep", "done": len(cases), "total": len(cases), "seconds_left": None, "said": sentence})

    model, cases, settings = find_model(text(request, "model")), _cases(request), _settings(request)
    replace = bool(request.get("replace"))
    name, place = output_place(text(request, "output"), replace=replace)
    try:
        with kept_lesson(place) as lesson:
            taught = teach_model(
                model, cases, name, settings, keep=lesson, progress=progress, cancelled=cancelled, say=said
            )
            writes = taught.better or bool(request.get("anyway"))
            written = str(write_taught(taught, model, place, replace=replace).path) if writes else None
            if writes:
                lesson.unlink(missing_ok=True)
    finally:
        give_memory_back()
    return {**taught.to_dict(), "written": written}


def _cases(request: Mapping[str, Any]) -> list[CorrectedCase]:
    from AutofocusCore.jobs.teach_cases import CorrectedCase

    given = request.get("cases")
    if not isinstance(given, list):
        raise SettingError(f"The request's cases are {given!r}", "give a list")
    cases = []
    for entry in given:
        images = entry.get("images") if isinstance(entry, Mapping) else None
        if not isinstance(images, list) or not images or not all(isinstance(path, str) and path for path in images):
            raise SettingError(f"The request has the case {entry!r}", "give name, images (a list) and labels")
        cases.append(CorrectedCase(text(entry, "name"), tuple(images), text(entry, "labels")))
    return cases


def _settings(request: Mapping[str, Any]) -> TeachSettings:
    from AutofocusCore.jobs.teach_settings import TeachSettings

    given = request.get("settings") or {}
    known = {field.name for field in dataclasses.fields(TeachSettings)}
    if not isinstance(given, Mapping) or not set(given) <= known:
        raise SettingError(f"The settings of teaching are {given!r}", f"give an object with {', '.join(sorted(known))}")
    return TeachSettings(**given)
