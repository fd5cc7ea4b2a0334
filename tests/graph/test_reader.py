"""What the reader makes of what converters write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import Graph, Op, Tensor, reader
from coralsmith.graph.reader import parse_tflite, read_tflite
from coralsmith.graph.writer import serialize, write_tflite
from tests.builders import activation, constant, conv_graph, graph, op
from tests.graph.files import pack, unpack, written


def reread(model: Any) -> Graph:
    """The graph of the schema's objects."""
    return parse_tflite(pack(model))


def chain(*kinds: str) -> Graph:
    source = activation("input", (1, 4))
    ops: list[Op] = []
    for number, kind in enumerate(kinds):
        ops.append(op(kind, [ops[-1].output if ops else source], f"value{number}"))
    return graph(ops, [source])


class TestFiles:
    def test_a_file_is_read_from_its_path(self, tmp_path):
        write_tflite(conv_graph(), tmp_path / "a model.tflite")
        assert read_tflite(tmp_path / "a model.tflite").ops[0].kind == "CONV_2D"

    def test_the_home_folder_may_be_written_as_a_tilde(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        write_tflite(conv_graph(), tmp_path / "model.tflite")
        assert read_tflite("~/model.tflite").ops

    @pytest.mark.parametrize("name", ["missing.tflite", "~nobody-of-this-name/model.tflite", "a\0b"])
    def test_a_path_that_leads_nowhere_is_an_input_error(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match="cannot be read"):
            read_tflite(name)

    @pytest.mark.parametrize("path", ["/", "/dev/zero"])
    def test_folders_and_devices_are_no_models(self, path):
        with pytest.raises(InputError, match="is not a file"):
            read_tflite(path)

    def test_a_file_beyond_the_limit_is_not_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(reader, "MAX_FILE_BYTES", 10)
        (tmp_path / "large.tflite").write_bytes(bytes(11))
        with pytest.raises(InputError, match="larger than 1 GiB"):
            read_tflite(tmp_path / "large.tflite")

    @pytest.mark.parametrize("content", [b"", b"PK\3\4 a zip archive", b"\x89HDF\r\n\x1a\n and so on", b"TFL3"])
    def test_a_file_of_another_kind_is_told_by_its_identifier(self, content):
        with pytest.raises(MalformedModelError, match="is not a TensorFlow Lite model"):
            parse_tflite(content)

    def test_the_error_names_the_file(self, tmp_path):
        path = tmp_path / "cut.tflite"
        path.write_bytes(serialize(conv_graph())[:200])
        with pytest.raises(MalformedModelError, match=r"cut\.tflite is damaged"):
            read_tflite(path)


class TestConstants:
    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float16, np.float64, np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_]
    )
    def test_constants_keep_their_type_and_value(self, dtype):
        values = np.array([[0, 1, 2], [3, 4, 100]]).astype(dtype)
        tensor = Tensor.constant("values", values)
        model = Graph([Op("SHAPE", [tensor], [activation("size", (2,), np.int32)])], [], [])
        (found,) = (t for t in parse_tflite(serialize(model)).tensors() if t.is_constant)
        assert found.dtype == values.dtype
        assert np.array_equal(found.data, values)

    def test_constants_cannot_be_written_to(self):
        weights = parse_tflite(serialize(conv_graph())).ops[0].inputs[1]
        assert not weights.data.flags.writeable

    def test_tensors_of_one_buffer_share_the_array(self):
        model = written(conv_graph())
        tensors = model.subgraphs[0].tensors
        tensors.append(schema.TensorT(shape=tensors[1].shape, type=0, buffer=tensors[1].buffer, name="again"))
        model.subgraphs[0].outputs = [*model.subgraphs[0].outputs, len(tensors) - 1]
        found = reread(model)
        assert found.outputs[1].data is found.ops[0].inputs[1].data

    def test_one_buffer_may_have_several_shapes(self):
        model = written(conv_graph())
        tensors = model.subgraphs[0].tensors
        tensors.append(schema.TensorT(shape=[4 * 3 * 3 * 3], type=0, buffer=tensors[1].buffer, name="flat"))
        model.subgraphs[0].outputs = [*model.subgraphs[0].outputs, len(tensors) - 1]
        found = reread(model)
        assert np.array_equal(found.outputs[1].data, found.ops[0].inputs[1].data.reshape(-1))

    def test_a_buffer_of_another_size_than_the_shape_is_damage(self):
        model = written(conv_graph())
        model.buffers[1].data = model.buffers[1].data[:-4]
        with pytest.raises(MalformedModelError, match="buffer 1 has 428 bytes for the shape"):
            reread(model)

    def test_truth_values_are_0_or_1(self):
        model = written(Graph([], [], [constant("flags", [True, False])]))
        model.buffers[1].data = [7, 0]
        with pytest.raises(MalformedModelError, match="truth values other than 0 and 1"):
            reread(model)


