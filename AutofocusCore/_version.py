"""The version, in the one place that packaging, provenance records and the citation read it from."""

__version__ = "0.2.0"
