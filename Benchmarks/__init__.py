"""Measurements of the engine; `make bench` prints the tables of Documentation/Benchmarks.md."""
