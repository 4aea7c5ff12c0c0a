"""The errors that a user can meet: a code for programs, a cause and a remedy for people.

They print as one sentence, without a traceback, in the terminal and in the panel of the application alike.
"""

from __future__ import annotations

from typing import ClassVar


class AutofocusError(Exception):
    """Something that the user can understand and mend.

    Args:
        cause: what is wrong, naming the offending file, field or value; no full stop at the end.
        remedy: what to do about it; no full stop at the end.
    """

    code: ClassVar[str] = "error"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}."


class InputError(AutofocusError):
    """An image, a table or a folder that cannot be used as it is."""

    code = "input"


class ModelError(AutofocusError):
    """A model that is missing, damaged, unsafe or of another kind."""

    code = "model"


class ModelThereError(ModelError):
    """A model of the same name that nobody has said to replace."""

    code = "model-there"


class SettingError(AutofocusError):
    """An option whose value makes no sense, or makes none beside the others."""

    code = "setting"


class DeviceError(AutofocusError):
    """A device that is not there."""

    code = "device"


class MemoryLimitError(AutofocusError):
    """A volume for which no plan fits into the memory there is."""

    code = "memory"


class OutputError(AutofocusError):
    """A result that cannot be written: full disk, missing rights, unknown format."""

    code = "output"


class Cancelled(AutofocusError):
    """The user stopped the run; nothing was written."""

    code = "cancelled"

    def __init__(self, cause: str = "The run was cancelled", remedy: str = "start it again when you like") -> None:
        super().__init__(cause, remedy)