def externalised(content: bytes) -> bytes:
    """The same model with its constants behind the flatbuffer, as newer converters store them."""
    model = unpack(content)
    blobs = [bytes(buffer.data) if buffer.data is not None else b"" for buffer in model.buffers]
    for buffer, blob in zip(model.buffers, blobs, strict=True):
        buffer.data = None
        buffer.offset, buffer.size = (2, len(blob)) if blob else (0, 0)  # a place holder of the final width
    start = len(pack(model))
    for buffer, blob in zip(model.buffers, blobs, strict=True):
        if blob:
            start += -start % 16
            buffer.offset = start
            start += len(blob)
    content = pack(model)
    for buffer, blob in zip(model.buffers, blobs, strict=True):
        if blob:
            content = content.ljust(buffer.offset, b"\0") + blob
    return content


class TestExternalBuffers:
    def test_they_are_read_and_counted(self):
        original = conv_graph()
        found = parse_tflite(externalised(serialize(original)))
        assert found.facts.external_constants == 2
        for mine, theirs in zip(found.ops[0].inputs[1:], original.ops[0].inputs[1:], strict=True):
            assert np.array_equal(mine.data, theirs.data)

    def test_written_again_they_are_inline(self):
        content = serialize(parse_tflite(externalised(serialize(conv_graph()))))
        assert content == serialize(conv_graph())
        assert parse_tflite(content).facts.external_constants == 0

    def test_beyond_the_end_of_the_file_is_damage(self):
        with pytest.raises(MalformedModelError, match="lie beyond the end of the file"):
            parse_tflite(externalised(serialize(conv_graph()))[:-1])

    def test_large_custom_options_are_read(self):
        custom = Op("CUSTOM", [activation("input", (1,))], [activation("output", (1,))], custom_code="Mine")
        custom.custom_options = b"many options"
        model = written(Graph([custom], [custom.inputs[0]], custom.outputs))
        (operator,) = model.subgraphs[0].operators
        operator.customOptions = None
        operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize = 2, 12
        operator.largeCustomOptionsOffset = len(pack(model))
        content = pack(model)
        assert parse_tflite(content + b"many options").ops[0].custom_options == b"many options"
        with pytest.raises(MalformedModelError, match="beyond the end"):
            parse_tflite(content + b"many option")


class TestOperators:
    def test_attributes_have_the_names_of_the_schema(self):
        attributes = parse_tflite(serialize(conv_graph(padding="VALID", stride_h=2))).ops[0].attributes
        assert (attributes["padding"], attributes["stride_h"], attributes["stride_w"]) == ("VALID", 2, 1)
        assert attributes["fused_activation_function"] == "NONE"

    def test_vectors_are_tuples(self):
        reshape = op("RESHAPE", [activation("input", (2, 3))], "output", new_shape=(3, 2))
        assert parse_tflite(serialize(graph([reshape], reshape.inputs))).ops[0].attributes == {"new_shape": (3, 2)}

    def test_an_input_left_out_is_none(self):
        source = activation("input", (1, 3))
        weights = constant("weights", np.ones((2, 3)), np.float32)
        dense = op("FULLY_CONNECTED", [source, weights], "dense", weights_format="DEFAULT", keep_num_dims=False)
        assert parse_tflite(serialize(graph([dense], [source]))).ops[0].inputs[2] is None

    def test_the_version_of_the_file_is_kept(self):
        model = written(conv_graph())
        model.operatorCodes[0].version = 5
        assert reread(model).ops[0].version == 5

    def test_files_before_2020_have_only_the_old_code(self):
        model = written(conv_graph())
        model.operatorCodes[0].builtinCode = 0
        found = reread(model)
        assert found.ops[0].kind == "CONV_2D"
        assert found.facts.old_code_missing == ()

    def test_a_missing_old_code_is_a_fact(self):
        model = written(conv_graph())
        model.operatorCodes[0].deprecatedBuiltinCode = 0
        found = reread(model)
        assert found.ops[0].kind == "CONV_2D"
        assert found.facts.old_code_missing == ("CONV_2D",)

    def test_an_operator_of_the_future_is_named_by_its_number(self):
        model = written(conv_graph())
        model.operatorCodes[0].builtinCode = 9999
        with pytest.raises(UnsupportedModelError, match="builtin operator 9999"):
            reread(model)

    @pytest.mark.parametrize("kind", ["IF", "WHILE", "CALL_ONCE", "STABLEHLO_COMPOSITE"])
    def test_control_flow_is_refused(self, kind):
        model = written(conv_graph())
        model.operatorCodes[0].builtinCode = getattr(schema.BuiltinOperator, kind)
        with pytest.raises(UnsupportedModelError, match=f"control flow \\({kind}\\)"):
            reread(model)

    def test_options_of_the_second_union_are_refused(self):
        model = written(conv_graph())
        (operator,) = model.subgraphs[0].operators
        operator.builtinOptions2Type = schema.BuiltinOptions2.StablehloConcatenateOptions
        operator.builtinOptions2 = schema.StablehloConcatenateOptionsT()
        with pytest.raises(UnsupportedModelError, match="newer than the Edge TPU compiler"):
            reread(model)

    def test_an_enumeration_outside_the_schema_is_damage(self):
        model = written(conv_graph())
        model.subgraphs[0].operators[0].builtinOptions.padding = 7
        with pytest.raises(MalformedModelError, match="padding holds 7"):
            reread(model)

    def test_operators_without_options_have_no_attributes(self):
        assert parse_tflite(serialize(chain("RELU"))).ops[0].attributes == {}


