"""A hook of mkdocs: a page of the Python API for each room of the core, and links that work on the built pages.

ARCHITECTURE.md, CONTRIBUTING.md and CHANGELOG.md link to each other and to sources as seen from the repository's root.
On the built pages, links to pages lead to those pages, and all others to the file on GitHub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"ARCHITECTURE.md": "Architecture.md", "CONTRIBUTING.md": "Contributing.md", "CHANGELOG.md": "Changelog.md"}
INCLUDE = re.compile(r'^--8<-- "(?P<name>[^"]+)"$', re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)(?=[)#])")
NO_API = {"__init__", "_version", "bundles", "cli"}


def rooms() -> list[str]:
    """The rooms of the core that have something to call from Python."""
    core = ROOT / "AutofocusCore"
    names = {path.stem for path in core.glob("*.py")} | {path.parent.name for path in core.glob("*/__init__.py")}
    return sorted(names - NO_API)


def on_config(config: Any) -> Any:
    """Add the rooms to the part of the navigation that begins with the API's index."""
    pages = next(part["Python API"] for part in config["nav"] if "Python API" in part)
    pages += [{name: f"API/{name}.md"} for name in rooms()]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add a page for each room; mkdocstrings fills it from the docstrings."""
    for name in rooms():
        files.append(File.generated(config, f"API/{name}.md", content=f"# {name}\n\n::: AutofocusCore.{name}\n"))
    return files


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Put the included file in the place of its name, with links as the built pages need them."""

    def include(match: re.Match[str]) -> str:
        text = (ROOT / match["name"]).read_text(encoding="utf-8")
        return LINK.sub(lambda link: _target(link["target"], config["repo_url"]), text)

    return INCLUDE.sub(include, markdown)


def _target(target: str, repository: str) -> str:
    """Where a link of a root page leads on the built pages."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("Documentation/"):
        return target.removeprefix("Documentation/")
    return f"{repository}/blob/main/{target}"
