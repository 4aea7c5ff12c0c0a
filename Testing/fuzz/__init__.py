"""Thousands of damaged and hostile image files, made from a seed: each is refused in one sentence, or read soundly."""
