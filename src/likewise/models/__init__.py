"""Encoders, the embedding model around them, and models on disk."""

from likewise.models._options import Encoder, EncoderOptions, encoder_names, find_encoder
from likewise.models._text_options import TextEncoder, TextEncoderOptions, Tokens, find_text_encoder, text_encoder_names
from likewise.models.decoder import ConvDecoder
from likewise.models.device import place
from likewise.models.efficientnet_lite import EfficientNetLite, EfficientNetLiteOptions
from likewise.models.embedding_model import EmbeddingModel, Normalize
from likewise.models.heads import Head, ProjectionHead
from likewise.models.input_spec import InputSpec
from likewise.models.mlp import MLP, MLPOptions
from likewise.models.pretrained_image import PretrainedImage, PretrainedImageOptions
from likewise.models.pretrained_text import PretrainedText, PretrainedTextOptions
from likewise.models.ragged import Ragged
from likewise.models.resnet import ResNet, ResNetOptions
from likewise.models.siamese_cnn import SiameseCNN, SiameseCNNOptions
from likewise.models.small_cnn import SmallCNN, SmallCNNOptions
from likewise.models.small_transformer import SmallTransformer, SmallTransformerOptions
from likewise.models.storage import load_model, save_model
from likewise.models.strided_cnn import StridedCNN, StridedCNNOptions
from likewise.models.synchronized_batch_norm import synchronize_batch_norm
from likewise.models.towers import TextTower
from likewise.models.vit import VisionTransformer, VisionTransformerOptions
from likewise.models.whitened_cnn import WhitenedCNN, WhitenedCNNOptions

__all__ = [
    "MLP",
    "ConvDecoder",
    "EfficientNetLite",
    "EfficientNetLiteOptions",
    "EmbeddingModel",
    "Encoder",
    "EncoderOptions",
    "Head",
    "InputSpec",
    "MLPOptions",
    "Normalize",
    "PretrainedImage",
    "PretrainedImageOptions",
    "PretrainedText",
    "PretrainedTextOptions",
    "ProjectionHead",
    "Ragged",
    "ResNet",
    "ResNetOptions",
    "SiameseCNN",
    "SiameseCNNOptions",
    "SmallCNN",
    "SmallCNNOptions",
    "SmallTransformer",
    "SmallTransformerOptions",
    "StridedCNN",
    "StridedCNNOptions",
    "TextEncoder",
    "TextEncoderOptions",
    "TextTower",
    "Tokens",
    "VisionTransformer",
    "VisionTransformerOptions",
    "WhitenedCNN",
    "WhitenedCNNOptions",
    "encoder_names",
    "find_encoder",
    "find_text_encoder",
    "load_model",
    "place",
    "save_model",
    "synchronize_batch_norm",
    "text_encoder_names",
]
