"""Learning from views of images, without labels: SimCLR on four sources, and seven other methods on CIFAR-10.

``paper`` is the authors' setting for CIFAR-10 where they published one (SimCLR's command line, MoCo's notebook, SimSiam's
appendix D). For BYOL, MoCo v3, Barlow Twins, VICReg, SwAV and DINO they have none: there it is their optimiser, base
learning rate and heads for ImageNet with a ResNet, on a ResNet-18 with the small stem, the rate scaled to batches of 512, no
blur. What differs from its source, or which of two sources a number has, stands with each recipe.
The embedding is then the encoder's features, which is what the papers probe. ``laptop`` trains one small encoder for all of
them, so that ``likewise compare`` compares methods, and has a linear layer from its 1,152 features to the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from likewise.data.views import ViewOptions
from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped, shipped_comparison

__all__ = [
    "cifar10_barlowtwins",
    "cifar10_byol",
    "cifar10_collapse",
    "cifar10_dino",
    "cifar10_moco",
    "cifar10_moco_v3",
    "cifar10_simclr",
    "cifar10_simsiam",
    "cifar10_swav",
    "cifar10_temperature",
    "cifar10_vicreg",
    "digits_simclr",
    "fashion_simclr",
    "stl10_simclr",
]

# SimCLR's chain for CIFAR-10: half of ImageNet's colour jitter, no blur.
CIFAR_VIEWS = ViewOptions.simclr(0.5, blur=0.0)
MILD_VIEWS = ViewOptions.moco().model_copy(update={"blur": 0.0})
FIRST, SECOND = (ViewOptions.byol(second=second).model_copy(update={"blur": 0.0}) for second in (False, True))
# Grey drawings: no colour to jitter, and digits that are mirrored or turned far are other digits.
DIGIT_VIEWS = ViewOptions(
    crop=(0.4, 1.0), rotation=15.0, flip=0.0, brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, blur=0.0
)
GARMENT_VIEWS = ViewOptions(
    crop=(0.3, 1.0), rotation=10.0, brightness=0.6, contrast=0.6, saturation=0.0, hue=0.0, blur=0.0
)
RESNET = {"name": "resnet", "depth": 18, "stem": "cifar"}
FEATURES = {"head": "none", "embedding_dim": 512}
# torch's own SGD, as MoCo's and SimSiam's authors have it: plain momentum, and weight decay on every parameter.
PLAIN_SGD = {"optimizer": "sgd", "nesterov": False, "decay_biases": True}


def _cifar(
    budget: Budget, name: str, title: str, objective: dict[str, Any], paper: dict[str, Any], **laptop: Any
) -> Recipe:
    """A method on CIFAR-10: the same images, encoder and steps for all at ``laptop``; ``paper`` its own training."""
    values: dict[str, Any] = {"name": f"cifar10-{name}", "title": title, "budget": budget}
    if budget == "paper":
        data = {"source": "cifar10", "validation": 5000}
        training = {"schedule": "cosine", "batch_size": 512, "warmup": 10 / paper["epochs"]} | paper
        return Recipe.parse(
            values | {"data": data, "encoder": RESNET, "objective": objective, "training": training} | FEATURES
        )
    training = {"epochs": 12, "batch_size": 256, "learning_rate": 2e-3, "weight_decay": 1e-4, "schedule": "cosine"}
    data = {"source": "cifar10", "validation": 5000}
    if budget == "smoke":
        data |= {"validation": 500, "train_size": 2000}
        training |= {"epochs": 1, "min_steps": 15}
    encoder = {"name": "small_cnn", "widths": (32, 64, 128)}
    return Recipe.parse(
        values
        | {
            "data": data,
            "encoder": encoder,
            "embedding_dim": 128,
            "objective": objective | laptop,
            "training": training,
        }
    )


def _simclr(budget: Budget, data: dict[str, Any], smoke: dict[str, Any]) -> dict[str, Any]:
    """A small encoder for two cores, or a ResNet-18 trained as SimCLR trains on CIFAR-10."""
    if budget == "paper":
        training = {"epochs": 1000, "batch_size": 512, "optimizer": "lars", "learning_rate": 2.0, "weight_decay": 1e-6}
        encoder = {"name": "resnet", "depth": 18}
        training |= {"schedule": "cosine", "warmup": 0.01}
        return {"data": data, "encoder": encoder, "training": training} | FEATURES
    training = {"epochs": 10, "batch_size": 256, "learning_rate": 2e-3, "weight_decay": 1e-4, "schedule": "cosine"}
    encoder = {"name": "small_cnn", "widths": (32, 64, 128)}
    if budget == "smoke":
        data, training = data | smoke, training | {"epochs": 1, "min_steps": 10, "batch_size": 128}
    return {"data": data, "encoder": encoder, "embedding_dim": 128, "training": training}


@shipped
def cifar10_simclr(budget: Budget) -> Recipe:
    """SimCLR with its chain for CIFAR-10.

    ``paper`` is the command line in the authors' README, for ResNet-18; its weight decay is 1e-6 in the first version, as for
    ImageNet in the paper, which is taken here, and 1e-4 since SimCLR v2.
    """
    objective = {"name": "simclr", "temperature": 0.5, "views": CIFAR_VIEWS}
    paper = {"epochs": 1000, "optimizer": "lars", "learning_rate": 2.0, "weight_decay": 1e-6}
    return _cifar(budget, "simclr", "CIFAR-10 by SimCLR", objective, paper)


@shipped
def cifar10_moco(budget: Budget) -> Recipe:
    """MoCo with a queue: version 2, and at ``paper`` the authors' CIFAR-10 notebook, whose head is linear as in version 1.

    The notebook trains 200 epochs and reports 400 and 800 too; these are 800 of its asymmetric loss.
    """
    views = ViewOptions.moco().model_copy(update={"blur": 0.0, "crop": (0.08, 1.0)})
    objective = {"name": "moco_v2", "temperature": 0.1, "queue": 4096, "momentum": 0.99, "views": views}
    linear = {"hidden_width": 0} if budget == "paper" else {}
    paper = {"epochs": 800, "learning_rate": 0.06, "weight_decay": 5e-4, "warmup": 0.0} | PLAIN_SGD
    return _cifar(budget, "moco", "CIFAR-10 by MoCo v2", objective | linear, paper, batch_splits=2)


@shipped
def cifar10_moco_v3(budget: Budget) -> Recipe:
    """MoCo v3: the keys of the batch instead of a queue."""
    objective = {"name": "moco_v3", "views": FIRST, "second_views": SECOND}
    paper = {"epochs": 1000, "optimizer": "lars", "learning_rate": 0.6, "weight_decay": 1.5e-6}
    slow = {"momentum": 0.996} if budget == "paper" else {}
    return _cifar(budget, "moco-v3", "CIFAR-10 by MoCo v3", objective | slow, paper)


@shipped
def cifar10_byol(budget: Budget) -> Recipe:
    """BYOL; a shorter run follows faster, as the authors do it."""
    objective = {"name": "byol", "views": FIRST, "second_views": SECOND}
    paper = {"epochs": 1000, "optimizer": "lars", "learning_rate": 0.4, "weight_decay": 1.5e-6}
    return _cifar(budget, "byol", "CIFAR-10 by BYOL", objective, paper, momentum=0.97)


@shipped
def cifar10_simsiam(budget: Budget) -> Recipe:
    """SimSiam.

    ``paper`` is its appendix D: a projector of two layers, outputs of 2,048 dimensions, and of what it takes over from ImageNet
    the predictor's bottleneck of 512.
    """
    objective = {"name": "simsiam", "projector_layers": 2, "views": MILD_VIEWS}
    wide = {"width": 2048, "predictor_width": 512} if budget == "paper" else {}
    paper = {"epochs": 800, "learning_rate": 0.06, "weight_decay": 5e-4, "warmup": 0.0} | PLAIN_SGD
    return _cifar(budget, "simsiam", "CIFAR-10 by SimSiam", objective | wide, paper)


@shipped
def cifar10_barlowtwins(budget: Budget) -> Recipe:
    """Barlow Twins.

    ``paper`` has the paper's weight decay, 1.5e-6; the authors' code has 1e-6. Theirs has a rate of its own for biases and
    normalisation layers, 0.0048 where weights have 0.2; here they have that of the weights.
    """
    objective = {"name": "barlow_twins", "views": FIRST, "second_views": SECOND}
    paper = {"epochs": 1000, "optimizer": "lars", "learning_rate": 0.4, "weight_decay": 1.5e-6}
    return _cifar(budget, "barlowtwins", "CIFAR-10 by Barlow Twins", objective, paper)


@shipped
def cifar10_vicreg(budget: Budget) -> Recipe:
    """VICReg."""
    objective = {"name": "vicreg", "views": FIRST, "second_views": SECOND}
    paper = {"epochs": 1000, "optimizer": "lars", "learning_rate": 0.4, "weight_decay": 1e-6}
    return _cifar(budget, "vicreg", "CIFAR-10 by VICReg", objective, paper)


@shipped
def cifar10_swav(budget: Budget) -> Recipe:
    """SwAV with two views of one size; 3,000 prototypes and a queue as its authors have them for small batches, or 300."""
    objective = {"name": "swav", "views": CIFAR_VIEWS.model_copy(update={"crop": (0.14, 1.0)})}
    objective |= {"queue": 3840} if budget == "paper" else {}
    paper = {"epochs": 800, "optimizer": "lars", "learning_rate": 0.6, "weight_decay": 1e-6}
    return _cifar(budget, "swav", "CIFAR-10 by SwAV", objective, paper, prototypes=300)


@shipped
def cifar10_dino(budget: Budget) -> Recipe:
    """DINO with two large views.

    ``paper`` has the optimiser of the authors' command for ResNet-50 in their README: SGD with plain momentum, 0.03 for 256
    images, weight decay 1e-4 that does not change and leaves biases out, gradients clipped at 3. AdamW and a decay that
    rises to 0.4 are theirs for vision transformers. The command has eight small views besides, and 100 epochs of ImageNet.
    """
    views = {"views": FIRST, "second_views": SECOND}
    cut = {key: view.model_copy(update={"crop": (0.14, 1.0)}) for key, view in views.items()}
    objective = {"name": "dino"} | cut
    paper = {"epochs": 800, "optimizer": "sgd", "nesterov": False, "learning_rate": 0.06, "weight_decay": 1e-4}
    paper |= {"gradient_clip": 3.0}
    small = {"outputs": 1024, "hidden_width": 256, "bottleneck": 64, "momentum": 0.99}
    return _cifar(budget, "dino", "CIFAR-10 by DINO", objective, paper, **small)


@shipped
def cifar10_collapse(budget: Budget) -> Recipe:
    """What happens without negatives and without stop-gradient and projector: all images become one, and the alarm says so."""
    objective = {"name": "simsiam", "stop_gradient": False, "projector_layers": 0, "views": MILD_VIEWS}
    paper = {"epochs": 100, "learning_rate": 0.06, "weight_decay": 5e-4} | PLAIN_SGD
    recipe = _cifar(budget, "collapse", "CIFAR-10 by SimSiam without stop-gradient and projector", objective, paper)
    # On the unit sphere, where the loss lives: there a collapse is one point.
    changed: dict[str, Any] = {"normalize": "always"}
    if budget != "paper":
        changed |= {"training.optimizer": "sgd", "training.learning_rate": 1.0, "training.weight_decay": 0.0}
        changed |= {"training.epochs": 3 if budget == "laptop" else 1, "training.min_steps": 60}
    return recipe.with_overrides(changed)


def _at(temperature: float) -> Callable[[Budget], Recipe]:
    name = f"temperature-{round(100 * temperature):03d}"

    def recipe(budget: Budget) -> Recipe:
        """SimCLR at another temperature; everything else is that of ``cifar10-simclr``."""
        title = f"CIFAR-10 by SimCLR at temperature {temperature:g}"
        changed = {"name": f"cifar10-{name}", "title": title, "objective.temperature": temperature}
        return cifar10_simclr(budget).with_overrides(changed)

    recipe.__name__ = f"cifar10_{name}".replace("-", "_")
    return shipped(recipe)


TEMPERATURES = tuple(_at(temperature) for temperature in (0.05, 0.1, 0.2, 0.5, 1.0))


@shipped_comparison
def cifar10_temperature(budget: Budget) -> Sequence[Recipe]:
    """SimCLR at five temperatures: what a small and a large one do to the space."""
    return [recipe(budget) for recipe in TEMPERATURES]


@shipped
def digits_simclr(budget: Budget) -> Recipe:
    """SimCLR on scikit-learn's digits: nothing to download."""
    return Recipe.parse(
        {
            "name": "digits-simclr",
            "title": "scikit-learn's digits by SimCLR",
            "budget": budget,
            "data": {"source": "digits", "validation": 0.2},
            "embedding_dim": 64,
            "objective": {"name": "simclr", "views": DIGIT_VIEWS.model_copy(update={"crop": (0.6, 1.0)})},
            "training": {
                "epochs": {"smoke": 5, "laptop": 60, "paper": 200}[budget],
                "batch_size": 128,
                "learning_rate": 3e-3,
                "schedule": "cosine",
            },
        }
    )


@shipped
def fashion_simclr(budget: Budget) -> Recipe:
    """SimCLR on Fashion-MNIST; ``paper`` is a ResNet-18 for as long as SimCLR trains on CIFAR-10."""
    values: dict[str, Any] = {
        "name": "fashion-simclr",
        "title": "Fashion-MNIST by SimCLR",
        "budget": budget,
        "objective": {"name": "simclr", "views": GARMENT_VIEWS},
    }
    data = {"source": "fashion-mnist", "validation": 5000}
    return Recipe.parse(values | _simclr(budget, data, {"validation": 500, "train_size": 2000}))


@shipped
def stl10_simclr(budget: Budget) -> Recipe:
    """SimCLR on photographs of 96 pixels; a folder of your own with ``--data FOLDER``."""
    values: dict[str, Any] = {
        "name": "stl10-simclr",
        "title": "Photographs by SimCLR",
        "budget": budget,
        "objective": {"name": "simclr", "views": ViewOptions.simclr()},
    }
    data = {"source": "stl10", "validation": 0.1, "image_size": 96}
    return Recipe.parse(values | _simclr(budget, data, {"train_size": 0.1}))
