"""Reads configuration files in TOML, with `base` files and changes by `--set`, and writes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from AutofocusCore.errors import SettingError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the same parser, before it was part of Python
    import tomli as tomllib

Values = dict[str, Any]


def read_values(path: Path, overrides: Sequence[str] = ()) -> Values:
    """The values of a TOML file over those of the file that its `base` names, and so on; `overrides` last.

    Args:
        path: of the file. A `base` in it is relative to its folder.
        overrides: "table.field=value" each, the value in TOML.

    Raises:
        SettingError: a file that is missing, not TOML or its own base; an override that cannot be understood.
    """
    return apply_overrides(_with_base(path, ()), overrides)


def _with_base(path: Path, above: tuple[Path, ...]) -> Values:
    place = path.resolve()
    if place in above:
        raise SettingError(f"The configuration {path} is its own base", "let it begin from another file, or from none")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"The configuration {path} cannot be read ({error.strerror})", "check its path") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"The configuration {path} is not text in UTF-8 ({error})", "save it as UTF-8") from None
    values = values_of(text, f"The configuration {path}")
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str) or not base:
        raise SettingError(f"The configuration's base is {base!r}", 'name another file, as in base = "base.toml"')
    return merged(_with_base(path.parent / base, (*above, place)), values)


def values_of(text: str, what: str) -> Values:
    """The values of a text in TOML; a SettingError that begins with `what` it is where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{what} is not TOML ({error})", "correct the line it names") from None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Values:
    """Both tables merged, nested tables too; for other values `above` wins."""
    result = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def apply_overrides(values: Values, overrides: Sequence[str]) -> Values:
    """The values with each "table.field=value" in place of what was there.

    The value is TOML. A bare word (``run.loss=dice``) is taken as text, for shells that swallow quotation marks.

    Raises:
        SettingError: an override of another form.
    """
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or len(keys) < 2 or not all(keys):
            raise SettingError(f"--set {override!r} is not of the form table.field=value", "see --set run.seed=2")
        value: Any = _value(text.strip(), override)
        for key in reversed(keys):
            value = {key: value}
        values = merged(values, value)
    return values


def _value(text: str, override: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if not text or text[0] in "[{\"'" or "\n" in text:
            raise SettingError(f"The value of --set {override!r} is not TOML ({error})", "correct it") from None
        return text
    if list(read) != ["value"]:
        raise SettingError(f"The value of --set {override!r} is more than one value", "give one --set for each field")
    return read["value"]


def toml_text(values: Mapping[str, Any]) -> str:
    """The values as a TOML file; None, which TOML does not know, is left out."""
    return tomli_w.dumps(_without_none(values))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value
