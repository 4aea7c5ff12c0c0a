"""The rules of the house, held by tests: who may import whom, how long a file is, what ships, what no file names."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import AutofocusCore

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "AutofocusCore"
MAX_LINES = 300

# The rooms of the core from the ground up; within a line, no room knows the other. What only the type checker sees
# does not count. A new room gets its place here.
ORDER = [
    {"_version", "errors"},
    {"io", "kernels"},
    {"networks"},
    {"inference"},
    {"models"},
    {"images"},
    {"phantom", "result", "review"},
    {"segmentation"},
    {"teaching"},
    {"jobs"},
    {"worker"},
    {"batch"},
    {"cli"},
]
LEVEL = {part: level for level, parts in enumerate(ORDER) for part in parts}
APPLICATION = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "PythonQt"}
ABOVE_THE_CORE = {"AutofocusSegmentation", "AutofocusSegmentationLib", "Training", "Demo", "Testing", "Benchmarks"}


def core_files() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class WithoutTypeChecking(ast.NodeTransformer):
    """Takes out what only the type checker sees."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """Every module that a file imports anywhere in it, by its absolute name; names taken from a package included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        tree = WithoutTypeChecking().visit(tree)
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            for alias in node.names:
                yield ".".join([*base, alias.name])


def core_module(name: str) -> str | None:
    """The module of the core that an imported name is, or is taken from; None for other packages."""
    parts = name.split(".")
    while parts and parts[0] == "AutofocusCore":
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return None


def repository_files() -> list[Path]:
    """The files that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("This is not a git checkout, so what belongs to the repository is unknown.")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8").stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)


def test_the_core_imports_where_the_application_and_the_training_tools_are_absent() -> None:
    blocked = sorted(APPLICATION | {"matplotlib", "monai", "dask", "distributed"})
    modules = [module_name(path) for path in core_files() if path.name != "__main__.py"]
    done = run_python(
        f"""
import importlib, sys
for name in {blocked!r}:
    sys.modules[name] = None  # importing it now raises ModuleNotFoundError
for name in {modules!r}:
    importlib.import_module(name)
