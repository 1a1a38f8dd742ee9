"""`voxaffect models ACTION`: which models are here; make one, or make its probabilities fit; fetch weights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from voxaffect.checkpoints import FILES, FOLDER_VARIABLE
from voxaffect.errors import ExitCode, UsageError, VoxaffectError
from voxaffect.files import refuse_existing, write_text
from voxaffect.modelfile import ModelFile, find_model, list_models, model_folders, read_model
from voxaffect.zoo import ENCODERS, is_here, recipe_text

ACTIONS = ("list", "show", "verify", "recipe", "export", "calibrate", "download")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)"
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names, files or folders (default: the bundled one; verify: all); recipe: a name of the zoo; export: the "
        "folder of a run or an ensemble; calibrate: the model whose probabilities are to be fitted anew; download: "
        "encoder weights to train from, ORG/NAME of the Hugging Face hub or " + ", ".join(FILES),
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.onnx|FILE.toml|DIR",
        help="recipe: the file to write (default: standard output); export, calibrate: the model file to write, "
        "needed; download: the folder to write into, needed",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="RUN",
        help="export: a run of the same recipe with speakers held out; the card gets its figures (default: none)",
    )
    parser.add_argument(
        "--on",
        metavar="CLIPS|CORPUS=DIR",
        help="calibrate: clips whose labels are known, in LABEL/SPEAKER/ or listed in a CSV, or a corpus (needed)",
    )
    parser.add_argument(
        "--version",
        metavar="V",
        help="calibrate: the version of the new file (default: the old one and +calibrated)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="export, recipe, calibrate: replace the model file and its card FILE.md, or the recipe (default: refuse)",
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="export: keep the weights in 16 bits, for half the size (default: 32)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="show: the metadata as JSON, without the card (default: text with it)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what is asked; 5 if a model is missing, damaged or refused, or cannot be downloaded."""
    if args.action == "list":
        if args.models:
            raise UsageError("bad_value", "models list takes no names", hint="voxaffect models show NAME")
        return _list()
    if args.action == "show":
        return _show(args.models or [None], args.json)
    if args.action == "recipe":
        return _recipe(args)
    if args.action == "export":
        return _export(args)
    if args.action == "calibrate":
        return _calibrate(args)
    if args.action == "download":
        return _download(args.models, args.output, args.quiet)
    return _verify(args.models)


def _recipe(args: argparse.Namespace) -> int:
    if len(args.models) != 1:
        raise UsageError(
            "bad_value", f"models recipe takes one name of {[*ENCODERS]}", hint="voxaffect models list"
        )
    output: Path | None = args.output
    text = recipe_text(args.models[0], output.name if output is not None else "recipe.toml")
    if output is None:
        print(text, end="")
        return ExitCode.OK
    if not args.overwrite:
        refuse_existing(output)
    write_text(output, text)
    return ExitCode.OK


def _export(args: argparse.Namespace) -> int:
    runs, output = args.models, args.output
    if len(runs) != 1 or output is None or output.suffix != ".onnx":
        raise UsageError("bad_value", "models export takes one run folder and -o FILE.onnx")
    from importlib.util import find_spec

    from voxaffect.errors import missing_extra

    if find_spec("torch") is None:
        raise missing_extra("torch", "train")
    from voxaffect.release import release

    exported = release(
        Path(runs[0]), output, evidence=args.evidence, overwrite=args.overwrite, half=args.half
    )
    rounded = f", of 16 from 32 bits {exported.rounding:.1e}" if args.half else ""
    print(
        f"{exported.path}  {exported.n_bytes / 1e6:.2f} MB  largest difference from torch {exported.difference:.1e}"
        + rounded
    )
    return ExitCode.OK


def _calibrate(args: argparse.Namespace) -> int:
    names, output = args.models, args.output
    if len(names) > 1 or output is None or output.suffix != ".onnx" or args.on is None:
        raise UsageError("bad_value", "models calibrate takes one model, --on CLIPS and -o FILE.onnx")
    from tqdm import tqdm

    from voxaffect.audio_input import printable
    from voxaffect.recalibration import recalibrate

    model = read_model(find_model(names[0] if names else None))
    made = recalibrate(
        model,
        args.on,
        output,
        version=args.version,
        overwrite=args.overwrite,
        progress=lambda clips: tqdm(
            clips, unit="clip", disable=True if args.quiet else None, desc=model.name
        ),
    )
    new = made.calibration
    if made.skipped and not args.quiet:
        print(
            f"voxaffect: {made.skipped} clips skipped: no speech, or a label that the model does not know",
            file=sys.stderr,
        )
    if made.far_surer and not args.quiet:
        print(
            "voxaffect: warning: it is far surer now; if it was trained on these speakers, it is wrongly so of others",
            file=sys.stderr,
        )
    print(
        printable(
            f"{made.path}  temperature {new.temperature:g} (was {made.temperature_before:g})  calibration error "
            f"{100 * new.ece:.1f} % (was {100 * made.ece_before:.1f}) on the {new.dev_utterances} clips that it was "
            "fitted on"
        )
    )
    return ExitCode.OK


