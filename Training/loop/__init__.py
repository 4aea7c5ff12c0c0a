"""The training loop: data, segments, losses, optimisers, steps, checkpoints."""
