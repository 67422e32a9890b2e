"""A trained model in the forms that other tools take."""

from likewise.export.atlas import export_atlas
from likewise.export.by_format import export
from likewise.export.hugging_face import export_hugging_face
from likewise.export.model_card import model_card
from likewise.export.new_folder import Exported
from likewise.export.onnx_folder import export_onnx
from likewise.export.projector import export_projector
from likewise.export.push import Pushed, push

__all__ = [
    "Exported",
    "Pushed",
    "export",
    "export_atlas",
    "export_hugging_face",
    "export_onnx",
    "export_projector",
    "model_card",
    "push",
]
