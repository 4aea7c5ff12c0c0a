"""Temporary result folders, one per job, removed when they are no longer needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


class JobFolders:
    """Makes and removes the temporary result folders of jobs without output paths.

    Args:
        parent: returns the folder that contains them, which is removed elsewhere.
    """

    def __init__(self, parent: Callable[[], Path]) -> None:
        self._parent = parent
        self._count = 0
        self._folders: dict[str, list[Path]] = {}  # by the job's id as JSON
        self._passing: list[Path] = []

    def new(self, job: Any, *, keep: bool) -> Path:
        """Make a new folder for a job, and remove folders of earlier jobs with `keep` false."""
        for folder in self._passing:
            self.remove(folder)
        self._count += 1
        folder = self._parent() / f"job-{self._count}"
        folder.mkdir()
        self._folders.setdefault(_key(job), []).append(folder)
        self._passing = [] if keep else [folder]
        return folder

    def forget(self, job: Any) -> bool:
        """Remove the folders of a job; returns whether there was any."""
        folders = self._folders.pop(_key(job), [])
        for folder in folders:
            self.remove(folder)
        return bool(folders)

    def remove(self, folder: Path) -> None:
        """Remove one folder."""
        shutil.rmtree(folder, ignore_errors=True)
        for key, folders in list(self._folders.items()):
            self._folders[key] = [other for other in folders if other != folder]
            if not self._folders[key]:
                del self._folders[key]


def _key(job: Any) -> str:
    return json.dumps(job, sort_keys=True)
