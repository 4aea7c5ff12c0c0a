"""The whole demo, from a scan to pictures: `make demo`, or `python -m Demo.demo --help`.

1. Scan: a synthetic pelvic CT that no model was trained on, or a scan of the user.
2. `autofocus segment` in a separate process: segmentation, attention of every layer, volumes.
3. A real MRML scene with scan, segments and attention, saved as `scene.mrb`.
4. Pictures, drawn offscreen by Slicer's displayable managers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AutofocusCore.cli.console import print_table, say
from AutofocusCore.errors import AutofocusError, InputError, OutputError
from AutofocusCore.models import Model, find_model
from Demo import offscreen
from Demo.agreement import dice

PHANTOM_SEED = 2018  # no model was trained, tuned or tested on it
PHANTOM_SIZE = (288, 224, 120)
PHANTOM_SPACING = (1.5, 1.5, 2.0)  # mm; finer than the model's, as real scans are
PHANTOM_MODEL = "pelvis-phantom"
PICTURES = ("sheet", "segments", "attention", "surfaces")


@dataclass(frozen=True)
class Files:
    """The files of a demo, all in one folder."""

    folder: Path

    @property
    def scan(self) -> Path:
        """The scan, as the engine reads it."""
        return self.folder / "scan.nrrd"

    @property
    def truth(self) -> Path:
        """The true labels of the phantom."""
        return self.folder / "truth.seg.nrrd"

    @property
    def segmentation(self) -> Path:
        """The segmentation by the model."""
        return self.folder / "segmentation.seg.nrrd"

    @property
    def attention(self) -> Path:
        """Folder of attention maps."""
        return self.folder / "attention"

    @property
    def volumes(self) -> Path:
        """Table of volumes."""
        return self.folder / "volumes.csv"

    @property
    def scene(self) -> Path:
        """The scene, to be opened in Slicer."""
        return self.folder / "scene.mrb"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo. Exit status: 0 all done, 1 something is missing, 2 wrong usage."""
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except AutofocusError as error:
        print(f"demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo: Stopped.", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Demo.demo", description="A scan, its segmentation and pictures.")
    parser.add_argument("--input", nargs="+", help="a scan, one file or DICOM folder per channel; default: a phantom")
    parser.add_argument("--model", help=f"name, folder or zip; default for the phantom: {PHANTOM_MODEL}")
    parser.add_argument("--truth", type=Path, help="the true segmentation of the input, for Dice")
    parser.add_argument("--output", type=Path, default=Path("Output") / "demo", help="folder; default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda:N or mps")
    return parser


def _run(args: argparse.Namespace) -> int:
    start = time.monotonic()
    if args.input and not args.model:
        print("demo: An input needs a model; name one with --model (make demo INPUT=… MODEL=…).", file=sys.stderr)
        return 2
    no_pictures = offscreen.why_not()  # asked first, so that the user need not wait for the answer
    if no_pictures is not None:
        print(f"demo: There will be a segmentation, but no pictures: {no_pictures}", file=sys.stderr, flush=True)
    model = find_model(args.model or PHANTOM_MODEL)
    files = Files(args.output)
    _prepare_folder(files)

    inputs = args.input
    if inputs is None:
        say(f"Making a synthetic pelvic CT (patient {PHANTOM_SEED}, who does not exist) …")
        _write_phantom(files)
        inputs, truth = [str(files.scan)], files.truth
    else:
        _copy_scan(Path(inputs[0]), files)
        truth = args.truth
    summary = _segment(inputs, args.model or PHANTOM_MODEL, files, args.device)
    pictures: list[Path] = []
    if no_pictures is None:
        say("Loading the results into a MRML scene and drawing them …")
        pictures = _draw(files, summary["files"], model, synthetic=args.input is None)

    missing = [] if no_pictures is None else [f"The pictures and the scene are missing: {no_pictures}"]
    if not any(summary["volumes_ml"].values()):
        missing.append(f"{model.spec.name} found nothing in this scan; check that it was made for such scans.")
    agreement: dict[str, float | None] = {}
    if truth is not None:
        try:
            labels = {structure.name: structure.label for structure in model.spec.structures}
            agreement = dice(files.segmentation, truth, labels)
        except InputError as error:
            missing.append(f"Dice is missing: {error}")
    _report(summary, agreement, files, pictures, time.monotonic() - start)
    for sentence in missing:
        print(f"demo: {sentence}", file=sys.stderr)
    return 1 if missing else 0


def _prepare_folder(files: Files) -> None:
    """Make the folder; remove files of an earlier demo that this one may not replace."""
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        for path in (*(files.folder / f"{name}.png" for name in PICTURES), files.scene):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{files.folder} cannot be used ({error.strerror})", "choose another OUTPUT") from error


def _write_phantom(files: Files) -> None:
    from AutofocusCore.io.atomic import Staging
    from AutofocusCore.io.results import write_image, write_segmentation
    from AutofocusCore.models.terminology import structures
    from AutofocusCore.phantom import PHANTOM_STRUCTURES, make_phantom

    image, labels = make_phantom(PHANTOM_SEED, size=PHANTOM_SIZE, spacing=PHANTOM_SPACING)
    named = structures(*(name.capitalize() for name in PHANTOM_STRUCTURES.values()))
    record = {"synthetic": True, "phantom": "pelvis", "seed": PHANTOM_SEED}
    with Staging() as staging:
        write_image(staging.aside(files.scan), image, provenance=record)
        write_segmentation(files.truth, labels, named, provenance=record, staging=staging)


def _copy_scan(path: Path, files: Files) -> None:
    """Read the scan (for example a DICOM folder) with the engine, and write it to a file that the scene can load."""
    from AutofocusCore.images import read_image
    from AutofocusCore.io.atomic import Staging
    from AutofocusCore.io.results import write_image

    if path.resolve() == files.scan.resolve():
        return
    scan = read_image(path)
    with Staging() as staging:
        write_image(staging.aside(files.scan), scan.image)


def _segment(inputs: Sequence[str], model: str, files: Files, device: str) -> dict[str, Any]:
    """Run the command line with its progress on our stderr; returns its summary."""
    words = ["segment", *inputs, "-m", model, "-o", str(files.segmentation), "--attention", str(files.attention)]
    words += ["--stats", str(files.volumes), "--device", device]
    say("autofocus " + " ".join(f'"{word}"' if " " in word else word for word in words))
    sys.stdout.flush()  # before the other process writes to the same stream
    done = subprocess.run(
        [sys.executable, "-m", "AutofocusCore.cli", *words, "--json"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise OutputError("autofocus segment failed", "see its message above")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _draw(files: Files, written: Sequence[str], model: Model, *, synthetic: bool) -> list[Path]:
    """Make the scene and its pictures from the files that the command line has written."""
    offscreen.choose_window()  # before anything imports VTK
    from Demo.attention import REACH, REACH_LEGEND, find_layers, find_reach, inside_body, reach_limits, words_for
    from Demo.gallery import draw, open_views
    from Demo.scene import (
        SOFT_TISSUE,
        load_effective_dilation,
        load_scan,
        load_segmentation,
        new_scene,
        note_provenance,
        save,
    )

    scene = new_scene()
    views = open_views(scene)
    channel = model.spec.channels[0]
    window_level = SOFT_TISSUE if channel.modality == "CT" else None
    scan = load_scan(scene, files.scan, name=channel.name, window_level=window_level)
    segmentation = load_segmentation(scene, files.segmentation, name=model.spec.title, scan=scan)
    note_provenance(scene, files.segmentation, scan=scan)
    shown = None  # the reach; where there is none, the last layer. All are in the scene
    layers, reach = find_layers(map(Path, written)), find_reach(map(Path, written))
    for layer in layers:
        name, legend_title = words_for(layer, len(layers), model.spec)
        shown = load_effective_dilation(
            scene,
            layer.path,
            name=name,
            scan=scan,
            rates_mm=layer.rates_mm,
            inside=inside_body(layer.path, files.scan, model.spec),
            legend_title=legend_title,
        )
    if reach is not None:
        shown = load_effective_dilation(
            scene,
            reach,
            name=REACH,
            scan=scan,
            rates_mm=reach_limits(layers),
            inside=inside_body(reach, files.scan, model.spec),
            legend_title=REACH_LEGEND,
        )
    what = f"{'synthetic ' if synthetic else ''}{channel.modality}, {model.spec.name}"
    pictures = draw(views, scan, segmentation, shown, files.folder, what=what)
    save(scene, files.scene)
    return pictures


def _report(
    summary: dict[str, Any], agreement: dict[str, float | None], files: Files, pictures: list[Path], total: float
) -> None:
    say()
    shown = {name: "–" if value is None else f"{value:.3f}" for name, value in agreement.items()}
    rows = [(name, f"{ml:.1f}", shown.get(name, "")) for name, ml in summary["volumes_ml"].items()]
    if agreement:
        print_table(("Structure", "Volume (mL)", "Dice"), rows)
    else:
        print_table(("Structure", "Volume (mL)"), [row[:2] for row in rows])
    say()
    say(f"Segmented in {summary['seconds_total']:.0f} s on {summary['device']} in {summary['precision']}.")
    say(f"All together {total:.0f} s. Written:")
    for path in [*pictures, files.segmentation, files.attention, files.volumes, files.scan]:
        say(f"  {path}")
    if files.scene.is_file() and pictures:
        say(f"  {files.scene} (all of it, for 3D Slicer)")


if __name__ == "__main__":
    sys.exit(main())
