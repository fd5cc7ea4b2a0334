"""The public `bundle`: a model and its head in, what a device needs out, its reading by the host checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, Literal, get_args

from coralsmith.bundle_source import read_deployable
from coralsmith.demo import ASSETS
from coralsmith.deploy import frigate, plain, pycoral
from coralsmith.deploy.bundling import Bundle
from coralsmith.deploy.deployable import DeployableModel
from coralsmith.deploy.frigate import Device
from coralsmith.deploy.record import BundleReport, gravest
from coralsmith.deploy.replay import Host, Replayed, replay
from coralsmith.deploy.writing import MARK, listed, write_bundle
from coralsmith.detection.images import ImageFolder
from coralsmith.errors import UsageError
from coralsmith.findings import Finding, gravest_first
from coralsmith.progress import SILENT, Progress
from coralsmith.report.plain import to_document, to_json

PathLike = str | Path
Target = Literal["frigate", "pycoral", "plain"]

MOST_IMAGES: Final = 32
UNREADABLE: Final = "unreadable-image"


def bundle(
    model: PathLike,
    target: Target,
    out: PathLike,
    *,
    head: PathLike | None = None,
    labels: PathLike | None = None,
    images: PathLike | None = None,
    device: Device | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> BundleReport:
    """Put together what a device needs to run a model, and check that its host reads the model rightly.

    The model gets TFLite metadata and plain output order; all else of it stays as it is, byte by byte. How the
    host feeds it and reads its outputs is replayed on images and held against coralsmith's own decoding. A
    compiled model runs on its device only: what is run is the int8 model beside it, if that is proved to be its
    source.

    Args:
        model: int8 `.tflite`, or what the Edge TPU compiler made of it.
        target: "frigate", "pycoral" or "plain", a program of one's own.
        out: Folder, or file whose name ends in ``.zip``.
        head: Head file; one beside the model is found by itself.
        labels: Label file, in place of the head's labels.
        images: Folder of photos with objects; by default those that come with coralsmith.
        device: For Frigate, where the Coral is: "usb" (default) or "pci".
        force: Write over a folder or file that is no bundle.
        progress: Told about every step.

    Returns:
        What was checked and written; with the verdict ``fail`` nothing is written.

    Raises:
        CoralsmithError: The model cannot be used by the target, or a file cannot be used; each error has a hint.
    """
    if target not in get_args(Target):
        raise UsageError(f"There is no bundle for '{target}'.", hint="Choose frigate, pycoral or plain.")
    if device is not None and target != "frigate":
        raise UsageError("device is a choice for Frigate only.", hint="Leave --device away.")
    progress.step("Read the model")
    source = Path(model).expanduser()
    with _photos(images) as folder:
        deployable, found = read_deployable(source, _path(head), _path(labels), folder)
        made = _make(deployable, target, device)
        spec = deployable.head.input
        photos = ImageFolder(folder, spec.size, spec.resize, MOST_IMAGES)
        progress.step("Replay the host", len(photos))
        replayed = replay(deployable, made.host, photos, progress)
        found += _nothing_shown(made.host, replayed)
        found += [finding for finding in photos.findings if finding.rule == UNREADABLE]
    report = _report(source, deployable, made, replayed, found, target, Path(out).expanduser())
    if report.verdict == "fail":
        return report
    progress.step("Write the bundle")
    contents = {**made.files, MARK: _mark(report, made.files)}
    _require_elsewhere(source, report.output, contents)
    return replace(report, files=write_bundle(contents, report.output, force=force))


def _make(model: DeployableModel, target: Target, device: Device | None) -> Bundle:
    if target == "frigate":
        return frigate.make(model, device or "usb")
    return pycoral.make(model) if target == "pycoral" else plain.make(model)


def _photos(images: PathLike | None) -> AbstractContextManager[Path]:
    """The folder of photos; that of the demo may have to be unpacked first."""
    if images is not None:
        return nullcontext(Path(images).expanduser())
    return as_file(files("coralsmith") / ASSETS / "images")


def _nothing_shown(host: Host, replayed: Replayed) -> list[Finding]:
    """Tell that the host reads the model rightly and would show nothing all the same."""
    if not replayed.rows or replayed.detections:
        return []
    reason = f"No score reaches {host.lowest_score:g} on {replayed.images} photos: {host.name} would show nothing."
    fix = "Give photos with objects (--images); if they have some, the model needs more training."
    return [Finding("nothing-shown", "warning", reason, fix)]


def _require_elsewhere(source: Path, out: Path, names: Iterable[str]) -> None:
    """Keep the bundle from taking the place of the model that it is made of.

    Raises:
        UsageError: It would.
    """
    if any(path.exists() and path.samefile(source) for path in (out, *(out / name for name in names))):
        raise UsageError(f"'{source}' would be written over.", hint="Choose another folder with --out.")


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


def _report(
    source: Path,
    model: DeployableModel,
    made: Bundle,
    replayed: Replayed,
    findings: Sequence[Finding],
    target: Target,
    out: Path,
) -> BundleReport:
    checks = (*made.checks, replayed.check)
    return BundleReport(
        model=str(source),
        target=target,
        compiled=model.is_compiled,
        verdict=gravest(checks),
        checks=checks,
        images=replayed.images,
        detections=replayed.detections,
        rows=replayed.rows,
        output=out,
        files=(),
        findings=tuple(gravest_first([*findings, *made.findings])),
    )


def _mark(report: BundleReport, contents: Mapping[str, bytes]) -> bytes:
    """The record that lies in the bundle: all but where it was made."""
    record = replace(report, model=Path(report.model).name, output=Path(), files=listed(contents))
    document = to_document(record)
    del document["output"]
    return to_json(document).encode()
