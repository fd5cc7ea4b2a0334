"""The command line: parses, calls the API, prints. No logic; heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from coralsmith import __version__
from coralsmith.cli_accuracy import add_commands as add_accuracy_commands
from coralsmith.cli_compiled import add_commands as add_compiled_commands
from coralsmith.cli_compiler import add_commands as add_compiler_commands
from coralsmith.cli_device import add_commands as add_device_commands
from coralsmith.cli_options import (
    BiasCorrection,
    CompilerPlace,
    DataSet,
    DetectionRanges,
    Equalization,
    Factory,
    Force,
    HeadFile,
    Images,
    InputSize,
    InputType,
    Json,
    LabelFile,
    MinRuntime,
    NoWeights,
    Quantization,
    Quiet,
    Ranges,
    RecipeFile,
    Repair,
    Rounding,
    Samples,
    Seed,
    Split,
    Trust,
    TrustOrRecipe,
    Verbose,
    Weights,
    print_json,
    progress_unless,
)
from coralsmith.errors import CoralsmithError, DetectionHeadError

app = typer.Typer(
    name="coralsmith",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a trained MobileNetV2-SSD to a verified int8 model for the Coral Edge TPU.",
)

INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt: 128 + SIGINT


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coralsmith {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before every command."""


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="Keras, SavedModel, frozen .pb, TensorFlow.js, ONNX, PyTorch or .tflite model.")
    ],
    images: Images = None,
    out: Annotated[Path | None, typer.Option("--out", help="Output folder.  [default: ./<name>-edgetpu]")] = None,
    recipe: RecipeFile = None,
    head: HeadFile = None,
    labels: LabelFile = None,
    io: InputType = None,
    postprocess: Annotated[
        Literal["auto", "op", "none"] | None,
        typer.Option(
            "--postprocess", help="Attach TFLite_Detection_PostProcess.  [default: when a head is known]"
        ),
    ] = None,
    weights: Weights = None,
    quantization: Quantization = None,
    ranges: Ranges = None,
    detection_ranges: DetectionRanges = None,
    equalization: Equalization = None,
    rounding: Rounding = None,
    bias_correction: BiasCorrection = None,
    repair: Repair = None,
    samples: Samples = None,
    seed: Seed = None,
    min_runtime: Annotated[
        int | None, typer.Option("--min-runtime", help="Oldest Edge TPU runtime, 10 to 14.  [default: 14]")
    ] = None,
    compiler: CompilerPlace = None,
    dataset: DataSet = None,
    split: Split = None,
    max_ap_drop: Annotated[
        float | None,
        typer.Option("--max-ap-drop", help="Largest loss of AP on --dataset; dearer ways are tried until met."),
    ] = None,
    strict: Annotated[
        bool | None, typer.Option("--strict", help="The loss's whole 95 % interval must be inside.")
    ] = None,
    explain: Annotated[
        bool | None, typer.Option("--explain", help="Find each layer's share of the error of int8.")
    ] = None,
    trust: TrustOrRecipe = None,
    input_size: InputSize = None,
    factory: Factory = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Reuse results of an earlier run.")] = True,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn a trained detector into a verified int8 Edge TPU model: the main job.

    Example: coralsmith convert detector.keras --images photos/
    """
    from coralsmith.api import convert as run

    with progress_unless(quiet or json) as progress:
        report = run(
            source,
            images,
            out,
            recipe=recipe,
            head=head,
            labels=labels,
            dataset=dataset,
            split=split,
            resume=resume,
            force=force,
            progress=progress,
            max_ap_drop=max_ap_drop,
            strict=strict,
            explain=explain,
            io=io,
            postprocess=postprocess,
            weights=weights,
            quantization=quantization,
            ranges=ranges,
            detection_ranges=detection_ranges,
            equalization=equalization,
            rounding=rounding,
            bias_correction=bias_correction,
            repair=repair,
            samples=samples,
            seed=seed,
            min_runtime=min_runtime,
            compiler=compiler,
            trust=trust,
            input_size=input_size,
            factory=factory,
        )
    folder = out or Path(f"{report.name}-edgetpu")
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal import print_summary

        print_summary(report, folder, verbose=verbose)
    raise typer.Exit(1 if report.verdict.status == "blocked" else 0)


@app.command()
def check(
    model: Annotated[Path, typer.Argument(help="A model in any source format; .tflite needs no framework.")],
    min_runtime: MinRuntime = 14,
    all_partitions: Annotated[
        bool, typer.Option("--all-partitions", help="Predict the compiler's -a: every partition is mapped.")
    ] = False,
    trust: Trust = False,
    input_size: InputSize = None,
    factory: Factory = None,
    weights: NoWeights = None,  # noqa: ARG001 - answers a mistake
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Foretell what the Edge TPU compiler will do with a model, operator by operator.

    Example: coralsmith check detector_int8.tflite
    """
    from coralsmith.check_model import check as run

    is_quick = model.suffix == ".tflite"  # over before a progress bar could be shown
    with progress_unless(quiet or json or is_quick) as progress:
        report = run(
            model,
            min_runtime=min_runtime,
            all_partitions=all_partitions,
            trust=trust,
            input_size=input_size,
            factory=factory,
            progress=progress,
        )
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal import print_check

        print_check(report, verbose=verbose)
    raise typer.Exit(1 if report.is_refused else 0)


