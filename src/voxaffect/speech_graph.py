"""Makes `speech_network.onnx`: `python -m voxaffect.speech_graph`, needed only where the graph itself is changed.

The graph has no weights; `speech_network` gives them when it opens a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from voxaffect.speech_network import FRAME, GRAPH, HOP, N_FFT, UNITS

if TYPE_CHECKING:
    import onnx

N_SPECTRA, N_BINS = FRAME // HOP, N_FFT // 2 + 1
SHAPES = {
    "kernel_0": (3 * N_BINS, 128),
    "kernel_1": (3 * 128, 64),
    "kernel_2": (2 * 64, 64),
    "kernel_3": (64, 128),
    "bias_0": (128,),
    "bias_1": (64,),
    "bias_2": (64,),
    "bias_3": (128,),
    "W": (1, 4 * UNITS, 128),
    "R": (1, 4 * UNITS, UNITS),
    "B": (1, 8 * UNITS),
    "readout": (UNITS, 1),
    "readout_bias": (1,),
}
"""Of the weights. A kernel is a matrix: the states that it sees, one after another, to what it makes of them."""


def graph() -> onnx.ModelProto:
    """Spectra (n, 4, 129) of frames, which of them each of S streams has in turn, as `order` (T, S), how many it has,
    `lengths` (S,), and its states `h` and `c` (1, S, 128) to probabilities (T, S) and the states after."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], [_without_values(name, shape) for name, shape in SHAPES.items()]

    def constant(name: str, values: list[int]) -> str:
        constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def node(kind: str, given: list[str], made: str | list[str], **options: int) -> str:
        outputs = [made] if isinstance(made, str) else made
        nodes.append(helper.make_node(kind, given, outputs, **options))
        return outputs[0]

    def kernel(k: int, given: str) -> str:
        product = node("MatMul", [given, f"kernel_{k}"], f"product_{k}")
        return node("Relu", [node("Add", [product, f"bias_{k}"], f"sum_{k}")], f"state_{k}")

    one = constant("axis", [1])
    pads = constant("pads", [0, 1, 0, 0, 1, 0])

    def threes(k: int, given: str, stride: int) -> str:
        """Each state with its neighbours, zeros at the ends, every `stride`."""
        padded = node("Pad", [given, pads], f"padded_{k}")
        every = constant(f"every_{k}", [stride])
        columns = [
            node(
                "Slice",
                [
                    padded,
                    constant(f"from_{k}.{i}", [i]),
                    constant(f"to_{k}.{i}", [i + N_SPECTRA + 1 - stride]),
                    one,
                    every,
                ],
                f"column_{k}.{i}",
            )
            for i in range(3)
        ]
        return node("Concat", columns, f"threes_{k}", axis=2)

    first = kernel(0, threes(0, "spectra", 1))  # (n, 4, 128)
    second = kernel(1, threes(1, first, 2))  # (n, 2, 64)
    both = node("Reshape", [second, constant("flat", [-1, SHAPES["kernel_2"][0]])], "both")
    heard = kernel(3, kernel(2, both))  # (n, 128)
    in_turn = node("Gather", [heard, "order"], "in_turn")  # (T, S, 128)
    inputs = [in_turn, "W", "R", "B", "lengths", "h", "c"]
    states = node("LSTM", inputs, ["states", "h_after", "c_after"], hidden_size=UNITS)  # (T, 1, S, 128)
    active = node("Relu", [node("Squeeze", [states, one], "squeezed")], "active")
    logits = node("Add", [node("MatMul", [active, "readout"], "product"), "readout_bias"], "logits")
    last = constant("last", [2])
    node("Sigmoid", [node("Squeeze", [logits, last], "logit")], "probabilities")

    def value(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    real = TensorProto.FLOAT
    made = helper.make_graph(
        nodes,
        "speech",
        [
            value("spectra", real, "n", N_SPECTRA, N_BINS),
            value("order", TensorProto.INT64, "T", "S"),
            value("lengths", TensorProto.INT32, "S"),
            value("h", real, 1, "S", UNITS),
            value("c", real, 1, "S", UNITS),
        ],
        [value("probabilities", real, "T", "S")]
        + [value(name, real, 1, "S", UNITS) for name in ("h_after", "c_after")],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "voxaffect"
    return model


def _without_values(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
    from onnx import StringStringEntryProto, TensorProto

    place = StringStringEntryProto(key="location", value="given when a session is opened")
    return TensorProto(
        name=name,
        dims=shape,
        data_type=TensorProto.FLOAT,
        data_location=TensorProto.EXTERNAL,
        external_data=[place],
    )


if __name__ == "__main__":
    GRAPH.write_bytes(graph().SerializeToString())
