"""Options that several scripts share."""

from __future__ import annotations

import argparse

import pytest
import torch

from Training.configuration.shared_options import add_overrides, add_precision, add_threads, parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_overrides(parser, "run.seed=2")
    add_precision(parser)
    add_threads(parser)
    return parser


def test_settings_are_gathered_in_order_and_whole_volumes_are_in_float32_unless_asked() -> None:
    options = parse(_parser(), ["--set", "run.seed=2", "--set", "run.steps=5"])
    assert options.overrides == ["run.seed=2", "run.steps=5"]
    assert options.precision == "float32"


def test_threads_are_in_force_once_the_options_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    parse(_parser(), [])
    assert asked == []
    parse(_parser(), ["--threads", "1"])
    assert asked == [1]


@pytest.mark.parametrize("threads", ["0", "-2", "two"])
def test_threads_that_cannot_be_are_refused_in_a_sentence(
    threads: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: pytest.fail("set all the same"))
    with pytest.raises(SystemExit) as stopped:
        parse(_parser(), ["--threads", threads])
    assert stopped.value.code == 2
    assert "--threads" in capsys.readouterr().err
