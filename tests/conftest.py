"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, data sets and compiled pairs that lies beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with real models and data does not lie beside this checkout")
    return SHARED
