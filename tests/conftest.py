"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

TORCH_FOLDERS = ("torch", "tuning")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, data sets and compiled pairs that lies beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with real models and data does not lie beside this checkout")
    return SHARED


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast tier does not even import PyTorch: every test in these folders is slow."""
    return True if config.option.markexpr == "not slow" and collection_path.name in TORCH_FOLDERS else None
