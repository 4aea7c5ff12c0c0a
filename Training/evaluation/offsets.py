"""Offsets added to the logits of classes that are found too rarely, chosen on validation cases.

A structure that is known in few cases may be located correctly while its probability is still below one half. An offset
in the last layer's bias is what a longer training would learn first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from AutofocusCore.errors import SettingError
from AutofocusCore.models import ModelSpec


def offsets_of(words: Sequence[str], spec: ModelSpec) -> dict[str, float]:
    """Offsets by the structure's name, from words such as "Larynx=0.5".

    Raises:
        SettingError: another form, or a structure that the model does not have.
    """
    names, result = [structure.name for structure in spec.structures], {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not equals or name not in names or value != value:
            raise SettingError(
                f"--offsets {word!r} cannot be used", f"give NAME=NUMBER, NAME one of {', '.join(names)}"
            )
        result[name] = value
    return result


@torch.no_grad()
def add_offsets(network: nn.Module, offsets: Mapping[str, float], spec: ModelSpec) -> None:
    """Add the offsets to the bias of the network's last layer, in place.

    Raises:
        SettingError: its last layer is no convolution with a bias for each class.
    """
    if not offsets:
        return
    head = getattr(network, "head", None)
    if not isinstance(head, nn.Conv3d) or head.bias is None or head.out_channels != spec.num_classes:
        raise SettingError("This network's last layer takes no offsets", "leave --offsets out")
    for structure in spec.structures:
        head.bias[structure.label] += offsets.get(structure.name, 0.0)
