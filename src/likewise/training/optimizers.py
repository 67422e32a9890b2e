"""Optimisers and learning-rate schedules, by name.

AdamW and SGD are torch's; LARS (You, Gitman & Ginsburg 2017) is not there and is written here. Weight decay acts on
matrices and filters only, unless ``decay_biases`` says otherwise: biases, normalisation layers and single learnable numbers
are left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from likewise.errors import TrainingError
from likewise.models import EmbeddingModel
from likewise.models.depths import layers_behind
from likewise.objectives import Objective
from likewise.recipe import TrainingOptions

__all__ = ["LARS", "build_optimizer", "learning_rate_at", "look_ahead"]


class LARS(Optimizer):
    """SGD with momentum whose step is scaled for each matrix by the ratio of its norm to its gradient's.

    For a parameter w with gradient g (You et al. 2017, eq. 6):  λ = η ‖w‖ / (‖g‖ + β ‖w‖),  v ← μ v + γ λ (g + β w),
    w ← w − v; γ the learning rate, β the weight decay, μ the momentum, η the trust coefficient. Parameters with fewer
    than two axes take a plain step (λ = 1, β = 0), as SimCLR does.

    Args:
        params: parameters or groups of them.
        lr: γ > 0.
        momentum: μ in [0, 1).
        weight_decay: β ≥ 0.
        trust_coefficient: η > 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, object]],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; returns what ``closure`` returned, where one was given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                ratio: Tensor | float = 1.0
                if parameter.ndim > 1:
                    decay = group["weight_decay"]
                    weight_norm, gradient_norm = parameter.norm(), gradient.norm()
                    scale = group["trust_coefficient"] * weight_norm / (gradient_norm + decay * weight_norm)
                    ratio = torch.where((weight_norm > 0) & (gradient_norm > 0), scale, torch.ones_like(scale))
                    gradient = gradient + decay * parameter
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                velocity = state["momentum_buffer"]
                velocity.mul_(group["momentum"]).add_(gradient * ratio * group["lr"])
                parameter.sub_(velocity)
        return loss


@torch.no_grad()
def look_ahead(optimizer: Optimizer, share: float = 0.5) -> None:
    """Lookahead (Zhang, Lucas, Hinton & Ba 2019, algorithm 1): slow weights go a share of the way to the fast ones, which
    go on from there.

    For every parameter  φ ← φ + α (θ − φ),  θ ← φ;  φ begins as θ is at the first call. φ lies in the optimiser's state, so a
    checkpoint has it.

    Args:
        optimizer: that has taken a step.
        share: α in (0, 1].
    """
    for group in optimizer.param_groups:
        fast, slow = [], []
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if not state and "betas" in group:
                continue  # has had no gradient yet, and Adam takes any state for its own
            if "slow" in state:
                fast.append(parameter)
                slow.append(state["slow"])
            else:
                state["slow"] = parameter.detach().clone()
        if fast:
            torch._foreach_lerp_(slow, fast, share)
            torch._foreach_copy_(fast, slow)


def build_optimizer(options: TrainingOptions, module: nn.Module) -> Optimizer:
    """The optimiser that ``options`` name over the parameters of ``module`` that want a gradient.

    Parameters are grouped by their weight decay (none for biases and normalisation layers, unless ``options.decay_biases``)
    and by their learning rate as a multiple of the run's: ``options.encoder_rate`` for the encoders, times
    ``options.layer_decay`` for each layer behind a parameter's own, and ``module.rate_factors()`` for what the objective names.

    Raises:
        TrainingError: no parameter wants a gradient.
    """
    named = module.rate_factors() if isinstance(module, Objective) else {}
    encoders = _encoder_rates(options, module)
    gathered: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            others = next((f for prefix, f in named.items() if name.startswith(prefix)), 1.0)
            factor = encoders.get(name, others)
            gathered.setdefault((factor, parameter.ndim > 1 or options.decay_biases), []).append(parameter)
    groups = [
        {"params": chosen, "weight_decay": options.weight_decay if decays else 0.0, "lr_factor": factor}
        for (factor, decays), chosen in sorted(gathered.items(), key=lambda item: item[0], reverse=True)
    ]
    wanted = [parameter for chosen in gathered.values() for parameter in chosen]
    if not wanted:
        raise TrainingError(
            f"There is nothing to train: training.freeze is {options.freeze}, and what stands on it has no weights.",
            expected="Expected a head or an objective with weights, or an encoder that is trained.",
            advice="Set head=linear or training.freeze=nothing, or training.epochs=0 to measure the encoder as it is.",
        )
    # One kernel for all parameters: on small networks the plain optimiser costs a tenth of the step.
    # It takes the scale of 16-mixed off the gradients itself, too late for them to be clipped.
    scaled = options.precision == "16-mixed" and options.gradient_clip is not None
    fused = (not scaled and all(parameter.device.type in ("cpu", "cuda") for parameter in wanted)) or None
    match options.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, options.beta2), fused=fused)
        case "sgd":
            return torch.optim.SGD(
                groups,
                lr=options.learning_rate,
                momentum=options.momentum,
                nesterov=options.nesterov and options.momentum > 0,
                fused=fused,
            )
        case "lars":
            return LARS(groups, options.learning_rate, momentum=options.momentum)


def _encoder_rates(options: TrainingOptions, module: nn.Module) -> dict[str, float]:
    """The learning rates of the encoders' parameters, by name in ``module``, as multiples of the run's."""
    model = getattr(module, "model", None)
    if not isinstance(model, EmbeddingModel):
        return {}
    encoders: dict[str, nn.Module] = {"model.encoder": model.encoder}
    if model.text is not None:
        encoders["model.text.encoder"] = model.text.encoder
    return {
        f"{prefix}.{name}": options.encoder_rate * options.layer_decay**behind
        for prefix, encoder in encoders.items()
        for name, behind in layers_behind(encoder).items()
    }


def learning_rate_at(step: int, total_steps: int, options: TrainingOptions) -> float:
    """Learning rate of one step, a pure function of the step, so that a resumed run needs no state for it.

    Args:
        step: 0 … total_steps - 1.
        total_steps: of the whole run.
        options: names the schedule; see ``TrainingOptions``.
    """
    peak = options.learning_rate
    warmup = round(options.warmup * total_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return peak
    left = (total_steps - step) / (total_steps - warmup + 1) if options.schedule == "one_cycle" else None
    if left is not None:
        return peak * left
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))
