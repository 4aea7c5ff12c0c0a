"""What a forward pass takes, found out without values."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from AutofocusCore.inference.dry_run import measure_effort


def test_convolutions_are_counted_by_step_and_memory_by_what_lives_at_a_time() -> None:
    with torch.device("meta"):
        first, second = nn.Conv3d(2, 4, 3, bias=False), nn.Conv3d(4, 8, 1, bias=False)

    def steps(x: Tensor) -> Iterator[None]:
        x = first(x)
        yield
        x = second(x)
        yield
        x.mul_(2)

    effort = measure_effort(steps, (1, 2, 12, 12, 12), torch.float32)
    inner = 10**3
    assert effort.work == (inner * 4 * 2 * 27, inner * 8 * 4, 0)
    volume, hidden, last = 4 * 2 * 12**3, 4 * 4 * inner, 4 * 8 * inner
    # While the second is computed: its input, its output, and what the library holds of both.
    assert effort.peak_bytes == max(2 * (volume + hidden), 2 * (hidden + last))


def test_tensors_that_nobody_holds_any_more_and_views_cost_nothing() -> None:
    def steps(x: Tensor) -> Iterator[None]:
        for _ in range(5):
            x = x + 1
            yield
        x = x[..., :2].permute(0, 1, 4, 3, 2)
        yield

    effort = measure_effort(steps, (1, 1, 8, 8, 8), torch.float32)
    assert effort.peak_bytes == 2 * 4 * 8**3
    assert len(effort.work) == 7


def test_a_volume_of_any_size_takes_no_memory() -> None:
    with torch.device("meta"):
        convolution = nn.Conv3d(1, 64, 3, dtype=torch.bfloat16)
    effort = measure_effort(lambda x: iter([convolution(x)]), (1, 1, 2000, 2000, 2000), torch.bfloat16)
    assert effort.peak_bytes > 10**12
