"""Configurations: read from TOML, checked on construction."""
