"""An embedding model: preprocessing, an encoder, an embedding layer, and the class scores where it was trained with any.

Everything that turns a stored image into its embedding lives in the module, the normalisation constants included, so
that a model folder is complete: no preprocessing has to be remembered beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from likewise.errors import ModelError
from likewise.models._options import EncoderOptions
from likewise.models._text_options import TextEncoderOptions
from likewise.models.chunks import in_chunks
from likewise.models.embedding import embed_in_batches
from likewise.models.heads import Head, build_head
from likewise.models.input_spec import Images, InputSpec, batches_of
from likewise.models.towers import TextTower

__all__ = ["EmbeddingModel", "Normalize"]

Normalize = Literal["never", "output", "always"]


class EmbeddingModel(nn.Module):
    """Images to embeddings (N, D), with optional class scores on top.

    Args:
        encoder: options of the encoder (``SmallCNNOptions()``, ``SiameseCNNOptions()`` …).
        input: what images it takes.
        embedding_dim: D, at least 1; 2 gives embeddings that can be drawn as they are.
        normalize: whether embeddings are divided by their Euclidean norm: ``never``; ``output``, where ``embed`` does but the
            objective sees them as they are; ``always``, where the objective sees them so too.
        batch_norm: normalise each dimension of the embedding over the batch (no bias in the embedding layer then).
        hidden: units of a layer with ReLU between features and embedding, as in a projection head; ``None``: none.
        dropout: share of the features, and of the hidden units, that are left out at random in training, in [0, 1).
        class_names: names of the classes, in order of their labels; empty without labels.
        class_scores: ``"linear"`` puts a linear layer from the embedding to one score a class, ``"embedding"`` takes the
            embedding itself as the scores (then D must be the number of classes), ``None`` has no scores.
        head: from the encoder's features to the embedding: a ``linear`` layer, the residual ``projection`` head, or ``none``:
            the features are the embedding, as methods without labels have it, and D is their number.
        text_encoder: options of a text encoder, fitted; the model then embeds texts too, through a head of the same kind.

    Raises:
        ModelError: an option does not fit the others.

    Example:
        >>> from likewise.models import EmbeddingModel, InputSpec, SiameseCNNOptions
        >>> spec = InputSpec(channels=1, height=28, width=28, mean=(0.3,), std=(0.3,))
        >>> model = EmbeddingModel(SiameseCNNOptions(), spec, embedding_dim=10)
        >>> model.embed(torch.zeros(3, 1, 28, 28, dtype=torch.uint8)).shape
        (3, 10)
        >>> sum(parameter.numel() for parameter in model.parameters())
        7343
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: EncoderOptions,
        input: InputSpec,
        *,
        embedding_dim: int,
        normalize: Normalize = "never",
        batch_norm: bool = False,
        hidden: int | None = None,
        dropout: float = 0.0,
        class_names: Sequence[str] = (),
        class_scores: str | None = None,
        head: Head = "linear",
        text_encoder: TextEncoderOptions | None = None,
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ModelError(f"embedding_dim is {embedding_dim}.", expected="Expected 1 or more.")
        if class_scores == "embedding" and embedding_dim != len(class_names):
            raise ModelError(
                f"The embedding is to be the class scores, but embedding_dim is {embedding_dim} and there are "
                f"{len(class_names)} classes.",
                expected="Both must be equal.",
                advice=f"Set embedding_dim={len(class_names)}, or objective.class_scores=linear.",
            )
        self.encoder_frozen = False
        #: Blocks at the end of a frozen encoder that are trained all the same.
        self.trained_blocks = 0
        #: Of what ``frozen_features`` gives for an image, before it is made flat.
        self.frozen_shape: tuple[int, ...] = ()
        #: Images whose activations are kept at a time in training; ``None``: of the whole batch (see ``models.chunks``).
        self.chunk_size: int | None = None
        self.input = input
        self.embedding_dim = embedding_dim
        self.normalize = normalize
        self.batch_norm = batch_norm
        self.hidden, self.dropout = hidden, dropout
        self.class_names = tuple(class_names)
        self.class_scores = class_scores
        self.head = head
        self.encoder = encoder.build(input.channels, (input.height, input.width))
        self.encoder_options = self.encoder.options or encoder
        self.embedding = build_head(
            head, self.encoder.out_features, embedding_dim, batch_norm=batch_norm, hidden=hidden, dropout=dropout
        )
        self.classifier: nn.Module | None = None
        if class_scores == "linear":
            self.classifier = nn.Linear(embedding_dim, len(self.class_names))
        elif class_scores == "embedding":
            self.classifier = nn.Identity()
        self.text: TextTower | None = None
        if text_encoder is not None:
            self.text = TextTower(
                text_encoder, embedding_dim, head=head, batch_norm=batch_norm, hidden=hidden, dropout=dropout
            )
        # Channels last: convolution and pooling are up to twice as fast so, most of all on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (1, input.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(input.mean).view(shape) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(input.std).view(shape) * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of a batch, as the objective sees them.

        Args:
            images: (N, C, H, W), uint8 or float, in 0 … 255; or what ``frozen_features`` made of them, (N, K).

        Returns:
            (N, D) float; of norm 1 where ``normalize`` is ``always``.
        """
        if self.chunk_size is not None and self.training and torch.is_grad_enabled():
            return in_chunks(self, self._whole, images, self.chunk_size)
        return self._whole(images)

    def _whole(self, images: Tensor) -> Tensor:
        features = self.features_of_frozen(images) if images.ndim == 2 else self.features(images)
        embeddings: Tensor = self.embedding(features)
        return F.normalize(embeddings) if self.normalize == "always" else embeddings

    def features(self, images: Tensor) -> Tensor:
        """What the encoder makes of ``images`` (N, C, H, W): (N, ``encoder.out_features``) float."""
        features: Tensor = self.encoder(self.normalized(images))
        return features

    def frozen_features(self, images: Tensor) -> Tensor:
        """What the frozen part of the encoder makes of ``images``, (N, K) float: what goes into the blocks that are trained,
        flat; where none is, the features.
        """
        if not self.trained_blocks:
            return self.features(images)
        return self.encoder.lower(self.normalized(images), self.trained_blocks).flatten(1)

    def features_of_frozen(self, rows: Tensor) -> Tensor:
        """Features of what ``frozen_features`` gave."""
        rows = rows.to(self.mean.dtype)
        if not self.trained_blocks:
            return rows
        grid = rows.unflatten(1, self.frozen_shape).contiguous(memory_format=torch.channels_last)
        return self.encoder.upper(grid, self.trained_blocks)

    def adopt_input(self, source: InputSpec) -> None:
        """Normalise pixels as ``source`` does: an encoder goes on seeing what it was trained on."""
        self.input = self.input.model_copy(update={"mean": source.mean, "std": source.std})
        self.mean.copy_(torch.tensor(source.mean).view(self.mean.shape) * 255)
        self.std.copy_(torch.tensor(source.std).view(self.std.shape) * 255)

    def fit_to(self, images: Tensor) -> None:
        """Let the encoder set what it computes from training images (N, C, H, W), once before training."""
        self.encoder.fit_to(self.normalized(images))

    def normalized(self, images: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in 0 … 255 as the encoder takes them: mean 0 and deviation 1 in each channel."""
        return ((images.to(self.mean.dtype) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def to_pixels(self, standardized: Tensor) -> Tensor:
        """The way back: standardised images (N, C, H, W) to uint8, what lies outside 0 … 255 cut off."""
        return (standardized.float() * self.std + self.mean).round().clamp(0, 255).to(torch.uint8)

    def freeze_encoder(self, trained_blocks: int = 0) -> None:
        """Leave the encoder as it is from now on, but for its last ``trained_blocks`` blocks: no gradient.

        Batch normalisation stays in evaluation mode, in the trained blocks too: what precedes them can be kept, and a batch
        of any size is seen alike.

        Raises:
            ModelError: the encoder has fewer blocks, or none that can be trained on their own.
        """
        last = self.encoder.last_blocks(trained_blocks) if trained_blocks else []
        self.encoder.requires_grad_(False)
        for block in last:
            block.requires_grad_(True)
        self.encoder_frozen, self.trained_blocks = True, trained_blocks
        self.train(self.training)
        if trained_blocks:
            black = torch.zeros(1, self.input.channels, self.input.height, self.input.width, device=self.mean.device)
            with torch.inference_mode():
                self.frozen_shape = tuple(self.encoder.lower(self.normalized(black), trained_blocks).shape[1:])

    def train(self, mode: bool = True) -> EmbeddingModel:
        """Switch training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.encoder_frozen:
            self.encoder.eval()
        return self

    def classify(self, embeddings: Tensor) -> Tensor:
        """Class scores (N, K) of embeddings (N, D) as ``forward`` gives them.

        Raises:
            ModelError: the model was trained without class scores.
        """
        if self.classifier is None:
            raise ModelError(
                "This model has no class scores.",
                expected="Only objectives that train a classifier give them.",
                advice="Use k-nearest neighbours or a linear probe on the embeddings.",
            )
        scores: Tensor = self.classifier(embeddings)
        return scores

    def embed(
        self, images: Images, *, batch_size: int = 512, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed images of any number in batches, in evaluation mode.

        Args:
            images: (N, C, H, W) or (N, H, W) uint8 or float in 0 … 255, as a tensor or an array, or a list of Pillow
                images. Another size is resized (shorter side, centre crop); grey is repeated to colour, colour is
                turned to grey (ITU-R 601 luma), where the model needs it.
            batch_size: images at a time.
            progress: called with the number of images embedded so far.

        Returns:
            (N, D) float32.

        Raises:
            ModelError: the images have another shape or values that are not finite.
        """
        batches = (self.input.fitted(batch) for batch in batches_of(images, batch_size))
        return self.embed_batches(batches, progress=progress)[0]

    def embed_text(self, texts: Sequence[str], *, batch_size: int = 256) -> NDArray[np.float32]:
        """Embed texts into the space of the images.

        Args:
            texts: a list; what is longer than the text encoder reads is cut.
            batch_size: texts at a time.

        Returns:
            (N, D) float32.

        Raises:
            ModelError: the model was trained without texts, or a text is empty.
        """
        if self.text is None:
            raise ModelError(
                "This model knows no texts: it was trained on images alone.",
                expected="Expected a model trained with captions.",
                advice="Train one with a recipe such as clip-shapes or captions-clip, or search by image.",
            )
        return self.text.embed(texts, normalize=self.normalize != "never", batch_size=batch_size)

    def embed_batches(
        self, batches: Iterable[Tensor], *, mirrored: bool = False, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Embed batches (B, C, H, W) that already have the model's shape, or their frozen features; see ``embed``.

        Args:
            batches: uint8 or float in 0 … 255; or what ``frozen_features`` made of them, (B, K), and with ``mirrored`` also of
                their mirror images, (B, 2, K).
            mirrored: take the mean over each image and its mirror image, before it is normalised.
            progress: as for ``embed``.

        Returns:
            Embeddings (N, D) float32, and class scores (N, K) float32 where the model has any.
        """
        return embed_in_batches(self, batches, mirrored=mirrored, progress=progress)
