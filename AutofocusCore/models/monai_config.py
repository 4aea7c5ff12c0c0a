"""configs/inference.json of a bundle: the model as a configuration of MONAI, without code.

MONAI executes strings that begin with "$", calls what "_target_" names, and imports what some arguments name (for
example the reader of LoadImaged). Therefore a model's configuration may contain only what `inference_config` writes:
the same sections, targets and arguments, with plain values. Everything else is refused; this program never executes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from AutofocusCore.errors import ModelError
from AutofocusCore.io.texts import load_json
from AutofocusCore.models.spec import ModelSpec

NETWORK = "AutofocusCore.build_network"
LOADER = "AutofocusCore.models.load_network"
INFERER = "AutofocusCore.models.inferer.WholeVolumeInferer"
AXES = [["L", "R"], ["P", "A"], ["I", "S"]]  # MONAI's present default, which will change
NOTE = (
    "For use with MONAI. Percentile and sigma cut-offs, body masks and the resampling of probabilities to the input's"
    " grid are done by AutofocusCore only: its figures are those of the model card."
)

TRANSFORMS: dict[str, frozenset[str]] = {
    "LoadImaged": frozenset({"keys"}),
    "EnsureChannelFirstd": frozenset({"keys"}),
    "Orientationd": frozenset({"keys", "axcodes", "labels"}),
    "Spacingd": frozenset({"keys", "pixdim", "mode"}),
    "NormalizeIntensityd": frozenset({"keys", "nonzero", "channel_wise"}),
    "ScaleIntensityRanged": frozenset({"keys", "a_min", "a_max", "b_min", "b_max", "clip"}),
    "EnsureTyped": frozenset({"keys", "dtype"}),
    "Activationsd": frozenset({"keys", "softmax"}),
    "AsDiscreted": frozenset({"keys", "argmax"}),
}
"""The allowed transforms and their allowed arguments."""
SECTIONS = {
    "network_def": NETWORK,
    "network": LOADER,
    "preprocessing": "Compose",
    "inferer": INFERER,
    "postprocessing": "Compose",
}
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Allowed strings: no dots, which MONAI takes for Python names, and no signs with a meaning for MONAI."""


def inference_config(spec: ModelSpec) -> dict[str, Any]:
    """Network, weights, preprocessing, inferer and postprocessing; set "bundle_root" to the bundle's folder."""
    image = {"keys": "image"}
    rule = spec.normalization
    transforms: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", **image},
        {"_target_": "EnsureChannelFirstd", **image},
        {"_target_": "Orientationd", **image, "axcodes": spec.orientation, "labels": AXES},
    ]
    if spec.spacing is not None:
        transforms.append({"_target_": "Spacingd", **image, "pixdim": list(spec.spacing), "mode": "bilinear"})
    if rule.window is not None:
        low, high = rule.window
        scale = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0, "clip": True}
        transforms.append({"_target_": "ScaleIntensityRanged", **image, **scale})
    else:
        nonzero = rule.mask == "nonzero"
        transforms.append({"_target_": "NormalizeIntensityd", **image, "nonzero": nonzero, "channel_wise": True})
    transforms.append({"_target_": "EnsureTyped", **image, "dtype": "float32"})
    return {
        "note": NOTE,
        "bundle_root": ".",
        "network_def": {"_target_": NETWORK, **spec.architecture},
        "network": {"_target_": LOADER, "path": "@bundle_root"},
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "inferer": {"_target_": INFERER},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    }


def parse_json(data: bytes, name: str) -> Any:
    """Parse a JSON file of a model.

    Raises:
        ModelError: it is not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return load_json(data)
    except ValueError as error:
        cause = f"The model's {name} is not JSON that can be used ({type(error).__name__})"
        raise ModelError(cause, "get the model from its source again") from None


def check_config(value: Any, name: str) -> None:
    """Refuse a configuration that could make MONAI run code.

    Args:
        value: parsed content of a file in configs/.
        name: the file's name in the model. metadata.json may contain any text without meaning for MONAI; every other
            file must have the form of `inference_config`.
    """
    _check_texts(value, name)
    if name == "configs/metadata.json":
        return
    if not isinstance(value, dict):
        raise _refusal(name, "is not an object with sections")
    for section, content in value.items():
        if section in ("note", "bundle_root"):
            if not isinstance(content, str) or (section == "bundle_root" and content != "."):
                raise _refusal(name, f"gives {section} the value {str(content)[:60]!r}")
        elif section == "_target_":
            raise _refusal(name, f"calls {str(content)[:60]!r}")
        elif section not in SECTIONS:
            raise _refusal(name, f"has a section {section[:60]!r}")
        else:
            _check_section(section, content, name)


def _check_section(section: str, content: Any, name: str) -> None:
    target = _target_of(content, name)
    arguments = {key: item for key, item in content.items() if key != "_target_"}
    if target != SECTIONS[section]:
        raise _refusal(name, f"calls {target!r} for its {section}")
    if target == "Compose":
        steps = arguments.pop("transforms", [])
        if not isinstance(steps, list):
            raise _refusal(name, f"has no list of transforms in its {section}")
        for step in steps:
            _check_transform(step, name)
    elif target == LOADER and arguments.pop("path", None) != "@bundle_root":
        raise _refusal(name, "loads its network from another place than the model's folder")
    if target == NETWORK:
        _check_values(arguments, target, name)
    elif arguments:
        raise _refusal(name, f"gives {target} the argument {next(iter(arguments))[:60]!r}")


def _check_transform(step: Any, name: str) -> None:
    target = _target_of(step, name)
    arguments = {key: item for key, item in step.items() if key != "_target_"}
    if target not in TRANSFORMS:
        raise _refusal(name, f"calls {target!r}")
    for unknown in arguments.keys() - TRANSFORMS[target]:
        raise _refusal(name, f"gives {target} the argument {unknown[:60]!r}")
    _check_values(arguments, target, name)


def _target_of(content: Any, name: str) -> str:
    if not isinstance(content, dict) or not isinstance(content.get("_target_"), str):
        raise _refusal(name, "has a section without a '_target_'")
    return str(content["_target_"])


def _check_values(arguments: Mapping[str, Any], target: str, name: str) -> None:
    for key, value in arguments.items():
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting += item
            elif isinstance(item, dict) or (isinstance(item, str) and not WORD.fullmatch(item)):
                raise _refusal(name, f"gives {target} {str(item)[:60]!r} as {key[:60]!r}")
        if not WORD.fullmatch(key):
            raise _refusal(name, f"gives {target} the argument {key[:60]!r}")


def _check_texts(value: Any, name: str) -> None:
    """Refuse expressions, macros, and keys that MONAI reads as instructions, at every level."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key in item:
                reserved = key.startswith("_") and key.endswith("_") and key != "_target_"
                if reserved or (key == "_target_" and name == "configs/metadata.json") or key[:1] in ("+", "~"):
                    raise _refusal(name, f"has a key {key[:60]!r}")
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and item.lstrip()[:1] in ("$", "%"):
            raise _refusal(name, f"holds code: {item.strip()[:60]!r}; it was not run")


def _refusal(name: str, what: str) -> ModelError:
    known = "" if "holds code" in what else ", which no model needs"
    return ModelError(f"The model's {name} {what}{known}", "do not use this model; get it from a source you trust")
