"""Teaches a model from corrected cases, measures it before and after, and writes it as a new model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import InputError, ModelError, SettingError
from AutofocusCore.jobs.teach_cases import CorrectedCase, ReadCase, read_cases
from AutofocusCore.jobs.teach_check import StructureCheck, compare_before_and_after, labels_by
from AutofocusCore.jobs.teach_contours import plain_name
from AutofocusCore.jobs.teach_learn import Learned, learn
from AutofocusCore.jobs.teach_settings import TeachSettings

if TYPE_CHECKING:
    from AutofocusCore.inference import CancelledCallback, ProgressCallback
    from AutofocusCore.models import Model, ModelSpec

FEWEST_TO_HOLD_OUT = 4
"""Cases from which on some are held out."""
MOST_HELD_OUT = 6


@dataclass(frozen=True)
class Taught:
    """Result of `teach`.

    Args:
        model: the new one, as a network and a description; not yet written.
        rows: for each structure.
        lessons: names of the cases that it learned from.
        held_out: names of those that both models were measured on, empty if there were too few to hold any out.
        steps, seconds: of the learning.
        resumed: those of the steps that were done before the lesson was stopped.
        warnings: sentences for the user.
    """

    model: TaughtModel
    rows: tuple[StructureCheck, ...]
    lessons: tuple[str, ...]
    held_out: tuple[str, ...]
    steps: int
    seconds: float
    resumed: int
    warnings: tuple[str, ...]

    @property
    def gain(self) -> float | None:
        """Mean change of the Dice of the taught structures; None if no compared case contours one."""
        gains = [row.gain for row in self.rows if row.taught and row.gain is not None]
        return sum(gains) / len(gains) if gains else None

    @property
    def better(self) -> bool:
        """Whether the taught structures got better on the held-out cases; true where none were held out."""
        return not self.held_out or (self.gain or 0.0) > 0.0

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        rows = [{**asdict(row), "gain": row.gain} for row in self.rows]
        names = {"lessons": list(self.lessons), "held_out": list(self.held_out)}
        return {"structures": rows, "gain": self.gain, "better": self.better, **names, "steps": self.steps,
                "seconds": self.seconds, "resumed": self.resumed, "warnings": list(self.warnings)}  # fmt: skip


@dataclass(frozen=True)
class TaughtModel:
    """A model that is not written yet, for `segment_image`."""

    spec: ModelSpec
    network: Any = field(repr=False)

    def build(self) -> Any:
        """The network."""
        return self.network


def check_teachable(model: Model) -> None:
    """Refuse a model that cannot be taught, before any case is read.

    Raises:
        ModelError: its network is not of the ROI domain.
    """
    if model.spec.architecture.get("domain") != "roi":
        raise ModelError(
            f"The model {model.spec.name} is of the box domain, and only models of the ROI domain can be taught",
            "choose one whose network has domain=roi (see `autofocus models info`)",
        )


def taught_labels(spec: ModelSpec, names: Sequence[str]) -> tuple[int, ...]:
    """Labels of the structures to teach; all without names.

    Raises:
        SettingError: a name that is not the model's.
    """
    by_name = {plain_name(structure.name): structure.label for structure in spec.structures}
    for name in names:
        if plain_name(name) not in by_name:
            known = ", ".join(structure.name for structure in spec.structures)
            raise SettingError(f"The model {spec.name} has no structure {name!r}", f"choose among {known}")
    return tuple(sorted({by_name[plain_name(name)] for name in names})) or tuple(s.label for s in spec.structures)


def teach(
    model: Model,
    cases: Sequence[CorrectedCase],
    name: str,
    settings: TeachSettings,
    *,
    keep: Path | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Taught:
    """Teach a model. Nothing is written but the lesson itself, if it is to be kept.

    Args:
        model: the parent, of the ROI domain.
        cases: corrected ones.
        name: of the new model.
        settings: how.
        keep: file in which the lesson is kept, and from which one that was stopped goes on, with the same cases and
            settings. Remove it when the model is written. None: a lesson that is stopped is lost.
        progress: called for the stages "read", "before", "keep", "teach", "after".
        cancelled: asked before each step and case whether to stop.
        say: receives a sentence when a lesson goes on where it was stopped, or begins anew although one was.

    Raises:
        InputError, SettingError, ModelError, MemoryLimitError, DeviceError: why it cannot be taught.
        Cancelled: `cancelled` returned true.
    """
    check_teachable(model)
    taught = taught_labels(model.spec, settings.structures)
    names = [case.name for case in cases]
    _check_names(names, settings)
    from AutofocusCore.inference.progress import Reporter

    def report(stage: str, done: int, total: int) -> None:
        Reporter(stage, total, progress, cancelled, done).begin()

    read = read_cases(cases, model.spec, taught, lambda done: report("read", done, len(cases)), settings.names)
    held = set(settings.check) or set(choose_held_out(read))
    lessons = [case for case in read if case.case.name not in held]
    checked = [case for case in read if case.case.name in held] or lessons
    before = labels_by(model, checked, settings.device, lambda done: report("before", done, len(checked)))
    learned = learn(model, lessons, checked if held else [], settings, keep, progress, cancelled, say)
    found = TaughtModel(model.spec, learned.network)
    after = labels_by(found, checked, settings.device, lambda done: report("after", done, len(checked)))
    rows = compare_before_and_after(model.spec, taught, lessons, checked, before, after)
    warnings = tuple(f"{case.case.name}: {text}" for case in read for text in case.warnings)
    return Taught(
        TaughtModel(_spec(model, name, rows, lessons, len(held), learned), learned.network),
        tuple(rows),
        tuple(case.case.name for case in lessons),
        tuple(case.case.name for case in checked) if held else (),
        learned.steps,
        learned.seconds,
        learned.resumed,
        (*warnings, *learned.warnings),
    )


def _check_names(names: Sequence[str], settings: TeachSettings) -> None:
    if not names:
        raise InputError("There are no corrected cases", "give at least one image with its segmentation")
    for name in settings.check:
        if name not in names:
            raise SettingError(f"There is no case {name!r} to hold out", f"choose among {', '.join(names)}")
    if len(set(settings.check)) >= len(names):
        raise SettingError("All cases are held out, and none is left to learn from", "hold out fewer")


def choose_held_out(cases: Sequence[ReadCase]) -> list[str]:
    """Names of the cases to hold out: a quarter, evenly spread over their order; none of fewer than four.

    No structure loses its only case to them.
    """
    if len(cases) < FEWEST_TO_HOLD_OUT:
        return []
    wanted = min(MOST_HELD_OUT, max(1, len(cases) // 4))
    left = {label: sum(label in (c.case.known or ()) for c in cases) for c in cases for label in c.case.known or ()}
    order = sorted(range(len(cases)), key=lambda i: ((i * wanted) % len(cases), i))
    chosen: list[str] = []
    for i in order:
        known = cases[i].case.known or ()
        if len(chosen) < wanted and all(left[label] > 1 for label in known):
            chosen.append(cases[i].case.name)
            for label in known:
                left[label] -= 1
    return chosen


def _spec(
    model: Model,
    name: str,
    rows: Sequence[StructureCheck],
    lessons: Sequence[ReadCase],
    held: int,
    learned: Learned,
) -> ModelSpec:
    from AutofocusCore.teaching.taught import Teaching, taught_spec

    measured = "held-out cases" if held else "taught cases"
    table = [
        {"structure": row.structure, "cases taught": row.lessons, measured: row.cases, "Dice before": row.before,
         "Dice after": row.after, "agreement of before and after": row.agreement}
        for row in rows
    ]  # fmt: skip
    table = [{key: "" if value is None else value for key, value in row.items()} for row in table]
    counts = {row.structure: row.lessons for row in rows}
    dice = {row.structure: row.after for row in rows if held and row.after is not None}
    teaching = Teaching(len(lessons), counts, held, table, learned.seconds / 60, learned.steps)
    return taught_spec(model, name, teaching, dice)
