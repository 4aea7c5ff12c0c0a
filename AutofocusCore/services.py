"""What the worker does for a request: devices, models, plan, segment. The protocol is described in worker.py."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from AutofocusCore.errors import SettingError
from AutofocusCore.jobs import Job, Settings

Report = Callable[[dict[str, Any]], None]


class PrivateFolder:
    """A folder that only this user can look into, made when it is first asked for.

    Args:
        given: a folder of the caller's, who also removes it; None: one of our own.
    """

    def __init__(self, given: Path | None = None) -> None:
        self._given = given
        self._own: Path | None = None
        self._lock = threading.Lock()

    def path(self) -> Path:
        """The folder."""
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None:
                self._own = Path(tempfile.mkdtemp(prefix="autofocus-"))
            return self._own

    def remove(self) -> None:
        """Remove it, if it is our own."""
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)


class Services:
    """The requests that take time, each a method from its fields to the fields of the result.

    Args:
        folder: for results that have no place of their own.
        memory_share: what a job without a memory limit takes of the free memory, up to 1.
    """

    def __init__(self, folder: PrivateFolder, memory_share: float = 1.0) -> None:
        self._folder = folder
        self._memory_share = memory_share
        self._jobs = 0
        self._network: tuple[str, Any] = ("", None)  # checksum of the weights, network

    def devices(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "devices"."""
        from AutofocusCore.inference import list_devices

        return {"devices": [dataclasses.asdict(device) for device in list_devices()]}

    def models(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "models"."""
        from AutofocusCore.models import damaged_models, list_models

        models = [
            {**model.spec.to_metadata()["autofocus"], "path": str(model.path), "sha256": model.checksum}
            for model in list_models()
        ]
        return {"models": models, "damaged": [sentence for _, sentence in damaged_models()]}

    def plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "plan"."""
        from AutofocusCore.inference import plan_volume

        model, settings = self._model(request), _settings(request)
        size, spacing = _three(request, "size"), _three(request, "spacing")
        wanted = model.spec.spacing or spacing
        # (x, y, z) -> (z, y, x)
        shape = [max(1, round(n * s / w)) for n, s, w in zip(size, spacing, wanted, strict=True)][::-1]
        plan = plan_volume(
            model.build(),
            (len(model.spec.channels), *shape),
            mode=settings.mode,
            device=settings.device,
            precision=settings.precision,
            memory_limit=settings.memory_limit,
        )
        return {"plan": str(plan.describe()), "peak_bytes": int(plan.peak_bytes)}

    def segment(
        self, request: Mapping[str, Any], report: Report | None = None, cancelled: Callable[[], bool] | None = None
    ) -> dict[str, Any]:
        """Answer the request "segment"; `report` takes the fields of each progress."""
        from AutofocusCore.running import run_job

        job = self._job(request)
        model = self._model(request)
        outcome = run_job(
            job,
            model,
            progress=None if report is None else lambda p: report(dataclasses.asdict(p)),
            cancelled=cancelled,
        )
        return {**outcome.to_dict(), "model": {"name": model.spec.name, "sha256": model.checksum}}

    def _job(self, request: Mapping[str, Any]) -> Job:
        values = dict(request)
        if values.get("outputs") is None:
            self._jobs += 1
            folder = self._folder.path() / f"job-{self._jobs}"
            folder.mkdir()
            values["outputs"] = {
                "segmentation": str(folder / "labels.nrrd"),
                "attention": str(folder) if values.get("attention") else None,
                "probabilities": str(folder / "probabilities.nrrd") if values.get("probabilities") else None,
            }
        job = Job.from_dict(values)
        if job.settings.memory_limit is None and self._memory_share < 1.0:
            from AutofocusCore.inference.devices import resolve_device, usable_bytes

            limit = int(usable_bytes(resolve_device(job.settings.device)) * self._memory_share)
            job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, memory_limit=limit))
        return job

    def _model(self, request: Mapping[str, Any]) -> Any:
        """The model, read and checked again for every job, but its network built only when the weights changed."""
        from AutofocusCore.models import find_model

        model = find_model(_text(request, "model"))
        if self._network[0] != model.checksum:
            self._network = (model.checksum, model.build())
        return _Warm(model, self._network[1])


class _Warm:
    """A model whose network is there already."""

    def __init__(self, model: Any, network: Any) -> None:
        self.spec, self.path, self.checksum, self._network = model.spec, model.path, model.checksum, network

    def build(self) -> Any:
        return self._network


def _settings(request: Mapping[str, Any]) -> Settings:
    dummy = {"images": (), "model": "", "outputs": {"segmentation": ""}, "settings": request.get("settings") or {}}
    return Job.from_dict(dummy).settings


def _text(request: Mapping[str, Any], field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str) or not value:
        raise SettingError(f"The request's {field} is {value!r}", "give a text")
    return value


def _three(request: Mapping[str, Any], field: str) -> tuple[float, float, float]:
    value = request.get(field)
    sound = isinstance(value, list) and len(value) == 3 and all(isinstance(v, int | float) and v > 0 for v in value)
    if not sound:
        raise SettingError(f"The request's {field} is {value!r}", "give three positive numbers, [x, y, z]")
    x, y, z = value  # type: ignore[misc]
    return float(x), float(y), float(z)
