"""Runs cases on a Dask cluster: on this computer, or one whose workers see the same files under the same paths."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from AutofocusCore.errors import SettingError, as_user_error
from AutofocusCore.jobs.job import Job

Result = tuple[int, dict[str, Any]]
TRIES = 2
CONNECT_SECONDS = 15

_handlers: Any = None  # in each Dask process, which keeps the network between cases


def run_on_cluster(jobs: Sequence[Job], *, scheduler: str | None, workers: int) -> Iterator[Result]:
    """Yield results as they come, in the form of `Pool.run`.

    Args:
        jobs: the jobs; paths must be valid on every worker.
        scheduler: address of a running scheduler, such as tcp://host:8786; None starts a cluster on this computer.
        workers: processes of the cluster on this computer.

    Raises:
        SettingError: Dask is not installed, or the scheduler does not answer.
    """
    try:
        import dask

        dask.config.set({"logging": {"distributed": "error"}})  # before distributed configures its loggers
        from distributed import Client, LocalCluster, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise SettingError(
            "Dask is not installed", "install the extra [dask], or leave out --dask and --dask-scheduler"
        ) from None
    with contextlib.ExitStack() as stack:
        # A case that kills its worker (memory) must not go on to kill others, and Dask must not spill or restart
        # workers by its own idea of how much memory a worker may have.
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1}))
        if scheduler is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="autofocus-dask-"))
            with _mute_children():
                cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address=None,
                    local_directory=scratch,
                )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster))
        else:
            try:
                client = stack.enter_context(Client(scheduler, timeout=CONNECT_SECONDS))
            except (OSError, ValueError) as error:
                raise SettingError(
                    f"The Dask scheduler {scheduler} does not answer ({error})",
                    "check the address, such as tcp://host:8786",
                ) from None
        share = 1.0 / workers if scheduler is None else 1.0
        threads = _threads(workers) if scheduler is None else None
        futures = {
            client.submit(
                run_here, dataclasses.asdict(job), share, threads, pure=False, key=f"autofocus-{i}-{id(jobs)}"
            ): i
            for i, job in enumerate(jobs)
        }
        stack.callback(client.cancel, list(futures))
        for future in as_completed(list(futures)):
            failure = future.exception()
            if failure is None:
                yield futures[future], future.result()
            elif isinstance(failure, KilledWorker):
                yield (
                    futures[future],
                    {
                        "type": "error",
                        "code": "died",
                        "cause": f"The process that computed it ended, {TRIES} times",
                        "remedy": "it most likely ran out of memory: use fewer workers or a smaller --memory-limit",
                    },
                )
            else:
                cause = f"The cluster failed ({type(failure).__name__}: {failure})"
                yield futures[future], {
                    "type": "error", "code": "cluster", "cause": cause,
                    "remedy": "check that its workers have the same version of this program",
                }  # fmt: skip


def run_here(job: dict[str, Any], memory_share: float = 1.0, threads: int | None = None) -> dict[str, Any]:
    """Run one job in this process; errors are part of the answer. Dask calls this on its workers."""
    global _handlers
    from AutofocusCore.io.temporary import PrivateFolder
    from AutofocusCore.worker.environment import prepare_process
    from AutofocusCore.worker.handlers import RequestHandlers

    try:
        if _handlers is None:
            prepare_process()
            if threads is not None:
                import torch

                torch.set_num_threads(threads)
            _handlers = RequestHandlers(PrivateFolder(), memory_share)
        return {"type": "result", **_handlers.segment(job)}
    except Exception as error:
        return {"type": "error", **as_user_error(error).to_dict()}


@contextlib.contextmanager
def _mute_children() -> Iterator[None]:
    """Start processes without stderr.

    The terminal's Ctrl-C also reaches Dask's processes, and each would print a traceback. Errors of cases are part of
    their answers.
    """
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _threads(workers: int) -> int:
    return max(1, (os.cpu_count() or 1) // workers)
