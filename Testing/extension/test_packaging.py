"""What ships: the lists that CMake reads, the three descriptions, and what the module may import and carry."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from Testing.test_house import ROOT, repository_files

MODULE = ROOT / "AutofocusSegmentation"
CORE = ROOT / "AutofocusCore"
HERE = Path(__file__).resolve().parent
PAGES = "https://github.com/AutofocusSegmentation/AutofocusSegmentation"
RAW = "https://raw.githubusercontent.com/AutofocusSegmentation/AutofocusSegmentation/main/"
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
MEGABYTE = 2**20

Report = dict[str, list[str]]


def read_cmake(folder: Path, *, installed: Path | None = None) -> Report:
    """What our CMake files say, read by CMake itself with stand-ins for Slicer's commands."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("CMake is not installed.")
    report = folder / "report.txt"
    command = [cmake, f"-DROOT={ROOT.as_posix()}", f"-DREPORT={report.as_posix()}"]
    command += [] if installed is None else [f"-DINSTALLED={installed.as_posix()}"]
    done = subprocess.run(
        [*command, "-P", str(HERE / "slicer_stand_in.cmake")], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    values: Report = defaultdict(list)
    for line in report.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        values[key].append(value)
    return values


@pytest.fixture(scope="module")
def cmake(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return read_cmake(tmp_path_factory.mktemp("cmake"))


@pytest.fixture(scope="module")
def index_entry() -> dict[str, object]:
    return json.loads((ROOT / "AutofocusSegmentation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def s4ext() -> dict[str, str]:
    lines = (ROOT / "AutofocusSegmentation.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    assert len({pair[0] for pair in pairs}) == len(pairs)
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def shipped(folder: Path) -> set[str]:
    """Every file of a folder that git tracks or would track, but tests and CMake's own."""
    here = (path.relative_to(folder) for path in repository_files() if path.is_relative_to(folder))
    return {path.as_posix() for path in here if path.name != "CMakeLists.txt" and path.parts[0] != "Testing"}


@pytest.mark.parametrize(("name", "folder", "prefix"), [
    ("AutofocusSegmentation", MODULE, ""),
    ("AutofocusCore", CORE, "AutofocusCore/"),
])  # fmt: skip
def test_every_file_that_ships_is_in_a_list_of_cmake(cmake: Report, name: str, folder: Path, prefix: str) -> None:
    scripts, resources = cmake[f"{name}.SCRIPTS"], cmake[f"{name}.RESOURCES"]
    listed = [*scripts, *resources]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {prefix + path for path in shipped(folder)}
    assert all(path.endswith(".py") for path in scripts)
    assert not any(path.endswith(".py") for path in resources)


def test_the_module_is_built_with_its_tests_and_the_engine_without(cmake: Report) -> None:
    assert cmake["project"] == ["AutofocusSegmentation"]
    assert cmake["package"] == ["Slicer"]
    assert sorted(cmake["module"]) == ["AutofocusCore", "AutofocusSegmentation"]
    assert cmake["AutofocusSegmentation.generic_tests"] == ["TRUE"]
    assert cmake["AutofocusCore.generic_tests"] == ["FALSE"]


def test_every_test_for_the_application_is_registered_once(cmake: Report) -> None:
    scripts = {path.relative_to(ROOT).as_posix() for path in repository_files() if (MODULE / "Testing") in path.parents}
    tests = {script for script in scripts if script.endswith(".py")} | {
        "AutofocusSegmentation/AutofocusSegmentation.py"
    }
    assert sorted(cmake["test"]) == sorted(tests)


def test_the_three_descriptions_agree(cmake: Report, index_entry: dict[str, object], s4ext: dict[str, str]) -> None:
    for keyword in ("homepage", "contributors", "category", "iconurl", "status", "description", "screenshoturls",
                    "enabled", "tier", "depends"):  # fmt: skip
        assert cmake[f"EXTENSION_{keyword.upper()}"] == [s4ext[keyword]], keyword
    assert s4ext["scmurl"] == index_entry["scm_url"]
    assert s4ext["scmrevision"] == index_entry["scm_revision"]
    assert s4ext["scm"] == index_entry["scm_type"]
    assert s4ext["category"] == index_entry["category"]
    assert s4ext["depends"].split() == index_entry["build_dependencies"]
    assert s4ext["build_subdirectory"] == index_entry["build_subdirectory"]
    assert bool(int(s4ext["enabled"])) is index_entry["enabled"]
    assert int(s4ext["tier"]) == index_entry["tier"]
    assert s4ext["homepage"] == PAGES
    assert f"{PAGES}.git" == s4ext["scmurl"]


def test_the_description_says_what_a_user_can_hold_us_to(s4ext: dict[str, str]) -> None:
    assert "research only" in s4ext["description"].lower()
    assert s4ext["status"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    authors = re.search(r'authors = \[\{ name = "(.+?)" \}\]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert authors
    assert s4ext["contributors"] == authors[1]


def test_the_pictures_that_the_description_names_are_in_the_repository(s4ext: dict[str, str]) -> None:
    for address in (s4ext["iconurl"], *s4ext["screenshoturls"].split()):
        assert address.startswith(RAW)
        assert ROOT / address.removeprefix(RAW) in repository_files()


def test_the_catalogue_entry_keeps_the_rules_of_its_schema(index_entry: dict[str, object]) -> None:
    kinds = {
        "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
        "build_dependencies": list, "build_subdirectory": str, "enabled": bool, "tier": int,
    }  # fmt: skip
    assert index_entry["$schema"] == SCHEMA
    assert {"$schema", "category", "scm_url"} <= index_entry.keys() <= kinds.keys()
    for key, value in index_entry.items():
        assert type(value) is kinds[key], key
    assert index_entry["scm_type"] in ("git", "local")
    assert 1 <= index_entry["tier"] <= 5  # type: ignore[operator]
    assert all(isinstance(name, str) for name in index_entry["build_dependencies"])  # type: ignore[attr-defined]


def test_the_icon_has_the_size_that_the_catalogue_asks_for() -> None:
    start = (MODULE / "Resources" / "Icons" / "AutofocusSegmentation.png").read_bytes()[:24]
    assert start[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", start[16:24]) == (128, 128)


def test_no_resource_is_larger_than_a_megabyte() -> None:
    large = {
        p.name: p.stat().st_size for p in repository_files() if MODULE in p.parents and p.stat().st_size > MEGABYTE
    }
    assert not large


def imports_at_start(path: Path) -> set[str]:
    """The packages that are imported when the file is, not when a function is called; relative ones as '.'."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else (node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return names


@pytest.mark.parametrize("path", sorted(MODULE.rglob("*.py")), ids=lambda path: path.relative_to(MODULE).as_posix())
def test_the_module_imports_at_its_start_only_what_slicer_brings(path: Path) -> None:
    ours = {".", "AutofocusCore", "AutofocusSegmentation", "AutofocusSegmentationLib"}
    brought = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "numpy", "SimpleITK"}
    names = imports_at_start(path)
    assert names <= ours | brought | sys.stdlib_module_names
    assert not names & {"subprocess", "pip", "ensurepip", "torch"}


@pytest.mark.parametrize("path", sorted(MODULE.rglob("*.py")), ids=lambda path: path.relative_to(MODULE).as_posix())
def test_every_source_file_of_the_module_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_script_that_slicer_executes_reads_the_same_in_every_encoding() -> None:
    assert (MODULE / "Scripts" / "AutofocusBatch.py").read_bytes().isascii()


def test_the_workflow_calls_only_what_is_there() -> None:
    workflow = (ROOT / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    called = set(re.findall(r"run: (?:sudo )?make ([a-z-]+)", workflow))
    assert called >= {"test", "system"}
    assert called <= targets
    scripts = set(re.findall(r"[\w/]+/\w+\.py", workflow))
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)
    tests = re.findall(r"(\w+):(AutofocusSegmentation[\w/]*)[ ;]", workflow)
    assert len(tests) == 2
    assert all((ROOT / folder / f"{name}.py").is_file() for name, folder in tests)
