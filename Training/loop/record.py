"""The record of a run in its folder: environment, a line for each step, curves for TensorBoard, progress."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from AutofocusCore import __version__
from AutofocusCore.io.atomic import cannot_write, write_text

SHOWN_EVERY = 10.0
"""Seconds between lines of progress."""


def write_environment(folder: Path, config: str, device: torch.device, more: dict[str, Any]) -> None:
    """Write config.toml (the whole experiment) and environment.json (versions, device, data).

    Args:
        folder: of the run, made if need be.
        config: the experiment as TOML.
        device: of the run.
        more: facts about the data, the processes and the initial weights.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    facts = {
        "version": __version__,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed_files": (_git("status", "--porcelain", "--untracked-files=no") or "").splitlines(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "SimpleITK": sitk.Version_VersionString(),
        **more,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config, encoding="utf-8")
        (folder / "environment.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from error


def _git(*arguments: str) -> str | None:
    """Output of git for this checkout; None without git or a checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, encoding="utf-8")
    except OSError:
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


class Record:
    """log.jsonl and, where TensorBoard is installed, its events; and a line of progress every few seconds.

    Args:
        folder: of the run.
        start: steps already done; records of later steps, which are now repeated, are removed.
        steps: of the whole run.
        config: the experiment as TOML, for TensorBoard's page of text.
    """

    def __init__(self, folder: Path, start: int, steps: int, config: str) -> None:
        self.log, self.start, self.steps = folder / "log.jsonl", start, steps
        self.began = self.shown = time.monotonic()
        self._forget_after(start)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.events = None
            print('no curves: for TensorBoard, install it (pip install ".[train]")', flush=True)
            return
        self.events = SummaryWriter(str(folder), purge_step=start + 1)
        self.events.add_text("config.toml", "\n".join("    " + line for line in config.splitlines()), start)

    def _forget_after(self, step: int) -> None:
        if not self.log.exists():
            return
        kept = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):  # cut off when the run was killed
                continue
        write_text(self.log, "".join(kept))

    def add(
        self,
        step: int,
        loss: float,
        rate: float,
        cases: list[str],
        watched: list[float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a step, counted from 1, perhaps the Dice of each structure on the watched cases, and further facts.

        A Dice that is NaN, of a structure that none of these cases has, is null in the log: JSON has no NaN.
        """
        now = time.monotonic()
        line: dict[str, Any] = {"step": step, "loss": round(loss, 5), "learning_rate": float(f"{rate:.4g}")}
        line |= {"seconds": round(now - self.began, 2), "cases": cases, **(facts or {})}
        scalars = {"loss": loss, "learning_rate": rate}
        if watched is not None:
            line["watched_dice"] = [None if math.isnan(score) else round(score, 4) for score in watched]
            scalars |= {f"watched_dice/{label}": score for label, score in enumerate(watched, start=1)}
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line, allow_nan=False) + "\n")
        for place, spread in enumerate(line.get("attention_sd", ()), start=1):
            scalars[f"attention_sd/{place}"] = spread
        if self.events is not None:
            for name, value in scalars.items():
                self.events.add_scalar(name, value, step)
        if now - self.shown > SHOWN_EVERY or watched is not None or step in (self.start + 1, self.steps):
            self.shown = now
            left = timedelta(seconds=round((now - self.began) / (step - self.start) * (self.steps - step)))
            seen = f"  Dice {[round(score, 4) for score in watched]}" if watched is not None else ""
            print(f"step {step}/{self.steps}  loss {loss:.4f}  {left} left{seen}", flush=True)

    def close(self) -> None:
        """Write everything that is still buffered."""
        if self.events is not None:
            self.events.close()
