"""Encoders, the embedding model around them, and models on disk."""

from likewise.models._options import Encoder, EncoderOptions, encoder_names, find_encoder
from likewise.models.decoder import ConvDecoder
from likewise.models.embedding_model import EmbeddingModel, InputSpec, Normalize
from likewise.models.mlp import MLP, MLPOptions
from likewise.models.resnet import ResNet, ResNetOptions
from likewise.models.siamese_cnn import SiameseCNN, SiameseCNNOptions
from likewise.models.small_cnn import SmallCNN, SmallCNNOptions
from likewise.models.storage import load_model, save_model
from likewise.models.strided_cnn import StridedCNN, StridedCNNOptions
from likewise.models.vit import VisionTransformer, VisionTransformerOptions
from likewise.models.whitened_cnn import WhitenedCNN, WhitenedCNNOptions

__all__ = [
    "MLP",
    "ConvDecoder",
    "EmbeddingModel",
    "Encoder",
    "EncoderOptions",
    "InputSpec",
    "MLPOptions",
    "Normalize",
    "ResNet",
    "ResNetOptions",
    "SiameseCNN",
    "SiameseCNNOptions",
    "SmallCNN",
    "SmallCNNOptions",
    "StridedCNN",
    "StridedCNNOptions",
    "VisionTransformer",
    "VisionTransformerOptions",
    "WhitenedCNN",
    "WhitenedCNNOptions",
    "encoder_names",
    "find_encoder",
    "load_model",
    "save_model",
]
