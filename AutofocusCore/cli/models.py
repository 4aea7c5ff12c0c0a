"""`autofocus models`: lists, describes, compares, verifies, imports, exports and removes models."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.cli.console import print_json, print_table, say, warn
from AutofocusCore.cli.interrupt import Signals

if TYPE_CHECKING:
    from AutofocusCore.models import Model


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("models", help="list, describe, compare, verify, import, export and remove models")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the models")
    info = actions.add_parser("info", help="show the card of a model")
    differ = actions.add_parser("diff", help="show what differs between two models, weights included")
    for action in (listing, info, differ):
        action.add_argument("--json", action="store_true", help="as JSON on stdout")
    verify = actions.add_parser("verify", help="check a model to the last weight; without a name, all")
    verify.add_argument("model", nargs="*", help="name, folder or zip")
    bring = actions.add_parser("import", help="copy a model into your own model folder")
    bring.add_argument("path", help="folder or zip")
    bring.add_argument("--checksum", metavar="SHA256", help="expected checksum, as published with the file")
    bring.add_argument("--replace", action="store_true", help="replace or hide a model of the same name")
    export = actions.add_parser("export", help="write a model as a zip")
    for action in (info, export):
        action.add_argument("model", help="name, folder or zip")
    export.add_argument("path", metavar="ZIP", nargs="?", help="default: NAME-VERSION.zip")
    for name in ("first", "second"):
        differ.add_argument(name, metavar=name.upper(), help="name, folder or zip")
    remove = actions.add_parser("remove", help="remove a model from your own model folder")
    remove.add_argument("name", help="of the model; those that come with the program stay")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    actions = {
        "list": _list,
        "info": _info,
        "diff": _diff,
        "verify": _verify,
        "import": _import,
        "export": _export,
        "remove": _remove,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from AutofocusCore.models import damaged_models, list_models, user_model_folder

    models, damaged = list_models(), damaged_models()
    if args.json:
        print_json([_summary(model) for model in models])
    else:
        rows = []
        for model in models:
            spec = model.spec
            title = (
                f"{spec.title} (synthetic)" if spec.synthetic and "synthetic" not in spec.title.lower() else spec.title
            )
            channels = " + ".join(channel.name for channel in spec.channels)
            rows.append((spec.name, spec.version, channels, str(len(spec.structures)), title))
        print_table(("Name", "Version", "Channels", "Structures", "Title"), rows)
        say(f"Your own models: {user_model_folder()}")
    for _, sentence in damaged:
        warn(sentence)
    return 1 if damaged else 0


def _summary(model: Model) -> dict[str, Any]:
    return {**model.spec.to_metadata()["autofocus"], "path": str(model.path), **_sums(model)}


def _sums(model: Model) -> dict[str, str]:
    return {"sha256": model.checksum, "identity": model.identity}


def _info(args: argparse.Namespace) -> int:
    from AutofocusCore.models import find_model

    model = find_model(args.model)
    spec = model.spec
    if args.json:
        print_json({**spec.to_metadata(), "path": str(model.path), **_sums(model)})
        return 0
    say(f"{spec.title} ({spec.name} {spec.version})")
    if spec.synthetic:
        say("Trained on SYNTHETIC images only.")
    say(spec.description)
    spacing = "as in the image" if spec.spacing is None else " × ".join(f"{s:g}" for s in spec.spacing) + " mm"
    options = ", ".join(f"{k}={v}" for k, v in spec.architecture.items() if k != "architecture")
    for name, text in (
        ("Channels", ", ".join(f"{c.name} ({c.modality})" for c in spec.channels)),
        ("Grid", f"{spec.orientation}, {spacing}"),
        ("Network", f"{spec.architecture['architecture']} ({options})"),
        ("Trained on", spec.training_data),
        ("Intended use", spec.intended_use),
        ("Licence", spec.licence),
        ("Authors", ", ".join(spec.authors)),
        ("Folder", str(model.path)),
        ("SHA-256", f"{model.checksum} (weights)"),
        ("", f"{model.identity} (the whole model)"),
    ):
        say(f"{name + ':' * bool(name):<14}{text}")
    rows = []
    for s in spec.structures:
        code = " ".join(c.meaning for c in (s.modifier, s.type) if c is not None)
        dice = spec.dice.get(s.name)
        rows.append(
            (str(s.label), s.name, f"{code} ({s.type.scheme} {s.type.value})", "" if dice is None else f"{dice:.3f}")
        )
    print_table(("Label", "Structure", "Code", "Dice"), rows)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from AutofocusCore.errors import ModelError
    from AutofocusCore.models import damaged_models, find_model, list_models, verify_model

    sound = True
    found: list[Model] = []
    for name in args.model:
        try:
            found.append(find_model(name))
        except ModelError as error:
            sound = False
            warn(str(error))
    if not args.model:
        found = list_models()
        for _, sentence in damaged_models():
            sound = False
            warn(sentence)
    for model in found:
        problems = [*verify_model(model), *_calibration_problems(model)]
        sound = sound and not problems
        for problem in problems:
            warn(problem)
        if not problems:
            say(f"{model.spec.name} {model.spec.version} is whole (weights' SHA-256 {model.checksum}).")
    return 0 if sound else 1


def _calibration_problems(model: Model) -> list[str]:
    from AutofocusCore.errors import ModelError
    from AutofocusCore.review.calibration import calibration_of

    try:
        calibration_of(model.spec)
    except ModelError as error:
        return [str(error)]
    return []


def _import(args: argparse.Namespace) -> int:
    from AutofocusCore.errors import ModelThereError
    from AutofocusCore.models import import_model

    try:
        model = import_model(args.path, checksum=args.checksum, replace=args.replace)
    except ModelThereError as error:
        raise ModelThereError(error.cause, "add --replace to use this one instead of it") from None
    say(f"{model.spec.name} {model.spec.version} is now in {model.path}.")
    return 0


def _export(args: argparse.Namespace) -> int:
    from AutofocusCore.io.outputs import check_format, check_writable
    from AutofocusCore.models import export_zip, find_model

    model = find_model(args.model)
    path = Path(args.path or f"{model.spec.name}-{model.spec.version}.zip")
    check_format(path, (".zip",), "The archive")
    check_writable([path], [model.path] if model.path.is_file() else [])
    say(f"Written: {export_zip(model, path)}")
    return 0


def _diff(args: argparse.Namespace) -> int:
    from AutofocusCore.cli.models_diff import print_difference
    from AutofocusCore.models import compare_models, find_model

    first, second = find_model(args.first), find_model(args.second)
    print_difference(first, second, compare_models(first, second), as_json=args.json)
    return 0


def _remove(args: argparse.Namespace) -> int:
    from AutofocusCore.models import remove_model

    removed = remove_model(args.name)
    version = f" {removed.version}" if removed.version else ""
    sums = f" (weights' SHA-256 {removed.checksum})" if removed.checksum else ", which was damaged"
    say(f"Removed {removed.name}{version}{sums} from {removed.path.parent}.")
    say("To get it back: `autofocus models import` with the folder or zip that it came from.")
    if removed.uncovers:
        say(f"The model {removed.name} that comes with the program is used again.")
    return 0
