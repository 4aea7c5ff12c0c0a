"""Learns a lesson: prepares the cases, takes steps, looks at the held-out cases, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore._version import __version__
from AutofocusCore.jobs.teach_cases import ReadCase
from AutofocusCore.jobs.teach_settings import TeachSettings

if TYPE_CHECKING:
    from AutofocusCore.inference import CancelledCallback, ProgressCallback
    from AutofocusCore.models import Model
    from AutofocusCore.teaching.lesson_file import LessonFile

LOOKS = (0.5, 0.75, 1.0)
"""Shares of the lesson after which the network is looked at on the held-out cases; the best one is kept."""
PART = 80_000
"""Active voxels of a scan that one step learns from, mostly where contours are: more steps in the same minutes."""
SAVE_SECONDS = 20.0
"""Of learning, after which the lesson is saved; about as much is lost where it is stopped."""
PERCENT = 100


@dataclass(frozen=True)
class Learned:
    """Result of `learn`.

    Args:
        network: on the CPU and in evaluation mode.
        steps, seconds: of the learning, together with those before it was stopped.
        resumed: steps before it was stopped; 0 for a lesson that began anew.
        warnings: sentences for the user.
    """

    network: Any
    steps: int
    seconds: float
    resumed: int
    warnings: tuple[str, ...]


def learn(
    model: Model,
    lessons: Sequence[ReadCase],
    held_out: Sequence[ReadCase],
    settings: TeachSettings,
    keep: Path | None,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
    say: Callable[[str], None],
) -> Learned:
    """Teach a model's network.

    Args:
        model: the parent.
        lessons: cases to learn from.
        held_out: cases that choose the moment whose network is taken; without any it is the last one.
        settings: how.
        keep: file in which the lesson is kept, and from which it goes on; None: it is not.
        progress, cancelled: as for `teach`.
        say: receives a sentence when a lesson goes on, or cannot.
    """
    import copy

    import torch

    from AutofocusCore.errors import Cancelled
    from AutofocusCore.inference import Progress, resolve_device
    from AutofocusCore.inference.devices import memory
    from AutofocusCore.inference.progress import Reporter
    from AutofocusCore.teaching.arithmetic import Arithmetic
    from AutofocusCore.teaching.learning import LIGHT, Learner, Lesson
    from AutofocusCore.teaching.predicting import mean_dice
    from AutofocusCore.teaching.room import most_voxels
    from AutofocusCore.teaching.scans import ScanSampler
    from AutofocusCore.teaching.soft_labels import with_soft_labels

    spec = model.spec
    device = torch.device(resolve_device(settings.device).id)
    arithmetic = Arithmetic("bfloat16", device)
    parent = model.build().to(device)
    free = settings.memory_limit or (torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory()[0])
    largest = max(int(case.case.roi.sum()) for case in lessons)
    part = most_voxels(parent, 2 if arithmetic.low else 4, int(free), largest, PART)
    file = None if keep is None else _lesson_file(keep, model, lessons, held_out, settings)
    state, refusal = (None, "") if file is None else file.load()
    cases = []
    for number, case in enumerate(lessons):
        Reporter("keep", len(lessons), progress, cancelled, number).begin()
        cases.append(with_soft_labels(case.case, parent, spec.num_classes, arithmetic))
    x, y, z = spec.spacing or (1.0, 1.0, 1.0)
    bounds = (0.0, 1.0) if spec.normalization.method == "window" else None
    sampler = ScanSampler(LIGHT, (z, y, x), bounds, part)
    lesson = Lesson(60 * settings.minutes, settings.steps, most_voxels=part, seed=settings.seed)
    learner = Learner(parent, cases, sampler, lesson, arithmetic)
    best: list[Any] = [-1.0, learner.average]
    if state is not None:
        learner.resume(state["learner"])
        best = [state["score"], copy.deepcopy(learner.average)]
        best[1].load_state_dict(state["best"])
        steps = "1 step" if learner.steps == 1 else f"{learner.steps} steps"
        say(f"The lesson goes on after {steps}, where it was stopped.")
    elif refusal:
        say(refusal)
    resumed, saved = learner.steps, learner.seconds

    def save() -> None:
        nonlocal saved
        if file is not None:
            file.save({"learner": learner.state(), "score": best[0], "best": best[1].state_dict()})
            saved = learner.seconds

    def look() -> None:
        score = mean_dice(learner.average, [case.case for case in held_out], spec, arithmetic) if held_out else 0.0
        if score >= best[0] or not held_out:
            best[:] = [score, copy.deepcopy(learner.average)]

    def step(done: float, left: float) -> None:
        if cancelled is not None and cancelled():
            save()
            raise Cancelled
        if learner.seconds - saved >= SAVE_SECONDS:
            save()
        if progress is not None:
            progress(Progress("teach", int(PERCENT * done), PERCENT, left))

    learner.learn(step, LOOKS if held_out else (1.0,), look)
    save()  # what follows, measuring the new model, may be stopped as well
    if progress is not None:
        progress(Progress("teach", PERCENT, PERCENT, None))
    return Learned(best[1].cpu().eval(), learner.steps, learner.seconds, resumed, (refusal,) if refusal else ())


def _lesson_file(
    path: Path, model: Model, lessons: Sequence[ReadCase], held_out: Sequence[ReadCase], settings: TeachSettings
) -> LessonFile:
    from AutofocusCore.teaching.lesson_file import LessonFile, case_checksum

    kept = ("minutes", "steps", "seed")  # the cases tell of the structures and of those that are held out
    lesson = {
        "software": __version__,
        "parent": model.identity,
        "held_out": len(held_out),
        **{name: getattr(settings, name) for name in kept},
    }
    return LessonFile(path, lesson, {case.case.name: case_checksum(case.case) for case in (*lessons, *held_out)})
