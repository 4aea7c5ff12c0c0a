"""From the data as they are given out to a prepared folder: one file for each format, one for each step."""
