"""Converts published data into a prepared folder: one file for each format, one for each step."""
