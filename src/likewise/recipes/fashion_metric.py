"""Fashion-MNIST by the losses of metric learning, beside cross-entropy, siamese pairs and all pairs.

Network, schedule and images seen are those of the other ``fashion-`` recipes. ``paper`` is the course sheet's setting
with the loss at the values of its paper; at ``laptop`` the loss's values and the learning rate were chosen on validation
(``likewise compare … --trials``, see docs/how-to/compare.md).
"""

from __future__ import annotations

from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped
from likewise.recipes.fashion import SHEET, small

__all__ = [
    "fashion_multisimilarity",
    "fashion_npairs",
    "fashion_proxyanchor",
    "fashion_supcon",
    "fashion_triplet",
]


@shipped
def fashion_triplet(budget: Budget) -> Recipe:
    """Triplets on the unit sphere, semi-hard; FaceNet's margin (Schroff et al. 2015) at ``paper``."""
    loss: dict[str, Any] = {"name": "triplet", "margin": 0.2, "mining": "semihard"}
    return _recipe(
        "triplet", "semi-hard triplets", budget, loss | ({"distance": "squared"} if budget == "paper" else {})
    )


@shipped
def fashion_npairs(budget: Budget) -> Recipe:
    """Softmax of the whole similarity matrix against the label-match matrix; dot products as TensorFlow has it."""
    loss: dict[str, Any] = {"name": "n_pairs"}
    if budget == "paper":
        return _recipe("npairs", "the N-pairs loss", budget, loss | {"normalize": False})
    return _recipe("npairs", "the N-pairs loss", budget, loss | {"temperature": 0.1})


@shipped
def fashion_supcon(budget: Budget) -> Recipe:
    """Supervised contrastive, one view of each image (Khosla et al. 2020, temperature 0.1)."""
    return _recipe("supcon", "the supervised contrastive loss", budget, {"name": "supcon", "temperature": 0.1})


@shipped
def fashion_multisimilarity(budget: Budget) -> Recipe:
    """Multi-similarity (Wang et al. 2019: α 2, β 50; λ 0.5 as in their code), without their mining step."""
    loss = {"name": "multi_similarity", "alpha": 2.0, "beta": 50.0, "base": 0.5}
    return _recipe("multisimilarity", "the multi-similarity loss", budget, loss)


@shipped
def fashion_proxyanchor(budget: Budget) -> Recipe:
    """One learned proxy per class (Kim et al. 2020: margin 0.1, α 32, the proxies' learning rate 100 times as high)."""
    loss = {"name": "proxy_anchor", "margin": 0.1, "alpha": 32.0}
    return _recipe("proxyanchor", "the proxy-anchor loss", budget, loss, loss_learning_rate=100.0)


def _recipe(name: str, words: str, budget: Budget, loss: dict[str, Any], **objective: Any) -> Recipe:
    """The loss on the unit sphere in the setting of the budget."""
    shared = SHEET if budget == "paper" else small(budget)
    if budget != "paper":
        shared["training"] |= {"learning_rate": 1e-2}
    return Recipe.parse(
        {
            "name": f"fashion-{name}",
            "title": f"Fashion-MNIST by {words}",
            "budget": budget,
            **shared,
            "normalize": "always",
            "objective": {"name": "metric", "loss": loss, **objective},
        }
    )
