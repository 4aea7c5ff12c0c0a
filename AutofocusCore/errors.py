"""The errors that a user can meet: a code for programs, a cause and a remedy for people.

They are shown as one sentence, without a traceback, in the terminal and in Slicer's panel.
"""

from __future__ import annotations

from typing import ClassVar


class AutofocusError(Exception):
    """Base class of errors that users can understand and correct.

    Args:
        cause: what is wrong, with the file, field or value; no full stop at the end.
        remedy: what to do; no full stop at the end.
    """

    code: ClassVar[str] = "error"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}."

    def to_dict(self) -> dict[str, str]:
        """Code, cause and remedy, for answers of the worker and records of batches."""
        return {"code": self.code, "cause": self.cause, "remedy": self.remedy}


class InputError(AutofocusError):
    """An image, table or folder cannot be used as it is."""

    code = "input"


class ModelError(AutofocusError):
    """A model is missing, damaged, unsafe or of another kind."""

    code = "model"


class ModelThereError(ModelError):
    """A model of the same name exists, and replacing it was not requested."""

    code = "model-there"


class SettingError(AutofocusError):
    """An option has an invalid value, alone or together with others."""

    code = "setting"


class DeviceError(AutofocusError):
    """A device does not exist."""

    code = "device"


class MemoryLimitError(AutofocusError):
    """A volume needs more memory than there is."""

    code = "memory"


class OutputError(AutofocusError):
    """A result cannot be written: full disk, missing rights, unknown format."""

    code = "output"


class Cancelled(AutofocusError):
    """The user stopped the run; nothing was written."""

    code = "cancelled"

    def __init__(self, cause: str = "The run was cancelled", remedy: str = "start it again when you like") -> None:
        super().__init__(cause, remedy)


class WorkerError(AutofocusError):
    """An error that a worker process reported, with its code; or the end of that process."""

    code = "worker"

    def __init__(self, cause: str, remedy: str, code: str = "worker") -> None:
        super().__init__(cause, remedy)
        self.code = code  # type: ignore[misc]


class InternalError(AutofocusError):
    """A fault of this program."""

    code = "internal"


def as_user_error(error: BaseException) -> AutofocusError:
    """Any exception as an error with cause and remedy, for the terminal, the worker's answers and batch tables."""
    if isinstance(error, AutofocusError):
        return error
    if isinstance(error, MemoryError):
        return MemoryLimitError(
            "The computer has not enough memory",
            "close other programs, use fewer workers, or set a lower memory limit",
        )
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return OutputError(f"Cannot use{place}: {error.strerror}", "check that it is there and that you may use it")
    first = next(iter(str(error).strip().splitlines()), "no message")
    return InternalError(f"This should not have happened ({type(error).__name__}: {first})", "report it with the log")
