"""The counter of what one `autofocus segment` passes through, and the bounds that the route keeps."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from AutofocusCore.images.geometry import Grid
from AutofocusCore.io.texts import one_line
from Benchmarks.route import CORE, counted, segment, table
from Testing.small_models import write_coarse_pelvis


def test_a_function_counts_once_with_its_file_and_name_however_often_it_is_called() -> None:
    with counted() as route:
        for _ in range(3):
            one_line("two\nlines")
    function = next(one for one in route.calls if one.name == "one_line")
    assert route.calls[function] == 3
    assert function.file == "io/texts.py"
    assert function.room == "io"


def test_functions_of_threads_that_are_started_meanwhile_count_too() -> None:
    with counted() as route:
        thread = threading.Thread(target=lambda: one_line("one"))
        thread.start()
        thread.join()
    assert "io/texts.py" in route.files


def test_lambdas_comprehensions_generated_methods_and_functions_of_others_do_not_count() -> None:
    with counted() as route:
        Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
        [(lambda: Path())() for _ in range(2)]
    assert not route.calls


def test_a_call_from_below_into_a_room_that_waits_is_a_return_and_one_into_a_new_room_is_not() -> None:
    def written_in(file: str, text: str) -> Any:
        scope: dict[str, Any] = {}
        exec(compile(text, str(CORE / file), "exec"), scope)
        return scope["function"]

    ask = written_in("cli/a.py", "def function(): pass")
    deepest = written_in("io/b.py", "def function(): pass")
    lower = written_in("images/c.py", "def function(ask, deepest):\n    ask()\n    deepest()\n    ask()")
    upper = written_in("cli/d.py", "def function(lower, *more):\n    lower(*more)")
    with counted() as route:
        ask()
        upper(lower, ask, deepest)
    assert [(one.file, other.file) for one, other in route.returns] == [("images/c.py", "cli/a.py")]
    assert route.summary() == "4 files, 4 functions, 1 returns"


def test_the_route_of_a_segmentation_stays_short_and_each_check_happens_once(tmp_path: Path) -> None:
    route = segment([], str(write_coarse_pelvis(tmp_path / "model")), tmp_path)
    print(table(route))
    assert len(route.files) < 69
    assert len(route.calls) < 400
    assert {one.room for _, one in route.returns} <= {"cli"}, "progress and cancelling alone"
    calls = {function.name.rsplit(".")[-1]: count for function, count in route.calls.items()}
    once = ["check_images", "load_files", "sha256_of", "check_kind", "check_geometry", "repair_values"]
    once += ["check_usable", "resolve_device", "resolve_precision", "check_weights"]
    assert {name: calls[name] for name in once} == dict.fromkeys(once, 1)
