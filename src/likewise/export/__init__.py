"""A trained model in the forms that other tools take."""

from likewise.export.hugging_face import export_hugging_face, model_card

__all__ = ["export_hugging_face", "model_card"]
