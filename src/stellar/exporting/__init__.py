"""A model for other runtimes: ONNX, or torch.export's archive."""

from stellar.exporting.export import ExportedGraph, ExportError, export

__all__ = ["ExportError", "ExportedGraph", "export"]