@app.command()
def quantize(
    model: Annotated[Path, typer.Argument(help="Float .tflite model.")],
    images: Annotated[Path, typer.Option("--images", help="Folder of typical photos; no labels needed.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="int8 .tflite file to write.")],
    recipe: RecipeFile = None,
    head: HeadFile = None,
    io: InputType = None,
    weights: Weights = None,
    quantization: Quantization = None,
    ranges: Ranges = None,
    detection_ranges: DetectionRanges = None,
    equalization: Equalization = None,
    rounding: Rounding = None,
    bias_correction: BiasCorrection = None,
    repair: Repair = None,
    samples: Samples = None,
    seed: Seed = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Quantize a float .tflite to full int8: the quantization stage alone.

    Example: coralsmith quantize float.tflite --images photos/ -o int8.tflite
    """
    from coralsmith.quantize_file import quantize as run

    with progress_unless(quiet or json) as progress:
        result = run(
            model,
            images,
            output,
            head=head,
            recipe=recipe,
            progress=progress,
            io=io,
            weights=weights,
            quantization=quantization,
            ranges=ranges,
            detection_ranges=detection_ranges,
            equalization=equalization,
            rounding=rounding,
            bias_correction=bias_correction,
            repair=repair,
            samples=samples,
            seed=seed,
        )
    if json:
        print_json(result)
    elif not quiet:
        from coralsmith.report.terminal import print_quantized

        print_quantized(result, verbose=verbose)


add_compiler_commands(app)
add_compiled_commands(app)
add_accuracy_commands(app)
add_device_commands(app)


@app.command()
def head(
    model: Annotated[Path, typer.Argument(help="A model in any source format.")],
    images: Images = None,
    head: HeadFile = None,
    labels: LabelFile = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the head to this file.")] = None,
    trust: Trust = False,
    input_size: InputSize = None,
    factory: Factory = None,
    weights: NoWeights = None,  # noqa: ARG001 - answers a mistake
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the detection head of a model: what was recognised, and on what evidence.

    Example: coralsmith head detector.tflite --images photos/ -o head.json
    """
    from coralsmith.findings import has_errors
    from coralsmith.head_of_model import examine_head

    with progress_unless(quiet or json) as progress:
        found = examine_head(
            model,
            images,
            head=head,
            labels=labels,
            trust=trust,
            input_size=input_size,
            factory=factory,
            progress=progress,
        )
    if output is not None:
        found.head.save(output)
    if json:
        print_json(found.head.to_json())
    elif not quiet:
        from coralsmith.report.terminal import print_head

        print_head(found.head, found.findings, verbose=verbose)
    raise typer.Exit(1 if has_errors(found.findings) else 0)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Output folder.")] = Path("coralsmith-demo"),
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Walk the whole road on a detector and images that come with coralsmith.

    Example: coralsmith demo
    """
    from coralsmith.demo import run_demo

    with progress_unless(quiet or json) as progress:
        report = run_demo(out, progress)
    if json:
        print_json(report)
    elif not quiet:
        from coralsmith.report.terminal import print_summary

        print_summary(report, out, verbose=verbose)
    raise typer.Exit(1 if report.verdict.status == "blocked" else 0)


def main() -> NoReturn:
    """Run the command line; every error ends with its message, its hint and its exit code."""
    # numpy's own threads fight those of the interpreter, and their sums depend on how many cores there are.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except CoralsmithError as error:
        _report(error)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stderr.write("\nStopped. Nothing half written is left; the same command goes on from here.\n")
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


def _report(error: CoralsmithError) -> None:
    if "--json" in sys.argv:
        evidence = {"evidence": list(error.evidence)} if isinstance(error, DetectionHeadError) else {}
        print_json({"schema": "coralsmith/error/1", "error": error.message, "hint": error.hint} | evidence)
    elif any(flag in sys.argv for flag in ("-v", "--verbose")):
        import traceback

        traceback.print_exception(error)
    sys.stderr.write(f"Error: {error.message}\n")
    if isinstance(error, DetectionHeadError):
        sys.stderr.writelines(f"    {fact}\n" for fact in error.evidence)
    if error.hint:
        sys.stderr.write(f"  Fix: {error.hint}\n")
