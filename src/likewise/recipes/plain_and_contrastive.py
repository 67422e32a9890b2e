"""The fifth course sheet: plain training against contrastive pretraining, a frozen base, fine-tuning, transfer.

On CIFAR-10 and CIFAR-100 (Krizhevsky 2009), on Fashion-MNIST and on a folder of one's own images.

``paper`` is the course sheet's setting, that of the Keras example "Supervised Contrastive Learning" (Salama 2020): ResNet-50
with the ImageNet stem, Adam 1e-3, batches of 265, 50 epochs a stage, dropout ½ before and behind a hidden layer of 512 with
ReLU; in pretraining a head of 128 dimensions, cosine similarity and temperature 0.05. Where we differ: the example's network
is ResNet-50 V2 (normalisation and ReLU before the convolutions), its projection ends in a ReLU, it turns and stretches the
images at random where these are mirrored and shifted; between hidden layer and classes ours has a linear layer of 128, which
is the embedding. ``-npairs-finetune``, which the example does not have, splits the encoder's 50 epochs between pretraining
and fine-tuning; ``-supcon`` is SupContrast's setting instead. ``laptop`` trains ``whitened_cnn`` for some minutes on two
cores; but for ``paper``'s supervised contrastive learning every recipe shows the encoder the same number of images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped

__all__: list[str] = []


class _Source(NamedTuple):
    """A data set that the recipes are for: how their names begin, what is loaded, what it is called, what sets them apart."""

    prefix: str
    name: str
    title: str
    setting: str = ""


CIFAR10 = _Source("cifar10", "cifar10", "CIFAR-10")
SOURCES = (
    CIFAR10,
    _Source("cifar100", "cifar100", "CIFAR-100"),
    _Source("fashion", "fashion-mnist", "Fashion-MNIST", ", in the setting of CIFAR-10"),
)
ENCODER_EPOCHS: dict[Budget, int] = {"smoke": 1, "laptop": 8, "paper": 50}
PROBE_EPOCHS: dict[Budget, int] = {"smoke": 1, "laptop": 4, "paper": 50}


def _shared(source: _Source, name: str, title: str, budget: Budget) -> dict[str, Any]:
    """What all recipes of a source have in common; the last stage is a classifier."""
    values: dict[str, Any] = {
        "name": f"{source.prefix}-resnet50-{name}",
        "title": f"{source.title} by {title}{source.setting}",
        "budget": budget,
        "data": {"source": source.name, "validation": 5000},
        "normalize": "output",
    }
    if budget == "paper":
        return values | {
            "encoder": {"name": "resnet", "depth": 50, "stem": "imagenet"},
            "embedding_dim": 128,
            "hidden": 512,
            "dropout": 0.5,
            "objective": {"name": "cross_entropy"},
            "training": {
                "epochs": 50,
                "batch_size": 265,
                "learning_rate": 1e-3,
                "schedule": "constant",
                "warmup": 0.0,
                "flip": True,
                "shift": 3,
            },
        }
    values |= {
        "encoder": {"name": "whitened_cnn", "widths": (64, 128, 256)},
        "embedding_dim": 128,
        "batch_norm": True,
        "objective": {"name": "cross_entropy", "label_smoothing": 0.2},
        "training": {
            "epochs": ENCODER_EPOCHS[budget],
            "batch_size": 250,
            "learning_rate": 4e-3,
            "weight_decay": 0.05,
            "beta2": 0.99,
            "flip": True,
            "shift": 2,
            "lookahead": 5,
        },
        "evaluation": {"mirrored": True},
    }
    if budget == "smoke":
        values["data"] |= {"validation": 500, "train_size": 2000}
        values["training"] |= {"min_steps": 40}
        values["encoder"] |= {"widths": (8, 16, 16)}
    return values


def _pretraining(budget: Budget, epochs: int) -> dict[str, Any]:
    """The N-pairs stage: the softmax of the cosine similarities against the normalised label matches."""
    head: dict[str, Any] = {"embedding_dim": 128, "hidden": None, "dropout": 0.0, "batch_norm": False}
    return {
        "name": "pretrain",
        "set": head
        | {
            "normalize": "always",
            "objective": "metric",
            "objective.loss": {"name": "n_pairs", "temperature": 0.05 if budget == "paper" else 0.1},
            "training.epochs": epochs,
            "training.freeze": "nothing",
            "training.flip": True,
            "training.shift": 3 if budget == "paper" else 2,
        },
    }


def _probe(values: dict[str, Any], budget: Budget) -> dict[str, Any]:
    """The stage in which the base is frozen and a classifier is trained on its features, without augmentation."""
    training = values["training"] | {"freeze": "encoder", "epochs": PROBE_EPOCHS[budget], "flip": False, "shift": 0}
    return values | {"training": training}


def _crossentropy(source: _Source) -> Callable[[Budget], Recipe]:
    def recipe(budget: Budget) -> Recipe:
        """Plain training: encoder and classifier together."""
        return Recipe.parse(_shared(source, "crossentropy", "cross-entropy", budget))

    return recipe


def _npairs(source: _Source) -> Callable[[Budget], Recipe]:
    def recipe(budget: Budget) -> Recipe:
        """N-pairs pretraining, then a classifier on the frozen base."""
        values = _probe(_shared(source, "npairs", "the N-pairs loss and a frozen base", budget), budget)
        return Recipe.parse(values | {"before": (_pretraining(budget, ENCODER_EPOCHS[budget]),)})

    return recipe


def _npairs_finetune(source: _Source) -> Callable[[Budget], Recipe]:
    def recipe(budget: Budget) -> Recipe:
        """As above, and then everything is tuned: the classifier at a quarter of the learning rate, the base at a tenth."""
        values = _shared(source, "npairs-finetune", "the N-pairs loss, then fine-tuning", budget)
        probe = _probe(values, budget)["training"]
        last = max(1, ENCODER_EPOCHS[budget] // 3)
        whole = {"training.learning_rate": probe["learning_rate"], "training.encoder_rate": 1.0}
        pretrain = _pretraining(budget, max(1, ENCODER_EPOCHS[budget] - last))
        stages = (
            pretrain | {"set": pretrain["set"] | whole},
            {
                "name": "probe",
                "take": "model",
                "set": whole | {f"training.{key}": probe[key] for key in ("freeze", "epochs", "flip", "shift")},
            },
        )
        tuned = {"epochs": last, "learning_rate": probe["learning_rate"] / 4, "encoder_rate": 0.4}
        return Recipe.parse(values | {"before": stages, "training": values["training"] | tuned})

    return recipe


def _supcon(source: _Source) -> Callable[[Budget], Recipe]:
    def recipe(budget: Budget) -> Recipe:
        """Supervised contrastive on two views with a projection head, then a classifier on the frozen base.

        ``paper`` is SupContrast's setting (Khosla et al. 2020): the small stem, batches of 1,024, SGD 0.5, 1,000 epochs, then
        a linear layer. Its plain partner ``-crossentropy`` has the ImageNet stem and a twentieth of the epochs there: compare
        the two at ``laptop``, or with the same encoder and ``--equal``.
        """
        values = _probe(_shared(source, "supcon", "supervised contrastive learning on two views", budget), budget)
        if budget == "paper":
            values = _linear(values | {"encoder": {"name": "resnet", "depth": 50, "stem": "cifar"}})
        return Recipe.parse(values | {"before": (_two_views(budget, max(1, ENCODER_EPOCHS[budget] // 2)),)})

    return recipe


def _linear(values: dict[str, Any]) -> dict[str, Any]:
    """SupContrast's last stage: one linear layer on the features of the frozen encoder.

    Its steps down to a fifth after 60, 75 and 90 epochs are a cosine here, which its code has as an option; its random crops
    and mirror images are left out, so that features are computed once.
    """
    training = {"epochs": 100, "batch_size": 512, "learning_rate": 5.0, "schedule": "cosine", "warmup": 0.0}
    training |= {"optimizer": "sgd", "nesterov": False, "freeze": "encoder"}
    return values | {"head": "none", "embedding_dim": 2048, "hidden": None, "dropout": 0.0, "training": training}


def _two_views(budget: Budget, epochs: int) -> dict[str, Any]:
    """The stage of supervised contrastive learning; a pass shows the encoder every image twice."""
    changes: dict[str, Any] = {
        "hidden": None,
        "dropout": 0.0,
        "objective": "supcon_views",
        "objective.temperature": 0.1,
        "objective.views": {
            "crop": [0.2, 1.0],
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
            "blur": 0.0,
        },
        "training.epochs": epochs,
        "training.freeze": "nothing",
        "training.flip": False,
        "training.shift": 0,
    }
    if budget == "paper":
        changes |= {
            "training.epochs": 1000,
            "training.batch_size": 1024,
            "training.optimizer": "sgd",
            "training.nesterov": False,
            "training.learning_rate": 0.5,
            "training.weight_decay": 1e-4,
            "training.decay_biases": True,
            "training.schedule": "cosine",
            "training.warmup": 0.01,
        }
    return {"name": "pretrain", "set": changes}


def _transfer(source: _Source) -> Callable[[Budget], Recipe]:
    def recipe(budget: Budget) -> Recipe:
        """ImageNet weights at the resolution they were trained at, and a classifier on them; ``paper`` fine-tunes as well."""
        values: dict[str, Any] = {
            "name": f"{source.prefix}-transfer",
            "title": f"{source.title} by weights from ImageNet{source.setting}",
            "budget": budget,
            "data": {"source": source.name, "validation": 5000},
            "encoder": {"name": "efficientnet_lite", "pretrained": True, "resolution": 224},
            "embedding_dim": 128,
            "batch_norm": True,
            "normalize": "output",
            "objective": {"name": "cross_entropy", "label_smoothing": 0.1},
            "training": {
                "epochs": 20,
                "batch_size": 250,
                "learning_rate": 3e-3,
                "weight_decay": 0.01,
                "min_steps": 300,  # of a few hundred images; the features are computed once
                "freeze": "encoder",
            },
        }
        if budget == "smoke":
            values["data"] |= {"validation": 50, "train_size": 200}
            values["encoder"] |= {"resolution": 64}
            values["training"] |= {"epochs": 5, "batch_size": 50, "min_steps": 0}
        if budget == "laptop":  # about 60 images of 224 pixels a second on two cores
            values["data"] |= {"validation": 1000, "train_size": 4000}
        if budget == "paper":
            probe = {
                "name": "probe",
                "take": "model",
                "set": {f"training.{k}": v for k, v in values["training"].items()},
            }
            tuned: dict[str, Any] = {"epochs": 10, "min_steps": 100, "learning_rate": 1e-3}
            tuned |= {"encoder_rate": 0.1, "freeze": "nothing", "flip": True}
            values |= {"before": (probe,), "training": values["training"] | tuned}
        return Recipe.parse(values)

    return recipe


@shipped
def folder_supcon(budget: Budget) -> Recipe:
    """Supervised contrastive learning on a folder of one's own, one sub-folder per class: give it with ``--data``.

    ``paper`` trains as SupContrast does, with the stem that fits images of 64 pixels.
    """
    values = _probe(_shared(CIFAR10, "supcon", "supervised contrastive learning", budget), budget)
    values |= {
        "name": "folder-supcon",
        "title": "Your own images by supervised contrastive learning",
        "data": {"source": "photos", "validation": 0.1, "image_size": 64},
    }
    if budget == "paper":
        values = _linear(values | {"encoder": {"name": "resnet", "depth": 50}})
    elif budget == "laptop":  # four times the pixels of CIFAR-10's images
        values |= {"encoder": {"name": "whitened_cnn", "widths": (48, 96, 128)}}
    values["evaluation"] = {"mirrored": False}  # the numbers of what ``likewise search`` and ``serve`` use
    values["training"] = values["training"] | {"min_steps": 40 if budget == "smoke" else 300}
    return Recipe.parse(values | {"before": (_two_views(budget, ENCODER_EPOCHS[budget]),)})


for _source in SOURCES:
    for _name, _make in (
        ("resnet50_crossentropy", _crossentropy),
        ("resnet50_npairs", _npairs),
        ("resnet50_npairs_finetune", _npairs_finetune),
        ("resnet50_supcon", _supcon),
        ("transfer", _transfer),
    ):
        _recipe = _make(_source)
        _recipe.__name__ = f"{_source.prefix}_{_name}"
        shipped(_recipe)
