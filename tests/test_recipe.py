"""Recipe files and flags fill the same fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from coralsmith.errors import InputError, UsageError
from coralsmith.recipe import MAX_RECIPE_BYTES, Recipe, load_recipe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("samples: 50\nweights: per-tensor\n")
    return path


def test_a_file_fills_fields_and_the_rest_keeps_its_default(file: Path) -> None:
    assert load_recipe(file, {}) == Recipe(samples=50, weights="per-tensor")


def test_flags_win_over_the_file_and_absent_flags_do_not(file: Path) -> None:
    assert load_recipe(file, {"samples": 10, "weights": None}) == Recipe(samples=10, weights="per-tensor")


@pytest.mark.parametrize("content", ["samples: many", "smaples: 3", "min_runtime: 15", "samples: 0"])
def test_a_field_that_makes_no_sense_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(UsageError, match=content.split(":")[0]):
        load_recipe(path, {})


@pytest.mark.parametrize("content", ["[1, 2", "just words", "- a\n- b", "\x00"])
def test_a_file_that_is_no_recipe_is_an_input_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(InputError):
        load_recipe(path, {})


def test_a_recipe_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"samples: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(InputError):
        load_recipe(path, {})
    assert not (tmp_path / "made").exists()


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"#" * (MAX_RECIPE_BYTES + 1))
    with pytest.raises(InputError, match="1 MiB"):
        load_recipe(path, {})


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(tmp_path / "missing.yaml", {})
