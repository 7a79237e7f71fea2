"""Smaller versions of an ONNX model: weights in float16, and products in 8 bits by onnxruntime's own quantisation."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HALF_MAX = 65504.0  # the largest float16
SMALL = 1024  # values of a tensor that stays in float32
PRODUCTS = ("Conv", "MatMul", "Gemm")
CALIBRATION = 64  # training images that static quantisation and the choice of a recipe look at
BATCH = 8


@dataclass(frozen=True)
class Recipe:
    """How products become 8-bit ones.

    per_channel: each output has a scale of its own. inner: the first and the last products stay in float32.
    """

    name: str
    per_channel: bool
    inner: bool


RECIPES = (
    Recipe("a scale for each tensor", False, False),
    Recipe("a scale for each channel", True, False),
    Recipe("a scale for each channel, first and last layers in float32", True, True),
)


def in_half(source: Path, target: Path) -> None:
    """Store weights in float16; they are converted when the model is loaded, and all is computed in float32.

    So a CPU, which has no fast float16, is as fast as before, and only the weights are rounded. Those that float16
    cannot hold stay as they are.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(source))
    casts = []
    for number, weight in enumerate(model.graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < SMALL:
            continue
        values, name = numpy_helper.to_array(weight), weight.name
        if np.abs(values).max() <= HALF_MAX:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], f"half_{number}", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.save(model, str(target))


def in_int8(source: Path, target: Path, recipe: Recipe, pixels: Sequence[np.ndarray] = ()) -> None:
    """Store weights in 8 bits, and multiply in 8 bits.

    A transformer's products are quantised with scales of their inputs that are found for each image. A convolutional
    network's convolutions need scales in advance, from ``pixels`` of training images, (height, width, 3) uint8 each;
    without any they stay in float32. Weights take 7 of the 8 bits, since processors without VNNI would overflow.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded = target.with_name("folded.onnx")
    with _quiet():
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        model = onnx.load(str(folded))
        merge_equal(model)
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node) > 1
        static = convolutions and len(pixels) > 0
        usual: dict[str, Any] = {
            "per_channel": recipe.per_channel,
            "reduce_range": True,
            "nodes_to_exclude": outer(model) if recipe.inner else [],
        }
        onnx.save(model, str(folded))
        if static:
            quantization.quantize_static(
                str(folded),
                str(target),
                _Calibration(pixels),
                op_types_to_quantize=["Conv", "MatMul"],  # onnxruntime 1.32 aborts when it loads such a Gemm
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                **usual,
            )
        else:
            quantization.quantize_dynamic(str(folded), str(target), op_types_to_quantize=["MatMul", "Gemm"], **usual)
    folded.unlink()


def merge_equal(model: Any) -> None:
    """Let equal initialisers of a model be one: folding transposes a shared weight once for each use."""
    first: dict[tuple[Any, ...], str] = {}
    other: dict[str, str] = {}
    kept = []
    for weight in model.graph.initializer:
        content = (weight.data_type, tuple(weight.dims), weight.raw_data or weight.SerializeToString())
        name = first.setdefault(content, weight.name)
        if name == weight.name:
            kept.append(weight)
        else:
            other[weight.name] = name
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    _rename(model.graph, other)


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)


def outer(model: Any) -> list[str]:
    """Return the names of the products that no other product comes before, or after."""
    producer = {name: node for node in model.graph.node for name in node.output}
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)

    def before(node: Any) -> list[Any]:
        return [producer[name] for name in node.input if name in producer]

    def after(node: Any) -> list[Any]:
        return [reader for name in node.output for reader in readers[name]]

    def reaches(start: Any, following: Any) -> bool:
        waiting, seen = following(start), set()
        while waiting:
            node = waiting.pop()
            if node.name in seen:
                continue
            seen.add(node.name)
            if node.op_type in PRODUCTS:
                return True
            waiting += following(node)
        return False

    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    return [node.name for node in products if not (reaches(node, before) and reaches(node, after))]


class _Calibration:
    """Batches of pixels, as onnxruntime's calibration takes them."""

    def __init__(self, pixels: Sequence[np.ndarray]):
        self.batches: Iterator[Any] = (
            {"pixels": np.stack(pixels[first : first + BATCH])} for first in range(0, len(pixels), BATCH)
        )

    def get_next(self) -> Any:
        return next(self.batches, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Onnxruntime asks for parts of long lists; this one is short."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice out of the console."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(None):
            yield
    finally:
        logging.disable(before)