class TestTensors:
    @pytest.mark.parametrize("kind", ["STRING", "INT4", "VARIANT"])
    def test_types_without_a_form_are_named(self, kind):
        model = written(conv_graph())
        model.subgraphs[0].tensors[0].type = getattr(schema.TensorType, kind)
        with pytest.raises(UnsupportedModelError):
            reread(model)

    def test_sparse_weights_are_refused(self):
        model = written(conv_graph())
        model.subgraphs[0].tensors[1].sparsity = schema.SparsityParametersT()
        with pytest.raises(UnsupportedModelError, match="'weights' is stored as a sparse matrix"):
            reread(model)

    def test_a_name_that_is_no_text_is_read_as_well_as_it_can_be(self):
        model = written(conv_graph())
        model.subgraphs[0].tensors[0].name = b"caf\xe9"
        assert reread(model).inputs[0].name == "caf\ufffd"

    def test_a_signature_counts_only_where_a_dimension_is_open(self):
        model = written(chain("RELU"))
        first, second = model.subgraphs[0].tensors
        first.shapeSignature, second.shapeSignature = [-1, 4], [1, 4]
        found = reread(model)
        assert [tensor.shape_signature for tensor in found.tensors()] == [(-1, 4), None]

    @pytest.mark.parametrize(("stored", "read"), [(None, [0, 0]), ([3], [3, 3]), ([1, 2], [1, 2])])
    def test_zero_points_may_be_left_out_or_said_once(self, stored, read):
        model = written(chain("RELU"))
        model.subgraphs[0].tensors[0].shape = model.subgraphs[0].tensors[1].shape = [1, 2]
        model.subgraphs[0].tensors[0].quantization = schema.QuantizationParametersT(
            scale=[0.5, 0.25], zeroPoint=stored, quantizedDimension=1
        )
        quant = reread(model).inputs[0].quant
        assert (quant.zero_point.tolist(), quant.axis) == (read, 1)

    def test_other_numbers_of_zero_points_are_damage(self):
        model = written(chain("RELU"))
        model.subgraphs[0].tensors[0].quantization = schema.QuantizationParametersT(
            scale=[0.5, 0.25], zeroPoint=[1, 2, 3]
        )
        with pytest.raises(MalformedModelError, match="has 2 scales and 3 zero points"):
            reread(model)

    def test_ranges_without_scales_are_no_quantization(self):
        model = written(chain("RELU"))
        model.subgraphs[0].tensors[0].quantization = schema.QuantizationParametersT(min=[0.0], max=[1.0])
        assert reread(model).inputs[0].quant is None


class TestFacts:
    def test_what_the_file_says_beyond_its_graph(self):
        model = written(chain("RELU"))
        model.description = "made by hand"
        model.subgraphs.append(schema.SubGraphT())
        model.signatureDefs = [schema.SignatureDefT()]
        model.metadata = [schema.MetadataT(name="TFLITE_METADATA", buffer=0)]
        facts = reread(model).facts
        assert (facts.subgraphs, facts.signatures, facts.metadata) == (2, 1, ("TFLITE_METADATA",))
        assert facts.description == "made by hand"

    def test_a_file_without_a_graph_is_damage(self):
        model = written(chain("RELU"))
        model.subgraphs = []
        with pytest.raises(MalformedModelError, match="it holds no graph"):
            reread(model)
