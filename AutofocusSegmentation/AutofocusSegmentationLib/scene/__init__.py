"""The MRML scene: nodes for segmentations, attention, provenance, and where they are placed."""
