"""The documents keep what they promise: links lead somewhere, commands have these options, examples run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import AutofocusCore
from AutofocusCore.cli.app import build_parser

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("which files are ours is known in a git checkout")
    names = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return [ROOT / name for name in names.stdout.split()]


def blocks(path: Path, language: str) -> Iterator[str]:
    """The code blocks of a document in one language; "" for those without."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def commands() -> Iterator[tuple[str, list[str]]]:
    """The command lines of autofocus and Python in the documents, each with its document's name.

    A script of Training may stand there by its name alone.
    """
    for path in documents():
        text = path.read_text(encoding="utf-8")
        lines = [line for block in blocks(path, "") for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
        for line in lines:
            line = re.sub(r"^(?=[a-z_]+\.py )", "python Training/", line)
            if re.match(r"(autofocus|python|\.venv/bin/python) ", line):
                yield path.name, shlex.split(line.replace("\n", " "), comments=True)


def anchors(path: Path) -> set[str]:
    """What a link into a document may name: its headings, as GitHub and MkDocs write them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_every_link_within_the_project_leads_to_a_file_and_a_heading() -> None:
    broken, seen = [], 0
    for path in documents():
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            seen += 1
            name, _, anchor = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert seen > 50
    assert not broken


def test_every_command_line_of_autofocus_is_one_that_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    parser, wrong, seen = build_parser(()), [], 0
    for name, words in commands():
        if words[0] == "autofocus" and len(words) > 3:  # fewer only name a command within a sentence
            seen += 1
            try:
                parser.parse_args(words[1:])
            except SystemExit as ended:
                if ended.code:
                    wrong.append(f"{name}: {' '.join(words)}\n{capsys.readouterr().err.splitlines()[-1]}")
    assert seen > 15
    assert not wrong, "\n".join(wrong)


def test_every_script_that_a_command_names_is_there_and_knows_the_options() -> None:
    wrong, seen = [], 0
    shared = (ROOT / "Training" / "configuration" / "shared_options.py").read_text(encoding="utf-8")
    for name, words in commands():
        if words[0] == "autofocus":
            continue
        script, rest = words[1], words[2:]
        if script == "-m":
            script, rest = f"{rest[0].replace('.', '/')}.py", rest[1:]
        path = ROOT / script
        if not script.endswith(".py") or script.startswith("AutofocusCore"):
            continue
        seen += 1
        source = path.read_text(encoding="utf-8") + shared if path.is_file() else ""
        wrong += [] if source else [f"{name}: {script} is not there"]
        options = [word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
        wrong += [f"{name}: {script} {word}" for word in options if source and f'"{word}"' not in source]
    assert seen > 15
    assert not wrong, "\n".join(wrong)


def test_every_script_tells_what_it_does_instead_of_doing_it_when_asked_for_help() -> None:
    silent, seen = [], 0
    for folder in ("Training", "Benchmarks", "Demo", "Documentation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if 'if __name__ == "__main__":' in source:
                seen += 1
                silent += [] if re.search(r"ArgumentParser\(|import .*parser", source) else [path.relative_to(ROOT)]
    assert seen > 25
    assert not silent


def test_every_slow_test_is_in_the_table_of_those_with_what_is_tested_otherwise() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    slow = [path for path in (ROOT / "Testing").rglob("test_*.py") if "mark.slow" in path.read_text(encoding="utf-8")]
    names = [path.relative_to(ROOT / "Testing").as_posix() for path in slow if path != Path(__file__)]
    assert len(names) >= 8
    assert [name for name in names if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("name", ["README.md", "Documentation/ROI.md"])
def test_the_examples_in_python_run(name: str) -> None:
    examples = list(blocks(ROOT / name, "python"))
    assert examples
    volume = torch.randn(1, 30, 30, 30)
    mask = torch.zeros(volume.shape[1:], dtype=torch.bool)
    mask[10:18, 12:18, 9:20] = True
    for example in examples:
        here = {"AutofocusCore": AutofocusCore, "x": volume[None], "volume": volume, "mask": mask}
        exec(example, here)
        assert here["logits"].isfinite().all()
        assert len(here["attention"]) == here["network"].autofocus_layers
        assert here["prediction"].logits.shape[1:] == volume.shape[1:]
