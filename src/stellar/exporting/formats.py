"""How a graph becomes a file, and how the file is run: one class for each format.

`require` raises MissingPackage when a package is absent, `write` puts a graph and a text about it
into a file, `open` gives what the file computes.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from stellar.errors import MissingPackage
from stellar.exporting.graphs import Graph, Inputs
from stellar.storage import torch_file

METADATA = "stellar"
"""Key of the JSON text that a file holds about itself; in torch.export's archive, an extra file
with .json.
"""


class Onnx:
    """For onnxruntime and everything else that reads ONNX; torch is not needed to run it."""

    suffix = ".onnx"

    def require(self) -> None:
        packages = ("onnx", "onnxscript", "onnxruntime")
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            raise MissingPackage(
                f'export to ONNX needs {", ".join(missing)}: pip install "stellar-vision[onnx]"; '
                "or choose the format torch-export, which needs nothing else"
            )

    def write(self, graph: Graph, path: Path, about: str) -> None:
        with _quiet():
            program = torch.onnx.export(
                graph.trace(),
                dynamo=True,
                verbose=False,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=graph.inputs,
            )
        assert program is not None
        for output, dimensions in zip(
            program.model.graph.outputs, graph.outputs.values(), strict=True
        ):
            assert output.shape is not None
            for axis, name in dimensions.items():
                output.shape[axis] = name
        program.model.metadata_props[METADATA] = about
        program.save(path)

    def open(self, path: Path) -> Callable[[Inputs], Sequence[Tensor]]:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda inputs: [
            torch.from_numpy(result)
            for result in session.run(None, {name: value.numpy() for name, value in inputs.items()})
        ]


class TorchExport:
    """For `torch.export.load`, and what is compiled from it."""

    suffix = ".pt2"

    def require(self) -> None:
        pass

    def write(self, graph: Graph, path: Path, about: str) -> None:
        with torch_file(path) as file:
            torch.export.save(graph.trace(), file, extra_files={f"{METADATA}.json": about})

    def open(self, path: Path) -> Callable[[Inputs], Sequence[Tensor]]:
        module = torch.export.load(path).module()
        return lambda inputs: module(**inputs)


Format = Onnx | TorchExport
FORMATS: dict[str, Format] = {"onnx": Onnx(), "torch-export": TorchExport()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks about its own inside and about packages that we do not need."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
