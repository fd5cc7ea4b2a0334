"""What is asked of PyTorch files and factories before anything is exported, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError, UsageError
from coralsmith.importers.framework_exchange import Request

torch = pytest.importorskip("torch", reason="needs coralsmith[torch]")
pytestmark = pytest.mark.slow

from coralsmith.importers.torch.modules import read_module  # noqa: E402
from tests.importers.torch.small import Small  # noqa: E402

SMALL = "tests.importers.torch.small"


def weights(path: Path, content: Any, **options: Any) -> Request:
    torch.save(content, path)
    return Request("pytorch-weights", str(path), **{"input_size": (32, 40), "factory": f"{SMALL}:Small"} | options)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_found_in_what_training_scripts_save(tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    saved = {f"{prefix}{name}": torch.full_like(value, 2) for name, value in Small().state_dict().items()}
    content = saved if wrapper is None else {"epoch": 3, wrapper: saved}
    source = read_module(weights(tmp_path / "weights.pth", content))
    assert all((value == 2).all() for value in source.call.state_dict().values())
    assert not source.call.training
    assert source.shape == (1, 3, 32, 40)


def test_weights_of_before_2020_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(Small().state_dict(), path, _use_new_zipfile_serialization=False)
    assert (
        read_module(Request("pytorch-weights", str(path), False, (8, 8), None, f"{SMALL}:Small")).call is not None
    )


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (f"{SMALL}:Smal", "cannot be imported"),
        ("no_such_package:Small", "cannot be imported"),
        ("small", "is no factory"),
        (f"{SMALL}:no_module", "made a int"),
        (f"{SMALL}:failing", "no such configuration"),
        (None, "holds weights only"),
    ],
)
def test_a_factory_that_makes_no_module_is_named(tmp_path: Path, factory: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_module(weights(tmp_path / "weights.pth", Small().state_dict(), factory=factory))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"other.weight": torch.zeros(3)}, UnsupportedModelError, "9 are missing and 1 are left over"),
        (
            {**Small().state_dict(), "boxes.bias": torch.zeros(5)},
            UnsupportedModelError,
            "size mismatch for boxes.bias",
        ),
        ([1, 2], MalformedModelError, "holds a list, not a dictionary"),
        (Small(), UnsupportedModelError, "holds more than weights"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, content: Any, error: type[CoralsmithError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read_module(weights(tmp_path / "weights.pth", content))
    assert caught.value.hint or error is MalformedModelError


def test_a_program_with_an_open_batch_is_refused(tmp_path: Path) -> None:
    shapes = {"x": {0: torch.export.Dim("batch", min=1, max=8)}}
    program = torch.export.export(Small().eval(), (torch.zeros(2, 3, 32, 40),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "open.pt2")
    with pytest.raises(UnsupportedModelError, match="leaves sizes open") as caught:
        read_module(Request("pytorch-program", str(tmp_path / "open.pt2")))
    assert "dynamic_shapes" in caught.value.hint
