"""Measurements of the engine; `make bench` prints the README's table."""
