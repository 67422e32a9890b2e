"""Fashion-MNIST by the losses of metric learning, beside cross-entropy, siamese pairs and all pairs.

Network, schedule and images seen are those of the other ``fashion-`` recipes. ``paper`` is the course sheet's setting
with the loss at the values of its paper. At ``laptop`` the values of the loss and the learning rate are the best of four to six
trials on validation, as ``likewise compare --trials`` makes them.
"""

from __future__ import annotations

from typing import Any

from likewise.recipe import Budget, Recipe
from likewise.recipes._shipped import shipped, shipped_comparison
from likewise.recipes.fashion import SHEET, fashion_crossentropy, fashion_siamese, small

__all__ = [
    "fashion_losses",
    "fashion_multisimilarity",
    "fashion_npairs",
    "fashion_proxyanchor",
    "fashion_supcon",
    "fashion_triplet",
]


@shipped
def fashion_triplet(budget: Budget) -> Recipe:
    """Semi-hard triplets on the unit sphere; ``paper`` has FaceNet's squared distances and margin (Schroff et al. 2015)."""
    loss: dict[str, Any] = {"name": "triplet", "margin": 0.376, "mining": "semihard"}
    if budget == "paper":
        loss |= {"margin": 0.2, "distance": "squared"}
    return _recipe("triplet", "semi-hard triplets", budget, loss, learning_rate=0.0135)


@shipped
def fashion_npairs(budget: Budget) -> Recipe:
    """Softmax of the whole similarity matrix against the label matches; ``paper`` takes dot products, as TensorFlow does."""
    loss = {"name": "n_pairs"} | ({"normalize": False} if budget == "paper" else {"temperature": 0.0625})
    normalize = "output" if budget == "paper" else "always"
    return _recipe("npairs", "the N-pairs loss", budget, loss, learning_rate=0.0234, normalize=normalize)


@shipped
def fashion_supcon(budget: Budget) -> Recipe:
    """Supervised contrastive, one view of each image; ``paper`` has the temperature of Khosla et al. 2020."""
    loss = {"name": "supcon", "temperature": 0.1 if budget == "paper" else 0.204}
    return _recipe("supcon", "the supervised contrastive loss", budget, loss, learning_rate=0.0135)


@shipped
def fashion_multisimilarity(budget: Budget) -> Recipe:
    """Multi-similarity, without its authors' mining step; ``paper`` has α 2, β 50, and λ 0.5 (Wang et al. 2019, their code)."""
    loss: dict[str, Any] = {"name": "multi_similarity", "alpha": 1.18, "beta": 7.35, "base": 0.227}
    if budget == "paper":
        loss |= {"alpha": 2.0, "beta": 50.0, "base": 0.5}
    return _recipe("multisimilarity", "the multi-similarity loss", budget, loss, learning_rate=0.0063)


@shipped
def fashion_proxyanchor(budget: Budget) -> Recipe:
    """One learned proxy per class; ``paper`` has margin 0.1, α 32 and proxies 100 times as fast (Kim et al. 2020)."""
    paper = budget == "paper"
    loss = {"name": "proxy_anchor", "margin": 0.1 if paper else 0.156, "alpha": 32.0 if paper else 11.7}
    objective: dict[str, Any] = {"loss_learning_rate": 100.0 if paper else 1.94}
    return _recipe("proxyanchor", "the proxy-anchor loss", budget, loss, learning_rate=0.00251, **objective)


@shipped_comparison
def fashion_losses(budget: Budget) -> list[Recipe]:
    """Is cross-entropy as good as pairwise losses? The same network and images by seven objectives."""
    chosen = (fashion_crossentropy, fashion_siamese, fashion_triplet, fashion_npairs, fashion_supcon)
    return [recipe(budget) for recipe in (*chosen, fashion_multisimilarity, fashion_proxyanchor)]


def _recipe(
    name: str,
    words: str,
    budget: Budget,
    loss: dict[str, Any],
    *,
    learning_rate: float,
    normalize: str = "always",
    **objective: Any,
) -> Recipe:
    """The loss on the unit sphere in the setting of the budget; the learning rate is not that of ``paper``."""
    shared = SHEET if budget == "paper" else small(budget)
    if budget != "paper":
        shared["training"] |= {"learning_rate": learning_rate}
    return Recipe.parse(
        {
            "name": f"fashion-{name}",
            "title": f"Fashion-MNIST by {words}",
            "budget": budget,
            **shared,
            "normalize": normalize,
            "objective": {"name": "metric", "loss": loss, **objective},
        }
    )
