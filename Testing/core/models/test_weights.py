"""Reading and writing weights: the same tensors and bytes as the safetensors library's, and a network that has them."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from AutofocusCore.errors import ModelError
from AutofocusCore.models.weights import (
    DTYPES,
    network_of,
    pack_weights,
    trained_network,
    unpack_weights,
    write_safetensors,
)

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def packed(header: Any, body: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].shape == other[k].shape and torch.equal(one[k], other[k]) for k in one
    )


def test_every_type_is_read_as_the_library_reads_it() -> None:
    torch.manual_seed(0)
    tensors = {
        f"layer.{name}": (torch.rand(3, 4, 5) * 100 - 20).to(getattr(torch, word)) for name, (word, _) in DTYPES.items()
    }
    tensors |= {"scalar": torch.tensor(7), "empty": torch.zeros(0, 3), "ü": torch.ones(1)}
    data = save(tensors, metadata={"format": "pt"})
    assert same(unpack_weights(data), load(data))
    assert same(unpack_weights(data), tensors)
    assert same(unpack_weights(save({})), {})
    assert same(unpack_weights(packed(b"{}   ")), {})  # padded, as the format allows


def test_it_needs_no_library(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack_weights(network.state_dict())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert same(unpack_weights(data), {name: tensor.detach() for name, tensor in network.state_dict().items()})


def test_the_tensors_can_be_changed_without_changing_the_file(network: torch.nn.Module) -> None:
    data = pack_weights(network.state_dict())
    before = bytes(data)
    for tensor in unpack_weights(data).values():
        tensor.zero_()
    assert data == before


HEADERS: dict[str, Any] = {
    "no JSON": packed(b"{"),
    "not UTF-8": packed(b'{"\xff": 1}'),
    "a list": packed([1]),
    "a number": packed(b"7"),
    "an entry that is a number": packed({"a": 1}),
    "no dtype": packed({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "an unknown dtype": packed({"a": {**TENSOR, "dtype": "F33"}}, bytes(8)),
    "a dtype that is a list": packed({"a": {**TENSOR, "dtype": ["F32"]}}, bytes(8)),
    "a negative size": packed({"a": {**TENSOR, "shape": [-2]}}, bytes(8)),
    "two negative sizes": packed({"a": {**TENSOR, "shape": [-2, -1]}}, bytes(8)),
    "a fraction": packed({"a": {**TENSOR, "shape": [2.0]}}, bytes(8)),
    "another shape": packed({"a": {**TENSOR, "shape": [3]}}, bytes(8)),
    "a shape beyond all memory": packed({"a": {**TENSOR, "shape": [2**40, 2**40]}}, bytes(8)),
    "one offset": packed({"a": {**TENSOR, "data_offsets": [8]}}, bytes(8)),
    "offsets backwards": packed({"a": {**TENSOR, "data_offsets": [8, 0]}}, bytes(8)),
    "offsets beyond the end": packed({"a": {**TENSOR, "data_offsets": [0, 8]}}, bytes(4)),
    "a gap before": packed({"a": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)),
    "a gap between": packed({"a": TENSOR, "b": {**TENSOR, "data_offsets": [12, 20]}}, bytes(20)),
    "an overlap": packed({"a": TENSOR, "b": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)),
    "the same bytes twice": packed({"a": TENSOR, "b": TENSOR}, bytes(8)),
    "bytes behind": packed({"a": TENSOR}, bytes(9)),
    "metadata of numbers": packed({"__metadata__": {"a": 1}, "a": TENSOR}, bytes(8)),
    "a header cut short": packed({"a": TENSOR}, bytes(8))[:20],
    "a length beyond the end": packed({"a": TENSOR}, length=2**63 + 5),
    "less than a length": b"\0\0\0",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_what_the_library_refuses_is_refused(name: str) -> None:
    with pytest.raises((SafetensorError, KeyError, ValueError, OverflowError)):
        load(HEADERS[name])
    with pytest.raises(ModelError, match="damaged"):
        unpack_weights(HEADERS[name])


def test_what_the_format_forbids_is_refused_even_if_the_library_does_not_mind() -> None:
    entry = json.dumps(TENSOR)
    for text in (f'{{"a": {entry}, "a": {entry}}}', '{"a":' * 5000, '{"a": NaN}', "  {}"):
        with pytest.raises(ModelError, match="damaged"):
            unpack_weights(packed(text.encode(), bytes(8)))


def test_no_flipped_byte_of_the_header_passes_as_another_network() -> None:
    data = bytearray(pack_weights({"weight": torch.arange(6.0).reshape(2, 3)}))
    length = int.from_bytes(data[:8], "little")
    for index in range(8 + length):
        for flip in (1, 16, 128):
            spoiled = data.copy()
            spoiled[index] ^= flip
            try:
                ours = unpack_weights(bytes(spoiled))
            except ModelError:
                continue
            assert same(ours, load(bytes(spoiled)))  # a letter of the name, or blanks


def test_files_are_written_as_the_library_writes_them() -> None:
    torch.manual_seed(0)
    tensors = {
        f"z.{number}.{name}": (torch.rand(3, 4) * 100 - 20).to(getattr(torch, word))
        for number, (name, (word, _)) in enumerate(DTYPES.items())
    }
    tensors |= {"scalar": torch.tensor(7), "empty": torch.zeros(0, 3), "ü": torch.ones(1), "a": torch.ones(5).half()}
    tensors["turned"] = torch.rand(4, 5).T
    data = write_safetensors(tensors)
    assert data == save({name: tensor.contiguous() for name, tensor in tensors.items()})
    assert same(load(data), tensors)
    with pytest.raises(ModelError, match="complex64"):
        write_safetensors({"a": torch.zeros(1, dtype=torch.complex64)})


def test_a_network_gets_its_weights_without_random_ones_first() -> None:
    state = torch.random.get_rng_state()
    options = {"architecture": "afn-1", "in_channels": 1, "num_classes": 3}
    fresh = network_of(options)
    torch.random.set_rng_state(state)
    built = trained_network(options, pack_weights(fresh.state_dict()))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not built.training
    assert same(dict(built.state_dict()), dict(fresh.state_dict()))
    assert all(
        one.requires_grad == two.requires_grad for one, two in zip(built.parameters(), fresh.parameters(), strict=True)
    )
