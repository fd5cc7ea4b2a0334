"""The commands that run a model and make it ready for a device. Like `cli.py`: parse, call the API, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from coralsmith.cli_options import HeadFile, Json, LabelFile, Quiet, Verbose, print_json, progress_unless


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line, in the order in which the help shows them."""
    app.command()(detect)
    app.command()(profile)
    app.command()(bundle)


def detect(
    model: Annotated[Path, typer.Argument(help=".tflite model: float, int8, or compiled for the Edge TPU.")],
    images: Annotated[list[Path], typer.Argument(help="Images, folders of images, video files.")],
    draw: Annotated[Path | None, typer.Option("--draw", help="Folder for pictures with drawn boxes.")] = None,
    head: HeadFile = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", min=0.0, max=1.0, help="Lowest score.  [default: 0.3]")
    ] = None,
    class_score: Annotated[
        list[str] | None, typer.Option("--class-score", help="LABEL=SCORE, the lowest of one class; repeatable.")
    ] = None,
    agnostic: Annotated[bool, typer.Option("--agnostic", help="Suppress overlaps whatever the classes.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, usb, pci, or usb:0, usb:1, ...")] = "auto",
    coco_results: Annotated[
        Path | None, typer.Option("--coco-results", help="File for COCO results; all scores unless told.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect objects in images and videos, and draw the boxes.

    Example: coralsmith detect detector_int8.tflite photo.jpg --draw drawn/
    """
    from coralsmith.api import detect as run

    with progress_unless(quiet or json) as progress:
        found = run(
            model,
            images,
            head=head,
            min_score=min_score,
            class_scores=dict(map(_class_score, class_score or ())),
            per_class=not agnostic,
            device=device,
            draw=draw,
            coco_results=coco_results,
            progress=progress,
        )
    if json:
        print_json(found)
    elif not quiet:
        from coralsmith.report.terminal import print_detections

        print_detections(found, draw, verbose=verbose)


def profile(
    model: Annotated[Path, typer.Argument(help=".tflite model: float, int8, or compiled for the Edge TPU.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="Images to feed.  [default: a frame of noise of 1920 x 1080]")
    ] = None,
    head: HeadFile = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, usb, pci, or one of several: usb:0.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads.  [default: all cores]")
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs that count.")] = 100,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Runs before them.")] = 5,
    html: Annotated[Path | None, typer.Option("--html", help="Write the profile as a page with plots.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time a model here, stage by stage and operator by operator, beside the estimate for Edge TPUs.

    Where the compiled form stands beside the model and an Edge TPU is there, it is timed on that too.

    Example: coralsmith profile detector_int8.tflite --images photos/ --html profile.html
    """
    from coralsmith.profile_model import profile as run

    with progress_unless(quiet or json) as progress:
        report = run(
            model,
            images,
            head=head,
            device=device,
            threads=threads,
            runs=runs,
            warm_up=warm_up,
            page=html,
            progress=progress,
        )
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal_profile import print_profile

        print_profile(report, verbose=verbose)


def bundle(
    model: Annotated[Path, typer.Argument(help="int8 .tflite, or *_edgetpu.tflite, with its head beside it.")],
    target: Annotated[Literal["frigate", "pycoral", "plain"], typer.Option("--for", help="Who will run it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder, or a .zip file.")],
    head: HeadFile = None,
    labels: LabelFile = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Photos with objects for the check; else the demo's.")
    ] = None,
    device: Annotated[
        Literal["usb", "pci"] | None, typer.Option("--device", help="Frigate's Coral, usb if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is no bundle.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Put together what a device needs, and check that it reads the model rightly.

    Example: coralsmith bundle detector_int8_edgetpu.tflite --for frigate --out frigate.zip --images photos/
    """
    from coralsmith.bundle_model import bundle as run

    with progress_unless(quiet or json) as progress:
        report = run(
            model,
            target,
            out,
            head=head,
            labels=labels,
            images=images,
            device=device,
            force=force,
            progress=progress,
        )
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal_bundle import print_bundle

        print_bundle(report, verbose=verbose)
    raise typer.Exit(1 if report.verdict == "fail" else 0)


def _class_score(text: str) -> tuple[str, float]:
    """A label and its lowest score from LABEL=SCORE."""
    label, _, score = text.rpartition("=")
    try:
        return label, float(score)
    except ValueError:
        from coralsmith.errors import UsageError

        raise UsageError(f"--class-score {text!r} is not LABEL=SCORE.", hint="For example person=0.5.") from None
