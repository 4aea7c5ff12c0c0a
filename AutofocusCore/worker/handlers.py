"""Handlers of the worker's requests; the protocol is described in protocol.py."""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import SettingError
from AutofocusCore.io.temporary import PrivateFolder
from AutofocusCore.io.texts import is_number
from AutofocusCore.jobs.job import Job, Settings
from AutofocusCore.worker.environment import give_memory_back
from AutofocusCore.worker.fields import numbers, text
from AutofocusCore.worker.folders import JobFolders

if TYPE_CHECKING:
    from AutofocusCore.inference import CancelledCallback, Progress, ProgressCallback

WARM_NETWORKS = 8
"""Number of networks kept in memory, some MB each, because a panel plans for every model in its list."""

LARGEST_SIDE = 65_535
"""Voxels along one axis of an image that is planned for."""

Report = Callable[[dict[str, Any]], None]


CARD_FIELDS = ("description", "version", "intended_use", "training_data")
"""Model-card fields added to the `models` response."""


class RequestHandlers:
    """Handlers of requests that take time: each turns the request's fields into the result's fields.

    Args:
        folder: private folder for results without output paths.
        memory_share: share of the free memory for jobs without a memory limit, up to 1.
    """

    def __init__(self, folder: PrivateFolder, memory_share: float = 1.0) -> None:
        self._folders = JobFolders(folder.path)
        self._memory_share = memory_share
        self._networks: OrderedDict[str, Any] = OrderedDict()  # by the model's identity, the last used last

    def devices(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "devices"."""
        from AutofocusCore.inference import list_devices

        return {"devices": [dataclasses.asdict(device) for device in list_devices()]}

    def models(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "models"."""
        from AutofocusCore.models import damaged_models, list_models

        models = [
            {
                **model.spec.to_metadata()["autofocus"],
                **{name: getattr(model.spec, name) for name in CARD_FIELDS},
                "path": str(model.path),
                "sha256": model.checksum,
                "identity": model.identity,
            }
            for model in list_models()
        ]
        return {"models": models, "damaged": [sentence for _, sentence in damaged_models()]}

    def plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "plan"."""
        from AutofocusCore.jobs.plan import plan_job

        model, settings = self._model(request), _settings(request)
        size, spacing = numbers(request, "size", 3), numbers(request, "spacing", 3)
        if min(*size, *spacing) <= 0 or max(size) > LARGEST_SIDE:
            raise SettingError(
                f"The image has {size} voxels of {spacing} mm",
                f"give positive numbers, [x, y, z], sizes up to {LARGEST_SIDE}",
            )
        return plan_job(
            model,
            [max(1, round(n)) for n in size],
            spacing,
            settings,
            origin=None if request.get("origin") is None else numbers(request, "origin", 3),
            direction=None if request.get("direction") is None else numbers(request, "direction", 9),
            attention=bool(request.get("attention")),
        )

    def card(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "card"."""
        from AutofocusCore.models import find_model
        from AutofocusCore.models.card import model_card

        return {"text": model_card(find_model(text(request, "model")).spec)}

    def import_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "import"."""
        from AutofocusCore.models import import_model

        checksum = None if request.get("sha256") is None else text(request, "sha256")
        model = import_model(text(request, "path"), checksum=checksum, replace=bool(request.get("replace")))
        return {"name": model.spec.name, "path": str(model.path)}

    def forget(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the request "forget"."""
        return {"forgotten": self._folders.forget(request.get("job"))}

    def segment(
        self, request: Mapping[str, Any], report: Report | None = None, cancelled: Callable[[], bool] | None = None
    ) -> dict[str, Any]:
        """Answer the request "segment"; `report` receives the fields of each progress message."""
        from AutofocusCore.jobs.run import check_job, run_job

        def progress(state: Progress) -> None:
            if report is not None:
                report(dataclasses.asdict(state))

        if request.get("outputs") is None:
            return self._segment_here(request, progress, cancelled)
        job = self._limited(Job.from_dict(request), request.get("memory_share"))
        model = self._model(request)
        try:
            answer = run_job(check_job(job, model), progress=progress, cancelled=cancelled).to_dict()
        finally:
            give_memory_back()
        return {**answer, "model": model.to_record()}

    def _segment_here(
        self, request: Mapping[str, Any], progress: ProgressCallback, cancelled: CancelledCallback | None
    ) -> dict[str, Any]:
        """Segment into a temporary folder, for a caller that reads the result at once."""
        from AutofocusCore.inference.progress import Reporter
        from AutofocusCore.jobs.review import with_uncertainty
        from AutofocusCore.jobs.run import check_job, compute_job
        from AutofocusCore.worker.exchange import write_exchange_files

        def report_files(stage: str, done: int, total: int) -> None:
            Reporter(stage, total, progress, cancelled, done).begin()

        folder = self._folders.new(request.get("id"), keep=bool(request.get("keep", True)))
        try:
            outputs = {
                "segmentation": str(folder / "labels.nrrd"),
                "attention": str(folder) if request.get("attention") else None,
                "probabilities": str(folder / "probabilities.nrrd") if request.get("probabilities") else None,
            }
            job = self._limited(Job.from_dict({**request, "outputs": outputs}), request.get("memory_share"))
            model = self._model(request)
            checked = check_job(job, model, writes=False, review=bool(request.get("review", True)))
            result = compute_job(checked, progress=progress, cancelled=cancelled)
            if result.review is not None:  # with the provenance it gets into the scene, and is saved with it
                result = dataclasses.replace(result, provenance={**result.provenance, "review": result.review})
            if request.get("uncertainty"):
                result = with_uncertainty(result, checked.calibration)
            start = time.monotonic()
            written = write_exchange_files(folder, result, report_files)
            result = result.written(written["files"], time.monotonic() - start)
            return {**result.to_dict(), **written, "model": model.to_record()}
        except BaseException:
            self._folders.remove(folder)
            raise
        finally:
            give_memory_back()

    def _limited(self, job: Job, share: Any) -> Job:
        """The job with a memory limit, if it has none and this process may use only a share."""
        share = share if is_number(share) and 0 < share <= 1 else self._memory_share
        if job.settings.memory_limit is None and share < 1.0:
            from AutofocusCore.inference.devices import resolve_device

            limit = int(resolve_device(job.settings.device).usable_bytes * share)
            job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, memory_limit=limit))
        return job

    def _model(self, request: Mapping[str, Any]) -> Any:
        """The model, read and checked for every job; its network is built again only if a file has changed."""
        from AutofocusCore.models import find_model

        model = find_model(text(request, "model"))
        network = self._networks.pop(model.identity, None) or model.build()
        self._networks[model.identity] = network
        if len(self._networks) > WARM_NETWORKS:
            self._networks.popitem(last=False)
        return _LoadedModel(model, network)


class _LoadedModel:
    """A model with its network in memory."""

    def __init__(self, model: Any, network: Any) -> None:
        self.spec, self.path, self._network = model.spec, model.path, network
        self.checksum, self.identity = model.checksum, model.identity
        self.to_record = model.to_record

    def build(self) -> Any:
        return self._network


def _settings(request: Mapping[str, Any]) -> Settings:
    given = request.get("settings") or {}
    if not isinstance(given, Mapping):
        raise SettingError(f"The request's settings are {given!r}", "give an object")
    values = dict(given)
    if request.get("roi_box") is not None:
        values["roi_box"] = numbers(request, "roi_box", 15)
    dummy = {"images": (), "model": "", "outputs": {"segmentation": "none"}, "settings": values}
    return Job.from_dict(dummy).settings
