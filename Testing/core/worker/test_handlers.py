"""Requests whose fields are of the wrong kind: what a program gets told, by the code "setting"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from AutofocusCore.errors import SettingError
from AutofocusCore.io.temporary import PrivateFolder
from AutofocusCore.worker.handlers import RequestHandlers


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": {"roi_box": ["0", "0", "0", "9", "9", "9"]}},
        {"settings": {"frame": "x"}},
        {"settings": {"device": 5}},
        {"settings": "fast"},
        {"settings": 5},
        {"outputs": {"segmentation": 5}},
        {"outputs": {"segmentation": "o.nrrd", "attention": 5}},
        {"images": 5},
        {"images": "a.nrrd"},
        {"images": [None]},
        {"model": 5},
    ],
)
def test_fields_of_the_wrong_kind_are_wrong_settings(
    tmp_path: Path, tiny_model: Path, write_random_image: Callable[..., Path], fields: dict[str, Any]
) -> None:
    services = RequestHandlers(PrivateFolder(tmp_path))
    scan = write_random_image("a.nrrd")
    sound = {"id": 1, "images": [str(scan)], "model": str(tiny_model)}
    with pytest.raises(SettingError):
        services.segment({**sound, **fields})
    if "outputs" not in fields and "images" not in fields:
        with pytest.raises(SettingError):
            services.plan({"model": str(tiny_model), "size": [9, 9, 9], "spacing": [1, 1, 1], **fields})
