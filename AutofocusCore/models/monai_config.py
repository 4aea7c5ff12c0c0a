"""configs/inference.json of a bundle: the model as a configuration of MONAI, without a line of code in it.

MONAI executes strings that begin with "$" and calls whatever "_target_" names. Ours has no such string and few targets,
and a model that has others is refused.
"""

from __future__ import annotations

import json
from typing import Any

from AutofocusCore.errors import ModelError
from AutofocusCore.models.spec import ModelSpec

TRANSFORMS = (
    "Compose",
    "LoadImaged",
    "EnsureChannelFirstd",
    "Orientationd",
    "Spacingd",
    "NormalizeIntensityd",
    "ScaleIntensityRanged",
    "EnsureTyped",
    "Activationsd",
    "AsDiscreted",
)
TARGETS = (
    "AutofocusCore.build_network",
    "AutofocusCore.models.load_network",
    "AutofocusCore.models.inferer.WholeVolumeInferer",
    *TRANSFORMS,
)
AXES = [["L", "R"], ["P", "A"], ["I", "S"]]  # MONAI's default, which it is about to change
NOTE = (
    "For use with MONAI. Percentile and sigma cut-offs, body masks and the resampling of probabilities to the input's"
    " grid are done by AutofocusCore only: its figures are those of the model card."
)


def inference_config(spec: ModelSpec) -> dict[str, Any]:
    """Network, weights, preprocessing, inferer and postprocessing; set "bundle_root" to where the bundle lies."""
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
        "network_def": {"_target_": "AutofocusCore.build_network", **spec.architecture},
        "network": {"_target_": "AutofocusCore.models.load_network", "path": "@bundle_root"},
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "inferer": {"_target_": "AutofocusCore.models.inferer.WholeVolumeInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
    }


def parse_json(data: bytes, name: str) -> Any:
    """JSON of a model's file.

    Raises:
        ModelError: not UTF-8 or not JSON.
    """
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        cause = f"The model's {name} is not JSON ({type(error).__name__})"
        raise ModelError(cause, "get the model from its source again") from None


def check_config(value: Any, name: str) -> None:
    """Refuse a configuration that would run code in MONAI's hands: expressions, file-reading macros, other targets."""
    remedy = "do not use this model; get it from a source you trust"
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            target = item.get("_target_", TARGETS[0])
            if target not in TARGETS:
                raise ModelError(f"The model's {name} calls {target!r}, which no model needs", remedy)
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and item.lstrip()[:1] in ("$", "%"):
            raise ModelError(f"The model's {name} holds code: {item.strip()[:60]!r}; it was not run", remedy)
