"""The dialect that a compiler of 2021 reads, looked at with the schema; and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import resource
import stat
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from coralsmith.errors import OutputError, UnsupportedModelError
from coralsmith.graph import Attribute, Graph, Op, Quant, Tensor
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize, serialize_for_interpreter, write_atomically, write_tflite
from tests.builders import CONVOLUTION, activation, constant, conv_graph, graph, op, random_constant
from tests.graph.files import pack, unpack, written


def dense_without_bias() -> Graph:
    source, weights = activation("input", (1, 3)), constant("weights", np.ones((2, 3)), np.float32)
    options: dict[str, Attribute] = {"weights_format": "DEFAULT", "keep_num_dims": False}
    return graph([op("FULLY_CONNECTED", [source, weights], "dense", **options)], [source])


class TestConstants:
    def test_they_stand_inline(self):
        for buffer in written(conv_graph()).buffers:
            assert (buffer.offset, buffer.size) == (0, 0)

    def test_the_first_buffer_is_empty(self):
        buffers = written(conv_graph()).buffers
        assert buffers[0].data is None
        assert [len(buffer.data) for buffer in buffers[1:]] == [4 * 4 * 3 * 3 * 3, 4 * 4]

    @pytest.mark.parametrize("elements", range(1, 18))
    def test_they_lie_on_multiples_of_16_bytes_in_the_file(self, elements):
        parts = [constant(f"part{i}", np.arange(elements + i), np.int8) for i in range(4)]
        content = serialize(Graph([], [], parts))
        model = schema.Model.GetRootAs(content, 0)
        for number in range(1, model.BuffersLength()):
            table = model.Buffers(number)._tab
            start = table.Vector(table.Offset(4))
            assert start % 16 == 0
            assert content[start : start + elements] == bytes(range(elements))

    def test_an_array_of_several_tensors_is_stored_once(self):
        shared = np.ones(100, np.float32)
        shared.flags.writeable = False
        tensors = [Tensor(name, (100,), shared.dtype, shared) for name in "ab"]
        assert len(written(Graph([], [], tensors)).buffers) == 2

    @pytest.mark.parametrize("order", ["<f4", ">f4"])
    def test_numbers_are_little_endian(self, order):
        data = np.array([1.0, 2.0], order)
        (_, buffer) = written(Graph([], [], [Tensor("values", (2,), data.dtype, data)])).buffers
        assert bytes(buffer.data) == np.array([1.0, 2.0], "<f4").tobytes()

    def test_arrays_may_lie_in_memory_in_any_order(self):
        data = np.arange(6, dtype=np.float32).reshape(2, 3).T
        (_, buffer) = written(Graph([], [], [Tensor("values", (3, 2), data.dtype, data)])).buffers
        assert bytes(buffer.data) == np.ascontiguousarray(data).tobytes()


class TestOperators:
    def test_both_operator_codes_are_set(self):
        (code,) = written(conv_graph()).operatorCodes
        assert code.deprecatedBuiltinCode == code.builtinCode == schema.BuiltinOperator.CONV_2D

    def test_codes_beyond_one_byte_have_the_place_holder(self):
        source = activation("input", (1,))
        broadcast = Op("BROADCAST_TO", [source, constant("shape", [2], np.int32)], [activation("output", (2,))])
        (code,) = written(graph([broadcast], [source])).operatorCodes
        assert (code.deprecatedBuiltinCode, code.builtinCode) == (127, 130)

    def test_operators_of_one_kind_and_version_share_a_code(self):
        source = activation("input", (1, 4))
        first = op("RELU", [source], "first")
        second = op("RELU", [first.output], "second")
        model = written(graph([first, second], [source]))
        assert len(model.operatorCodes) == 1
        assert [operator.opcodeIndex for operator in model.subgraphs[0].operators] == [0, 0]

    def test_a_bias_left_out_is_said_as_such(self):
        """Two inputs alone would ask for version 6."""
        model = written(dense_without_bias())
        assert model.operatorCodes[0].version == 1
        assert list(model.subgraphs[0].operators[0].inputs)[2] == -1

    def test_options_are_those_of_the_operator_table(self):
        (operator,) = (
            written(conv_graph(padding="VALID", fused_activation_function="RELU6")).subgraphs[0].operators
        )
        assert operator.builtinOptionsType == schema.BuiltinOptions.Conv2DOptions
        assert operator.builtinOptions.padding == schema.Padding.VALID
        assert operator.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU6

    def test_options_of_an_unlisted_table_are_kept(self):
        source = activation("input", (4,))
        ordered = Op("TOPK_V2", [source, constant("k", 2, np.int32)], [activation("values", (2,))], {})
        ordered.options_table = "TopKV2Options"
        (operator,) = written(graph([ordered], [source])).subgraphs[0].operators
        assert operator.builtinOptionsType == schema.BuiltinOptions.TopKV2Options

    def test_custom_operators_keep_code_and_options(self):
        source = activation("input", (1,))
        custom = Op("CUSTOM", [source], [activation("output", (1,))], custom_code="Mine", custom_options=b"\1\2\3")
        model = written(graph([custom], [source]))
        (operator,) = model.subgraphs[0].operators
        assert model.operatorCodes[0].customCode == b"Mine"
        assert bytes(operator.customOptions) == b"\1\2\3"
        assert (operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize) == (0, 0)


class TestFile:
    def test_there_is_one_subgraph_and_nothing_beside_it(self):
        model = written(conv_graph())
        assert len(model.subgraphs) == 1
        assert not model.signatureDefs
        assert not model.metadata
        assert model.version == 3
        assert model.description == b"coralsmith"

    def test_inputs_and_outputs_keep_their_order(self):
        sources = [activation(name, (1, 4)) for name in "abc"]
        total = op("ADD_N", list(sources), "total")
        (subgraph,) = written(graph([total], sources[::-1], [total.output, sources[1]])).subgraphs
        names = [tensor.name for tensor in subgraph.tensors]
        assert [names[i] for i in subgraph.inputs] == [b"c", b"b", b"a"]
        assert [names[i] for i in subgraph.outputs] == [b"total", b"b"]

    def test_no_shape_signature_is_written(self):
        assert all(tensor.shapeSignature is None for tensor in written(conv_graph()).subgraphs[0].tensors)

    def test_the_same_graph_gives_the_same_bytes(self):
        assert serialize(conv_graph()) == serialize(conv_graph())

    def test_what_was_read_is_written_alike(self):
        content = serialize(conv_graph())
        assert serialize(parse_tflite(content)) == content


class TestRefusals:
    def test_an_open_dimension_has_no_place_in_it(self):
        model = conv_graph()
        model.inputs[0].shape_signature = (-1, 8, 8, 3)
        with pytest.raises(UnsupportedModelError, match="'input' and 0 other tensors have no static shape"):
            serialize(model)

    def test_the_interpreter_may_have_it(self):
        model = conv_graph()
        model.inputs[0].shape_signature = (-1, 8, 8, 3)
        content, number = serialize_for_interpreter(model)
        signature = unpack(content).subgraphs[0].tensors[number[model.inputs[0]]].shapeSignature
        assert list(signature) == [-1, 8, 8, 3]

    def test_a_grouped_convolution_is_refused_by_the_name_of_its_option(self):
        source = activation("input", (1, 8, 8, 6))
        weights, bias = random_constant("weights", (4, 3, 3, 3)), random_constant("bias", (4,))
        model = graph([op("CONV_2D", [source, weights, bias], "grouped", **CONVOLUTION)], [source])
        with pytest.raises(
            UnsupportedModelError, match=r"CONV_2D 'grouped' needs operator version 6 because of groups"
        ):
            serialize(model)
        assert unpack(serialize_for_interpreter(model)[0]).operatorCodes[0].version == 6


class TestVersions:
    def test_quantize_of_a_new_converter_becomes_version_1(self):
        source = activation("input", (1, 4), np.uint8, Quant.per_tensor(0.5, 128))
        output = activation("output", (1, 4), np.int8, Quant.per_tensor(0.5, 0))
        model = written(Graph([Op("QUANTIZE", [source], [output])], [source], [output]))
        model.operatorCodes[0].version = 2
        assert written(parse_tflite(pack(model))).operatorCodes[0].version == 1

    def test_one_kind_may_stand_in_two_versions(self):
        source = activation("input", (1, 4), np.int8, Quant.per_tensor(1 / 256, -128))
        real = activation("real", (1, 4))
        ops = [
            op("LOGISTIC", [source], "quantized"),
            Op("DEQUANTIZE", [source], [real]),
            op("LOGISTIC", [real], "computed"),
        ]
        model = written(graph(ops, [source], [ops[0].output, ops[2].output]))
        codes = [(code.builtinCode, code.version) for code in model.operatorCodes]
        assert (schema.BuiltinOperator.LOGISTIC, 1) in codes
        assert (schema.BuiltinOperator.LOGISTIC, 2) in codes


class TestAtomicFiles:
    def test_the_size_is_that_of_the_file(self, tmp_path):
        path = tmp_path / "model.tflite"
        assert write_tflite(conv_graph(), path) == path.stat().st_size

    def test_an_old_file_is_replaced(self, tmp_path):
        path = tmp_path / "result"
        path.write_bytes(b"old")
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_permissions_are_those_of_any_new_file(self, tmp_path, mask):
        before = os.umask(mask)
        try:
            write_atomically(tmp_path / "result", b"content")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o666 & ~mask

    def test_a_missing_folder_is_an_output_error(self, tmp_path):
        with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
            write_atomically(tmp_path / "missing" / "result", b"content")

    def test_a_folder_in_the_way_is_an_output_error(self, tmp_path):
        (tmp_path / "result").mkdir()
        with pytest.raises(OutputError, match="Is a directory"):
            write_atomically(tmp_path / "result", b"content")
        assert self.left_over(tmp_path) == ["result"]

    @pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
    def test_a_full_disk_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch, step):
        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        (tmp_path / "result").write_bytes(b"old")
        monkeypatch.setattr(*((os, "fsync", full) if step == "fsync" else (Path, step, full)))
        with pytest.raises(OutputError, match=r"'.*result' cannot be written: No space left on device"):
            write_atomically(tmp_path / "result", b"new content")
        monkeypatch.undo()
        assert (tmp_path / "result").read_bytes() == b"old"
        assert self.left_over(tmp_path) == ["result"]

    def test_a_write_that_the_system_ends_half_way_leaves_nothing(self, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(OutputError, match="File too large"):
                write_atomically(tmp_path / "result", bytes(1 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert self.left_over(tmp_path) == []

    def test_a_failure_of_another_kind_leaves_nothing_either(self, tmp_path, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "result", b"content")
        assert self.left_over(tmp_path) == []

    @staticmethod
    def left_over(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())
