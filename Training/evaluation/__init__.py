"""Evaluation: measures of agreement, comparisons, tables, pictures."""
