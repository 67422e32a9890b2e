"""``Embedder``: the package as a scikit-learn estimator, for arrays in memory.

The encoders, objectives and the loop are those of ``likewise train``; only the run folder is missing: nothing is written to
disk. An epoch over the 1,797 digits takes about 20 ms on one core, so that a cross-validated grid stays a matter of seconds.

Two things differ from a run. Vectors are standardised in float64 by the mean and deviation of each feature before the network
sees them as float32, because features come in any unit (images go to the network as they are, which knows their mean and
deviation itself). And vectors are embedded in blocks of one fixed size, the last one filled up, so that an embedding is
the same bits whatever stands beside it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from likewise.data.arrays import ArraySamples, as_images, mean_and_deviation, standardized
from likewise.errors import EstimatorError
from likewise.estimator_settings import recipe_of
from likewise.evaluation import KnnResult, knn
from likewise.models import EmbeddingModel, EncoderOptions, InputSpec
from likewise.objectives import ObjectiveOptions
from likewise.training.collapse import inspect_embeddings
from likewise.training.environment import make_fabric
from likewise.training.loop import fit

__all__ = ["Embedder"]

BLOCK = 256  # samples embedded at a time
FITTED_TO = 10_000  # images, about, that layers which are computed from images are made from
LOOKED_AT = 2000  # embeddings in which collapse is looked for

Named = str | Mapping[str, Any]
Array = NDArray[Any]
_INPUT: dict[str, Any] = {"dtype": "numeric", "allow_nd": True}


class Embedder(ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Learn embeddings from labels: ``fit``, then ``transform`` to embeddings or ``predict`` by their nearest neighbours.

    Args:
        objective: what is learned: an objective (``cross_entropy``, ``contrastive``, ``siamese`` …) or any loss of
            labelled embeddings (``supcon``, ``triplet``, ``proxy_anchor`` …) by name; with options as a mapping
            (``{"name": "triplet", "margin": 0.1}``) or as an ``ObjectiveOptions``.
        encoder: the network: ``auto`` is ``mlp`` for vectors and ``small_cnn`` for images; or a name, a mapping with a
            ``name``, an ``EncoderOptions``.
        embedding_dim: D, columns of the result, at least 1.
        normalize: ``never``; ``output``: embeddings of norm 1, which the objective sees before; ``always``: it sees them so
            too; ``auto``: ``never`` where the loss depends on the norm, as Euclidean ones do, else ``output``.
        epochs: passes over the samples.
        min_steps: at least so many steps: few samples get more epochs.
        batch_size: samples a step (pairs a step for ``siamese``).
        learning_rate: highest learning rate of the schedule.
        weight_decay: decoupled, of matrices and filters only.
        training: further settings of the loop, such as ``{"gradient_clip": 1.0}``; see ``TrainingOptions``.
        n_neighbors: samples that vote in ``predict``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        random_state: seed of the weights and the order of the samples.
        verbose: say on standard error how far the training is.

    Attributes:
        model_: the trained ``EmbeddingModel``; ``likewise.save_model`` writes it. For vectors it takes them standardised.
        classes_: (K,) the labels, sorted.
        embeddings_: (N, D) float32, of the samples it was fitted on.
        input_shape_: shape of one sample.
        mean_, scale_: (features,) float64, which vectors are standardised by; absent for images.
        history_: one record an epoch, with ``train_loss``.
        n_features_in_: number of features, for vectors.

    Raises:
        EstimatorError: from ``fit``: fewer than two classes, or settings that do not go with the samples.
        RecipeError: from ``fit``: a setting that is not known or out of range.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> embedder = Embedder(objective="cross_entropy", embedding_dim=8, random_state=0).fit(X[:1000], y[:1000])
        >>> embedder.transform(X[1000:]).shape
        (797, 8)
        >>> embedder.score(X[1000:], y[1000:]) > 0.9
        True
    """

    def __init__(
        self,
        *,
        objective: Named | ObjectiveOptions = "cross_entropy",
        encoder: Named | EncoderOptions = "auto",
        embedding_dim: int = 64,
        normalize: str = "auto",
        epochs: int = 10,
        min_steps: int = 100,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        training: Mapping[str, Any] | None = None,
        n_neighbors: int = 5,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.objective = objective
        self.encoder = encoder
        self.embedding_dim = embedding_dim
        self.normalize = normalize
        self.epochs = epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.n_neighbors = n_neighbors
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on samples and their labels.

        Args:
            X: vectors (N, features), or images (N, H, W) or (N, C, H, W) of 1 or 3 channels; real and finite.
            y: (N,) labels of any kind that sorts.
        """
        samples, labels = validate_data(self, X, y, ensure_min_samples=2, **_INPUT)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise EstimatorError(
                "The labels hold 1 class.",
                expected="Expected at least two classes: what is alike is learned beside what is not.",
            )
        self.input_shape_ = samples.shape[1:]
        seed = int(check_random_state(self.random_state).randint(2**31))
        recipe = recipe_of(self.get_params(), vectors=samples.ndim == 2, seed=seed)
        self._learn_scale(samples)
        data = ArraySamples(self._prepared(samples), torch.from_numpy(codes.astype(np.int64)))
        fabric = make_fabric(accelerator=recipe.training.accelerator, precision=recipe.training.precision)
        on_gpu = [fabric.device] if fabric.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(seed)
            model = EmbeddingModel(
                recipe.encoder,
                self._input_spec(samples),
                embedding_dim=recipe.embedding_dim,
                normalize=recipe.normalize,
                class_names=tuple(map(str, self.classes_)),
                class_scores=recipe.objective.scores,
            )
            model.fit_to(data.images[:: max(1, len(data) // FITTED_TO)])
            objective = recipe.objective.build(model)
            progress = fit(recipe, data, objective, fabric, None, None, quiet=not self.verbose)
        self.history_ = progress.history
        self.model_ = model.eval()
        self._codes = codes
        self.embeddings_ = self._embed(data.images)
        health = inspect_embeddings(torch.from_numpy(self.embeddings_[:LOOKED_AT]))
        if health.collapsed:
            message = (
                f"The embeddings have collapsed: {health.reason}. Lower learning_rate or choose another objective."
            )
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Embeddings (N, D) float32 of samples of the kind that it was fitted on."""
        return self._embed(self._checked(X))

    def fit_transform(self, X: ArrayLike, y: ArrayLike, **fit_params: Any) -> NDArray[np.float32]:
        """``fit``, then the embeddings of the same samples."""
        return self.fit(X, y, **fit_params).embeddings_.copy()

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels (N,): the vote of the ``n_neighbors`` nearest embeddings of the training samples (Euclidean)."""
        codes = self._votes(X).predictions
        result: NDArray[Any] = self.classes_[codes]
        return result

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Shares (N, K) of that vote, columns in the order of ``classes_``."""
        return self._votes(X).probabilities

    def _votes(self, X: ArrayLike) -> KnnResult:
        embeddings = self._embed(self._checked(X))
        unknown = np.zeros(len(embeddings), dtype=np.int64)
        return knn(
            self.embeddings_, self._codes, embeddings, unknown, k=self.n_neighbors, num_classes=len(self.classes_)
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            # Weights that were on a GPU could not be read where there is none.
            state["model_"] = copy.deepcopy(self.model_).cpu()
        return state

    @property
    def _n_features_out(self) -> int:
        return self.model_.embedding_dim

    def _learn_scale(self, samples: Array) -> None:
        for name in ("mean_", "scale_"):
            if hasattr(self, name):
                delattr(self, name)
        match len(self.input_shape_):
            case 1:
                self.mean_, self.scale_ = mean_and_deviation(samples, (0,))
            case 2 | 3:
                # What scikit-learn counts as features is the second axis, which says nothing of images.
                del self.n_features_in_
            case axes:
                raise EstimatorError(
                    f"The samples have {axes} axes each.",
                    expected="Expected vectors (N, features), or images (N, H, W) or (N, C, H, W).",
                    advice="Reshape X; its first axis counts the samples.",
                )

    def _input_spec(self, samples: Array) -> InputSpec:
        match samples.shape[1:]:
            case (features,):
                # Standardised already: mean 0 and deviation 1, which the model keeps in units of 255.
                return InputSpec(channels=1, height=1, width=features, mean=(0.0,), std=(1 / 255,))
            case (height, width):
                samples = samples[:, None]
        _, channels, height, width = samples.shape
        mean, deviation = mean_and_deviation(samples, (0, 2, 3))
        return InputSpec(
            channels=channels, height=height, width=width, mean=tuple(mean / 255), std=tuple(deviation / 255)
        )

    def _checked(self, X: ArrayLike) -> Tensor:
        check_is_fitted(self)
        samples = validate_data(self, X, reset=False, **_INPUT)
        if samples.shape[1:] != self.input_shape_:
            raise EstimatorError(
                f"X holds samples of shape {samples.shape[1:]}.",
                expected=f"It was fitted on samples of shape {self.input_shape_}.",
                advice="Resize the images, or fit anew.",
            )
        return self._prepared(samples)

    def _prepared(self, samples: Array) -> Tensor:
        """Samples as the model takes them: (N, C, H, W) float32, or uint8 where they are images of that type."""
        return standardized(samples, self.mean_, self.scale_) if samples.ndim == 2 else as_images(samples)

    def _embed(self, samples: Tensor) -> NDArray[np.float32]:
        blocks = list(samples.split(BLOCK))
        if len(self.input_shape_) == 1:
            blocks[-1] = F.pad(blocks[-1], (0, 0, 0, 0, 0, 0, 0, BLOCK - len(blocks[-1])))
        return self.model_.embed_batches(blocks)[0][: len(samples)]
