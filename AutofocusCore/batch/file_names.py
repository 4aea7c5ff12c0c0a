"""Channel and case of a file, from its name.

A pattern such as `*t1*` must begin at the beginning of a word and must not split a number: it fits
`Anna_T1`, `t1w`, `mprageT1` and `T1ce`, but neither `patient1` nor `T12`. Words begin after signs, at digits after
letters, at letters after digits, and at capitals as in `PelvisCT`, `CTPelvis` and `CTscan`.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.bids import modality_name
from AutofocusCore.io.atomic import stem_of

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

WEIGHTINGS = ("weighted", "ce", "gd", "c", "f", "n", "w")
"""Letters that may follow a modality directly and belong to it: T1w, T1ce, T2f."""

# Put before every word and at the end; file names cannot contain it.
MARK = "\0"


def channel_of(path: Path, channels: Sequence[Channel]) -> tuple[int | None, str]:
    """Number of the channel with the longest fitting pattern, and the pattern: `*t1ce*` is preferred to `*t1*`.

    Among patterns of equal length, those that fit whole words are preferred: `Ctibor_mr` is `*mr*`, not `*ct*`.
    """
    told = modality_name(path)
    names = (path.name, stem_of(path)) if told is None else (told, stem_of(told))
    fitting = [
        (len(pattern), max(_fit(pattern, name) for name in names), -number, pattern)
        for number, channel in enumerate(channels)
        for pattern in channel.patterns
        if any(_fit(pattern, name) for name in names)
    ]
    if not fitting:
        return None, ""
    _, _, number, pattern = max(fitting)
    return -number, pattern


def without(pattern: str, path: Path) -> str:
    """The stem without the channel's own word: `Anna_flair.nii.gz` and `*flair*` give `Anna`."""
    stem = stem_of(path)
    word = max(re.split(r"[*?]|\[.*?\]", stem_of(pattern)), key=len)
    rest = marked = _marked(stem)
    letters = f"{MARK}?".join(map(re.escape, word))
    weighting = "|".join(f"{MARK}?".join(weighting) for weighting in WEIGHTINGS)
    for end in (f"(?:{MARK}?(?:{weighting}))?(?={MARK}(?:[^0-9a-z{MARK}]|$))", f"(?={MARK})", ""):
        # whole words are preferred, then those followed by a sign, and of these the last
        found = list(re.finditer(f"{MARK}{letters}{end}", marked, re.IGNORECASE)) if word else []
        if found:
            rest = marked[: found[-1].start()] + marked[found[-1].end() :]
            break
    rest = rest.replace(MARK, "")
    return re.sub(r"[_\-. ]+$|^[_\-. ]+|(?<=[_\-. ])[_\-. ]+", "", rest)


def _fit(pattern: str, name: str) -> int:
    """0: the pattern does not fit the name, 1: it begins with a word, 2: it ends with one too."""
    marked = _marked(name)
    return next((2 - loose for loose in (False, True) if _matches(_expressions(pattern, loose), marked)), 0)


@functools.lru_cache(maxsize=4096)
def _marked(name: str) -> str:
    """The name with MARK between words and numbers, and at both ends."""
    name = unicodedata.normalize("NFC", name)
    pieces = [MARK]
    for at, here in enumerate(name):
        before, after = name[at - 1 : at], name[at + 1 : at + 2]
        if before and _kind(before) == _kind(here) != "":
            hump = before.islower() and here.isupper()  # Pelvis|CT
            last_capital = before.isupper() and here.isupper() and after.islower()  # CT|Pelvis
            capitals_end = before.isupper() and here.islower() and name[at - 2 : at - 1].isupper()  # CT|scan
            pieces.append(MARK if hump or last_capital or capitals_end else "")
        elif before:
            pieces.append(MARK)
        pieces.append(here)
    return "".join([*pieces, MARK])


def _kind(letter: str) -> str:
    return "letter" if letter.isalpha() else "digit" if letter.isdigit() else ""


def _matches(parts: Sequence[re.Pattern[str]], marked: str) -> bool:
    """Whether a marked name contains the parts between a pattern's stars, in order.

    Each part is searched after the end of the one before. The first match of a part is as good as any later one, so the
    time is proportional to the length of the name.
    """
    if len(parts) == 1:
        return bool(parts[0].fullmatch(marked))
    first = parts[0].match(marked)
    at = None if first is None else first.end()
    for part in parts[1:-1]:
        found = None if at is None else part.search(marked, at)
        at = None if found is None else found.end()
    return at is not None and any(parts[-1].fullmatch(marked, start) for start in range(at, len(marked) + 1))


@functools.lru_cache(maxsize=1024)
def _expressions(pattern: str, loose: bool) -> tuple[re.Pattern[str], ...]:
    """The parts of a pattern between its stars, for marked names.

    Between a star and a following letter or digit there must be a MARK, also between a digit and a following star, and,
    unless `loose`, between a letter and a following star.
    """
    parts: list[list[str]] = [[]]
    tokens = re.findall(r"\*+|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    for before, token in zip(["", *tokens], tokens, strict=False):
        begins = before[:1] == "*" and token.isalnum()
        ends = token[0] == "*" and (before.isdigit() if loose else before.isalnum())
        if begins or ends:
            parts[-1].append(MARK)
        elif before[:1] != "*" and token[0] != "*":  # a star also matches marks
            parts[-1].append(f"{MARK}?")
        if token[0] == "*":
            parts.append([])
        else:
            one_letter = fnmatch.translate(token)[len("(?s:") : -len(r")\Z")]
            parts[-1].append(f"(?!{MARK}){one_letter}")
    if parts[-1]:
        parts[-1].append(f"{MARK}?")
    return tuple(re.compile("".join(part), re.IGNORECASE | re.DOTALL) for part in parts)
