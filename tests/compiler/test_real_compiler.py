"""What only the real compiler can show. It is closed and on few machines: without it these tests skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from coralsmith.compat.check import check_graph
from coralsmith.compiled.package import read_compiled
from coralsmith.compiler.doctor import examine_compiler
from coralsmith.compiler.locate import ENVIRONMENT_VARIABLE, find_compiler
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.place import Compiler
from coralsmith.compiler.run import compile_model
from coralsmith.graph.reader import read_tflite
from tests.compiler.chains import write_chain

NAMED = os.environ.get(ENVIRONMENT_VARIABLE)


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    """The real compiler, found as `coralsmith compile` finds it."""
    found = find_compiler(NAMED or "auto")
    if found is None:
        pytest.skip("the real edgetpu_compiler is not on this machine (EDGETPU_COMPILER names none)")
    return found


@pytest.mark.slow
def test_the_real_compiler_is_well(compiler):
    assert [fact.state for fact in examine_compiler(compiler.name)] == ["ok", "ok", "ok"]


@pytest.mark.slow
def test_the_real_compiler_maps_what_a_check_foretells(compiler, shared, tmp_path):
    source = shared / "edgetpu" / "pairs" / "gcedgetpu__mobilenet_v2_1.0_224_quant" / "model.tflite"
    done = compile_model(source, compiler, tmp_path)
    assert done.succeeded, done.findings
    assert done.result.mapped == check_graph(read_tflite(source)).ops_edgetpu
    assert len(read_compiled(done.model).cpu_ops) == done.result.unmapped


@pytest.mark.slow
def test_the_real_compiler_takes_a_cut(compiler, tmp_path):
    """What `-i` does with a chain of convolutions: known from documentation and issues only."""
    chain = write_chain(tmp_path / "chain.tflite", 6)
    done = compile_model(chain, compiler, tmp_path, options=CompilerOptions(cut=("conv_2",)), attempts=1)
    assert done.succeeded and done.result.mapped == 3


@pytest.mark.slow
def test_a_name_with_a_space_reaches_the_real_compiler(compiler, shared, tmp_path):
    source = shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model.tflite"
    model: Path = tmp_path / "my model.tflite"
    shutil.copyfile(source, model)
    assert compile_model(model, compiler, tmp_path / "my output").succeeded