def _download(names: list[str], folder: Path | None, quiet: bool) -> int:
    if not names or folder is None:
        raise UsageError("bad_value", "models download takes names of encoder weights and -o DIR")
    from tqdm import tqdm

    from voxaffect.audio_input import printable
    from voxaffect.download import download

    for name in names:
        with tqdm(unit="B", unit_scale=True, desc=name, disable=True if quiet else None) as bar:

            def progress(done: int, total: int, bar: tqdm[None] = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            place = download(name, folder, progress)
        print(printable(str(place)))
    if not quiet:
        print(
            f"voxaffect: recipes find them by name where {FOLDER_VARIABLE} names {folder}",
            file=sys.stderr,
        )
    return ExitCode.OK


def _list() -> int:
    from voxaffect.audio_input import printable

    paths = list_models()
    if not paths:
        folders = ", ".join(str(folder) for folder in model_folders())
        print(f"voxaffect: no models in {folders}; {FOLDER_VARIABLE} may name more folders", file=sys.stderr)
    for path in paths:
        try:
            model = read_model(path)
        except VoxaffectError as error:
            print(f"{printable(path.stem):<24} {error.code}")
            continue
        members = f"{model.members} member{'s' if model.members > 1 else ''}"
        size = f"{len(model.data) / 1e6:.1f} MB"
        print(
            printable(
                f"{path.stem:<24} {model.version:<10} {members:<10} {size:>9}  {' '.join(model.labels)}"
            )
        )
    print("\nby recipe (voxaffect models recipe NAME -o NAME.toml, then voxaffect train):")
    for name, encoder in ENCODERS.items():
        here = "weights here" if is_here(encoder) else "weights not here"
        size = f"{encoder.million} M"
        print(f"{name:<24} {encoder.checkpoint:<28} {size:>6}  {here:<18} {encoder.licence}; {encoder.heard}")
    return ExitCode.OK


def _show(names: list[str | None], as_json: bool) -> int:
    for name in names:
        model = read_model(find_model(name))
        facts = {key: value for key, value in model.metadata.items() if key != "card"}
        if as_json:
            print(json.dumps(facts | {"path": str(model.path), "sha256": model.sha256}, indent=2))
            continue
        print(_facts(model))
        if model.card:
            print(f"\n{model.card.strip()}")
    return ExitCode.OK


def _facts(model: ModelFile) -> str:
    from voxaffect.audio_input import printable

    facts = {
        "model": f"{model.name} {model.version}",
        "file": str(model.path),
        "sha256": model.sha256,
        "labels": ", ".join(model.labels),
        "members": f"{model.members}, vote by {model.vote}",
        "inputs": ", ".join(model.inputs),
        "calibration": f"temperature {model.temperature:g}, uncertain below {model.uncertain_below:g}",
        "adapts": f"to a {model.metadata['adaptation'].get('unit')}" if model.adapts else "no",
        "licence": model.licence,
    }
    return "\n".join(printable(f"{key + ':':<13}{value}") for key, value in facts.items())


def _verify(names: list[str]) -> int:
    from voxaffect.audio_input import printable
    from voxaffect.cli import error_line
    from voxaffect.model_check import tried

    models: list[str | Path | None] = [*names] if names else [*list_models()] or [None]
    n_bad = 0
    for name in models:
        try:
            model = read_model(find_model(name))
            tried(model)
            print(printable(f"ok       {model.path}  sha256 {model.sha256}"))
        except VoxaffectError as error:
            n_bad += 1
            print(printable(f"refused  {name if name is not None else 'the bundled model'}  {error.code}"))
            print(error_line(error), file=sys.stderr)
    return ExitCode.ARTEFACT if n_bad else ExitCode.OK
