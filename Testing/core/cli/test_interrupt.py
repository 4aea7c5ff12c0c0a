"""Signals that ask a process to stop: when they take effect, what is said, and what is as before afterwards."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from AutofocusCore.cli.interrupt import INTERRUPTED, Signals

STOP = signal.SIGTERM


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """The handlers of the test run, which come back after each test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Dying:
    """An object in whose destructor something is raised, as in a library that is cleaning up."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def test_a_signal_ends_the_work_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Signals(restore=True) as signals:
        signal.raise_signal(STOP)
    assert signals.cancelled()
    assert capsys.readouterr().err == INTERRUPTED + "\n"


def test_an_error_that_a_library_made_of_the_signal_is_the_same_to_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    def import_halfway() -> None:
        try:
            signal.raise_signal(STOP)
        except KeyboardInterrupt:
            raise ImportError from None

    with pytest.raises(ImportError), Signals(restore=True):
        import_halfway()
    assert capsys.readouterr().err == INTERRUPTED + "\n"


def test_work_that_no_signal_met_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="of the work"), Signals(restore=True) as signals:
        raise ValueError("of the work")
    assert not signals.cancelled()
    assert capsys.readouterr().err == ""


def test_handlers_and_hook_are_as_before_afterwards() -> None:
    handler, hook = signal.getsignal(STOP), sys.unraisablehook
    with Signals(restore=True):
        assert signal.getsignal(STOP) != handler
        assert sys.unraisablehook != hook
    assert signal.getsignal(STOP) == handler
    assert sys.unraisablehook == hook


def test_a_program_that_ends_ignores_further_signals() -> None:
    with Signals():
        pass
    assert signal.getsignal(STOP) is signal.SIG_IGN


def test_a_signal_waits_while_files_get_their_names() -> None:
    with Signals(restore=True) as signals:
        signals.hold()
        signal.raise_signal(STOP)
        assert signals.cancelled(), "and the work went on"
        with pytest.raises(KeyboardInterrupt):
            signals.release()


def test_a_signal_waits_while_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.__spec__ = SimpleNamespace(_initializing=True)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with Signals(restore=True) as signals:
        signal.raise_signal(STOP)
        assert signals.cancelled()
    torch.__spec__._initializing = False  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt), Signals(restore=True):
        signal.raise_signal(STOP)


def test_letting_go_without_a_signal_goes_on() -> None:
    with Signals(restore=True) as signals:
        signals.hold()
        signals.release()
    assert not signals.cancelled()


def test_a_signal_after_the_work_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    with Signals(restore=True) as signals:
        signals.close()
        signal.raise_signal(STOP)
    assert not signals.cancelled()
    assert capsys.readouterr().err == ""


def test_signals_that_nohup_ignores_stay_ignored() -> None:
    signal.signal(STOP, signal.SIG_IGN)
    with Signals(restore=True) as signals:
        signal.raise_signal(STOP)
        assert not signals.cancelled()
    assert signal.getsignal(STOP) is signal.SIG_IGN


def test_outside_the_main_thread_no_signal_is_caught() -> None:
    handler, seen = signal.getsignal(STOP), []

    def work() -> None:
        with Signals(restore=True) as signals:
            seen.append((signal.getsignal(STOP), signals.cancelled()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(handler, False)]


def test_an_interrupt_within_a_destructor_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    with Signals(restore=True) as signals:
        del [Dying(KeyboardInterrupt)][0]
        signals.received = True
        del [Dying(KeyboardInterrupt)][0]
        del [Dying(ValueError)][0]
        signals.received = False
    assert told == [KeyboardInterrupt, ValueError], "before the signal, and other errors"
