"""HTML pages that open anywhere, load nothing, and print well: tables, figures, bars, and the style of them all."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from AutofocusCore.review import Estimate

STYLE = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #e3e6ea; --warn: #9a3b00; --bar: #5b8db8 }
* { print-color-adjust: exact; -webkit-print-color-adjust: exact }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.note { color: var(--soft) } .warning { background: #fff4d6; border-left: 4px solid #d9a300; padding: .5rem .8rem }
.summary { background: #f2f5f8; border-left: 4px solid var(--bar); padding: .5rem .8rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid var(--line) } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
table.facts td:first-child { width: 14rem; color: var(--soft) } table.facts td { overflow-wrap: anywhere }
th[data-sort] { cursor: pointer } .check { color: var(--warn); font-weight: 600; white-space: nowrap }
.text { display: inline-block; min-width: 10.5em }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em; margin-right: .45em }
.bar { display: inline-block; position: relative; width: 9em; height: .75em; background: var(--line) }
.bar i { position: absolute; top: 0; bottom: 0; background: var(--bar); opacity: .55 }
.bar b { position: absolute; top: -.15rem; bottom: -.15rem; width: 2px; background: var(--ink) }
.check + .bar i { background: #d9772b } .bar { margin: 0 .8em } .name { white-space: nowrap }
.row { display: grid; gap: 1rem; align-items: start } figure { margin: 0 }
figure img { display: block; background: #000; max-width: 100% }
.planes { grid-template-columns: repeat(3, auto); justify-content: start } .planes img { max-height: 320px }
.places { grid-template-columns: repeat(3, minmax(0, 19rem)); margin-bottom: 1rem }
.places img { width: 100% } figcaption { font-size: .85rem; color: var(--soft) }
code { font-size: .85em; overflow-wrap: anywhere }
@media print {
  @page { size: A4; margin: 15mm 14mm }
  body { margin: 0; max-width: none; padding: 0; font-size: 10.5px } h2 { margin-top: 1.2rem; break-after: avoid }
  .planes img { max-height: 62mm } .places { grid-template-columns: repeat(3, 46mm) }
  figure, tr, .warning, .summary { break-inside: avoid } thead { display: table-header-group }
  .keep { break-inside: avoid } .note { break-after: avoid } figcaption { font-size: 9px; max-width: 46mm }
  p { orphans: 3; widows: 3 }
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A complete page that loads no other file."""
    head = f'<meta charset="utf-8"><title>{escaped(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html>\n<html lang=en><head>{head}</head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), raw: bool = False
) -> str:
    """A table; its header is printed again on every sheet of paper.

    Args:
        header: titles of the columns.
        rows: cells, texts.
        numbers: columns that are numbers, which stand to the right.
        raw: whether cells are HTML already.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="n"' if i in numbers else "" for i in range(len(cells)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    body = "".join(f"<tr>{line(row if raw else [*map(escaped, row)], 'td')}</tr>\n" for row in rows)
    return f"<table><thead><tr>{line([*map(escaped, header)], 'th')}</tr></thead>\n<tbody>{body}</tbody></table>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, without a header."""
    body = "".join(f"<tr><td>{escaped(name)}</td><td>{escaped(value)}</td></tr>\n" for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def figure(source: str, caption: str) -> str:
    """A picture with its caption."""
    text = escaped(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def estimate_cell(estimate: Estimate | None) -> str:
    """An estimate as text and as a bar from 0 to 1, marked where the contour is among the quarter to check first."""
    if estimate is None:
        return "No estimate"
    text = f"{estimate.dice:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
    left, width, at = (100 * v for v in (estimate.low, estimate.high - estimate.low, estimate.dice))
    bar = f'<span class="bar"><i style="left:{left:.0f}%;width:{width:.0f}%"></i><b style="left:{at:.0f}%"></b></span>'
    kind = "text check" if estimate.check else "text"
    note = '<span class="check">check this contour</span>' if estimate.check else ""
    return f'<span class="{kind}">{text}</span>{bar}{note}'


def colour_key(color: Sequence[int]) -> str:
    """A little square of a structure's colour."""
    red, green, blue = color
    return f'<span class="key" style="background:rgb({red},{green},{blue})"></span>'


def escaped(text: object) -> str:
    """Text as HTML."""
    return html.escape(str(text))
