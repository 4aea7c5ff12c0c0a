"""Models: what they are, how they are stored, where they are found."""

from .spec import Channel, Code, ModelSpec, Normalization, Structure

__all__ = ["Channel", "Code", "ModelSpec", "Normalization", "Structure"]