"""
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_does_not_load_torch() -> None:
    done = run_python("import sys, AutofocusCore; sys.exit('torch' in sys.modules or 'SimpleITK' in sys.modules)")
    assert done.returncode == 0, done.stderr or "AutofocusCore loads torch or SimpleITK on import"


def test_nothing_in_the_core_points_back_to_what_stands_on_it() -> None:
    found = {
        f"{module_name(path)} imports {name}"
        for path in core_files()
        for name in imports(path)
        if name.split(".")[0] in APPLICATION | ABOVE_THE_CORE
    }
    assert not found


def test_every_part_of_the_core_imports_only_from_below() -> None:
    wrong = []
    for path in core_files():
        importer = module_name(path).split(".")
        if len(importer) == 1:
            continue  # the package's own face, which hands out names of every part
        assert importer[1] in LEVEL, f"{path.relative_to(ROOT)} has no place in ORDER yet"
        for imported in filter(None, map(core_module, imports(path, for_types=False))):
            if imported == "AutofocusCore":
                wrong.append(f"{'.'.join(importer)} imports the package's face; import from the part itself")
            elif (part := imported.split(".")[1]) != importer[1] and LEVEL[part] >= LEVEL[importer[1]]:
                wrong.append(f"{'.'.join(importer)} imports {imported}")
    assert not wrong


def test_every_room_of_the_core_is_in_the_description_of_the_architecture_and_its_picture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = (ROOT / "Documentation" / "Pictures" / "architecture.svg").read_text(encoding="utf-8")
    rooms = set(LEVEL) - {"_version"}
    assert {room for room in rooms if not re.search(rf"^\| `{room}(/|\.py)` \|", text, flags=re.M)} == set()
    missing = {room for room in rooms if f">{room}</text>" not in picture}
    assert not missing, f"draw it again: python -m Documentation.draw_architecture ({missing})"


def test_no_two_files_of_the_core_import_each_other() -> None:
    graph = {}
    for path in core_files():
        name = module_name(path)
        others = filter(None, map(core_module, imports(path, for_types=False)))
        graph[name] = {other for other in others if other != name}
    graph.pop("AutofocusCore")
    list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the files


def test_the_core_imports_only_what_the_package_declares() -> None:
    optional = {"dask", "distributed", "highdicom", "contourpy"}
    declared = {re.match(r"[\w-]+", text)[0].lower() for text in project()["project"]["dependencies"]} | optional
    used = {name.split(".")[0] for path in core_files() for name in imports(path, for_types=False)} - {"AutofocusCore"}
    assert {name.lower() for name in used - sys.stdlib_module_names} <= declared


@pytest.mark.parametrize("folder", ["AutofocusCore", "Training", "Demo", "Benchmarks"])
def test_every_source_file_fits_in_the_head(folder: str) -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_no_file_names_a_path_of_a_machine_or_the_host_of_a_package_registry() -> None:
    # Written in pieces, so that this file does not name them either.
    hosts = ["pypi" + ".org", "python" + "hosted", "download.py" + "torch", "conda." + "anaconda", "npm" + "js."]
    homes = ["/" + "home/", "/" + "root/", "/" + "Users/", "/" + "work/", "/" + "opt/", r"[A-Z]:\\" + "Users"]
    forbidden = re.compile("|".join([*map(re.escape, hosts), *(rf"(?<![\w.~-]){home}" for home in homes)]))
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not a text
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in forbidden.finditer(text)]
    assert not found


def mentioned_module(name: str) -> bool:
    """Whether a dotted name is a module of ours, or a name that its module's file contains."""
    parts = name.split(".")
    path = ROOT / "AutofocusSegmentation" if parts[0] == "AutofocusSegmentationLib" else ROOT
    while parts and ((path / parts[0]).is_dir() or (path / f"{parts[0]}.py").is_file()):
        path /= parts.pop(0)
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return not parts or (source.is_file() and re.search(rf"\b{parts[0]}\b", source.read_text("utf-8")) is not None)


def test_every_module_and_file_of_ours_that_a_text_names_is_there() -> None:
    """Also in strings and docstrings, which no checker follows."""
    others = {"test.py", "test_online.py", "sitecustomize.py"}  # of the authors, and Python
    packages = "AutofocusCore|AutofocusSegmentationLib|Training|Demo|Benchmarks|Documentation|Testing"
    dotted = re.compile(rf"\b(?:{packages})(?:\.[A-Za-z_]\w*)+")
    script = re.compile(r"(?<![\w/*{}.-])[a-z_]\w*\.py\b")
    files = repository_files()
    known = {path.name for path in files} | others
    found = []
    for path in files:
        if path.suffix in {".py", ".md", ".toml", ".txt", ".yml", ".json", ".ui"} and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            missing = [name for name in dotted.findall(text) if "__" not in name and not mentioned_module(name)]
            missing += [name for name in script.findall(text) if name not in known]
            found += [f"{path.relative_to(ROOT)}: {name}" for name in missing]
    elsewhere = ("AutofocusCore.generic_tests", "AutofocusCore.kernels._native")  # a word of CMake, and a compiled file
    assert not [one for one in found if not one.endswith(elsewhere)]


def test_every_direct_dependency_has_a_pinned_version() -> None:
    def name(requirement: str) -> str:
        return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()

    metadata = project()["project"]
    asked = set(map(name, metadata["dependencies"]))
    asked |= {name(text) for extra in metadata["optional-dependencies"].values() for text in extra}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name(line) for line in lines if "==" in line and not line.startswith("#")}
    assert asked <= pinned


def test_every_make_command_that_a_text_mentions_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M))
    texts = [ROOT / ".ci" / "run", *(p for p in repository_files() if p.suffix == ".md")]
    mentioned = {
        name for p in texts for name in re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", p.read_text("utf-8"), re.M)
    }
    assert mentioned <= targets


def test_the_version_is_the_same_wherever_it_stands() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.M)
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert [cited and cited[1], newest and newest[1]] == [AutofocusCore.__version__] * 2
