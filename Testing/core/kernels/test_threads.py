"""Chunks of voxels on plain threads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import torch

from AutofocusCore.kernels import ActiveVoxels, blended_convolution, set_threads, threads, torch_on_one_thread
from AutofocusCore.kernels.library import FALLBACK, VARIABLE
from AutofocusCore.kernels.threads import BLOCK, CHUNK, cut, in_chunks, in_torch_chunks
from AutofocusCore.networks.build import build_network
from Testing.waiting import patience


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    set_threads(2)
    yield
    set_threads(None)


def covered(total: int) -> list[int]:
    seen: list[int] = []
    in_chunks(total, lambda _, first, last: seen.extend(range(first, last)))
    return sorted(seen)


@pytest.mark.parametrize("total", [0, 1, 59, 61, 121, 5000])
def test_the_chunks_cover_every_voxel_once(total: int) -> None:
    assert covered(total) == list(range(total))


@pytest.mark.parametrize("slow", [0, 1])
def test_fixed_chunks_go_to_the_same_worker_whichever_is_slower(slow: int) -> None:
    taken: dict[int, list[int]] = {0: [], 1: []}
    other_is_done = threading.Event()

    def work(worker: int, first: int, last: int) -> None:
        if worker == slow:
            assert other_is_done.wait(patience(10))
        taken[worker].append(first)
        if worker != slow and len(taken[worker]) == len(cut(9000, 2)[worker::2]):
            other_is_done.set()

    in_chunks(9000, work, fixed=True)
    assert taken == {worker: [first for first, _ in cut(9000, 2)[worker::2]] for worker in (0, 1)}


def test_two_threads_give_the_same_gradients_each_time() -> None:
    torch.manual_seed(0)
    network = build_network("afn-1", in_channels=1, num_classes=3, norm="fused", domain="roi").train()
    voxels = ActiveVoxels.from_mask(torch.rand(1, 14, 14, 14) < 0.7)
    rows, labels = torch.rand(voxels.count, 1), torch.randint(0, 3, (voxels.count,))
    found = set()
    for _ in range(8):
        network.zero_grad()
        torch.nn.functional.cross_entropy(network.forward_rows(rows, voxels)[0], labels).backward()
        found.add(b"".join(p.grad.numpy().tobytes() for p in network.parameters() if p.grad is not None))
    assert len(found) == 1


def test_chunks_get_smaller_at_the_end_and_are_whole_blocks() -> None:
    sizes = [last - first for first, last in cut(20_000, 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == CHUNK
    assert all(size % BLOCK == 0 for size in sizes[:-1])
    assert sizes[-1] <= 2 * BLOCK


@pytest.fixture
def torch_on_two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    set_threads(None)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_on_two_threads")
def test_pytorch_takes_one_thread_beside_the_kernel_and_gets_its_own_back() -> None:
    with torch_on_one_thread():
        inside = torch.get_num_threads(), threads()
    assert inside == (1, 2)
    assert (torch.get_num_threads(), threads()) == (2, 2)


@pytest.mark.usefixtures("torch_on_two_threads")
@pytest.mark.parametrize("inference", [True, False])
def test_two_threads_compute_chunks_in_pytorch_each_with_one_thread_and_in_the_callers_mode(inference: bool) -> None:
    met = threading.Barrier(2, timeout=patience())
    seen: set[tuple[int, int, bool, bool]] = set()

    def work(worker: int, first: int, last: int) -> None:
        if worker not in {number for number, *_ in seen}:
            met.wait()  # so that both threads take part
        seen.add((worker, torch.get_num_threads(), torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

    with torch.inference_mode(inference):
        in_torch_chunks(4 * CHUNK, work, CHUNK)
    assert seen == {(0, 1, inference, False), (1, 1, inference, False)}
    assert (torch.get_num_threads(), threads()) == (2, 2)


def test_without_native_code_two_threads_compute_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, FALLBACK)
    random = torch.Generator().manual_seed(1)
    voxels = ActiveVoxels.from_mask(torch.rand(1, 16, 16, 16, generator=random) < 0.9)
    attention = torch.rand(voxels.count, 2, generator=random)
    found = {}
    for number in (1, 2):
        set_threads(number)
        rows = torch.linspace(-1, 1, voxels.count * 4, dtype=torch.double).view(-1, 4).requires_grad_()
        weight = torch.linspace(-1, 1, 3 * 4 * 27, dtype=torch.double).view(3, 4, 3, 3, 3).requires_grad_()
        shares = attention.double().requires_grad_()
        out = blended_convolution(rows, weight, voxels, rates=(1, 3), attention=shares)
        out.square().sum().backward()
        found[number] = [out.detach(), rows.grad, weight.grad, shares.grad]
    torch.testing.assert_close(found[1], found[2])


def test_a_failure_in_any_thread_reaches_the_caller() -> None:
    def fail(worker: int, first: int, last: int) -> None:
        raise MemoryError("no memory")

    with pytest.raises(MemoryError, match="no memory"):
        in_chunks(5000, fail)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system cannot fork a process.")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    covered(5000)  # the threads of this process are running
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if covered(5000) == list(range(5000)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
