"""How to teach: plain data from the command line or the worker's request."""

from __future__ import annotations

from dataclasses import dataclass

from AutofocusCore.errors import SettingError
from AutofocusCore.io.texts import is_number, is_whole


@dataclass(frozen=True)
class TeachSettings:
    """How to teach.

    Args:
        minutes: of learning; reading and measuring come on top.
        structures: names of those to teach; none: all that a case contours.
        check: names of the cases to hold out; none: chosen, if there are at least four.
        device: "auto", "cpu" or "cuda:N".
        memory_limit: bytes that a step may take; None: what is free.
        steps: ends the learning earlier, after so many scans; 0: by the minutes alone.
        seed: of everything random.
        names: other names of structures in the cases, each with the model's: ("Parotid_L", "Left parotid gland").
    """

    minutes: float = 10.0
    structures: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    device: str = "auto"
    memory_limit: int | None = None
    steps: int = 0
    seed: int = 1
    names: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not is_number(self.minutes) or not 0 < self.minutes <= 24 * 60:
            raise SettingError(f"The minutes of teaching are {self.minutes!r}", "give more than 0, up to a day (1440)")
        for name in ("structures", "check"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
                raise SettingError(f"The setting {name} is {value!r}", "give a list of names")
            object.__setattr__(self, name, tuple(value))
        if not isinstance(self.names, list | tuple) or not all(_is_pair(one) for one in self.names):
            raise SettingError(f"The setting names is {self.names!r}", "give a list of pairs of names")
        object.__setattr__(self, "names", tuple((other, name) for other, name in self.names))
        for name in ("steps", "seed"):
            value = getattr(self, name)
            if not is_whole(value) or value < 0:
                raise SettingError(f"The setting {name} is {value!r}", "give a whole number from 0 up")
        if self.memory_limit is not None and not (is_number(self.memory_limit) and self.memory_limit > 0):
            raise SettingError(f"The memory limit is {self.memory_limit!r} bytes", "give a positive number")
        if not isinstance(self.device, str):
            raise SettingError(f"The device is {self.device!r}", "give its name")


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, str) for one in value)
