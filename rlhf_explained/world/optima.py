"""Where methods lead that pay for divergence in another way, or not at all, in the exact world.

Best-of-n, $k_3$ in the loss and the natural gradient without a penalty each have a policy of their
own. Here it is computed, to be held beside the best one, `exact.tilted`, and beside what was
trained.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_explained.formulas.checks import check_finite, check_positive, check_tensors
from rlhf_explained.world.exact import expected


def best_of_n(
    ref_logprobs: Float[Tensor, " responses"], rewards: Float[Tensor, " responses"], *, n: int
) -> Float[Tensor, " responses"]:
    r"""The policy that draws $n$ responses from the reference and keeps the one of most reward.

    A policy like any other, though no network has it: it gives every response a probability.
    With $F$ the share of responses that earn at most as much, and $F^-$ of those that earn less,
    the best of $n$ earns exactly this much with probability $F^n - (F^-)^n$. Responses that earn
    the same share it as they share the reference's probability.

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        n: How many are drawn.

    Returns:
        Log-probabilities; −∞ where rounding leaves nothing.

    Raises:
        ValueError: If the shapes differ, a value is not finite, or `n` is not positive.

    Source:
        Beirami et al. 2024, [Theoretical guarantees on the best-of-n alignment
        policy](https://arxiv.org/abs/2401.01879), section 3.
    """
    check_tensors(1, ref_logprobs=ref_logprobs, rewards=rewards)
    check_finite(ref_logprobs=ref_logprobs, rewards=rewards)
    check_positive(n=n)
    probabilities = ref_logprobs.double().exp()
    levels, level = rewards.unique(return_inverse=True)  # from the least to the most
    mass = torch.zeros(len(levels), dtype=torch.float64).index_add(0, level, probabilities)
    at_most = mass.cumsum(0).clamp(max=1)
    at_most[-1] = 1
    less = torch.cat([torch.zeros(1, dtype=torch.float64), at_most[:-1]])
    kept = at_most**n - less**n
    return (probabilities * (kept / mass)[level]).log().to(ref_logprobs.dtype)


def best_of_n_bound(n: int) -> float:
    r"""What the divergence of `best_of_n` is often said to be, and never exceeds.

    $$\log n - \frac{n - 1}{n}$$

    Args:
        n: How many are drawn.

    Returns:
        Nats; exact where no two responses earn the same and each is rare.

    Raises:
        ValueError: If `n` is not positive.

    Source:
        Beirami et al. 2024, [Theoretical guarantees on the best-of-n alignment
        policy](https://arxiv.org/abs/2401.01879), theorem 3.1.
    """
    check_positive(n=n)
    return math.log(n) - (n - 1) / n


def reverse_tilted(
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, " responses"]:
    r"""The best policy where the divergence is taken the other way round.

    It maximises $\mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi_\mathrm{ref}\,\|\,\pi)$. That is where
    the estimator $k_3$ of whole responses leads as a loss, because the mean of its gradient over
    what the policy writes is the gradient of this divergence. Summed token by token it leads to
    `grpo_optimum`. With $\lambda$ such that it sums to 1,

    $$\pi(y) = \frac{\beta\,\pi_\mathrm{ref}(y)}{\lambda - r(y)}, \qquad \lambda > \max_y r(y)$$

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: Coefficient of the KL penalty, in the reward's unit.

    Returns:
        Log-probabilities.

    Raises:
        ValueError: As `tilted`.

    Source:
        Tang and Munos 2025, [On a few pitfalls in KL divergence gradient estimation for
        RL](https://arxiv.org/abs/2506.09477), for the gradient; the policy is its stationary point.
    """
    check_tensors(1, ref_logprobs=ref_logprobs, rewards=rewards)
    check_finite(rewards=rewards)
    check_positive(beta=beta)
    together = torch.zeros(len(rewards), dtype=torch.long)
    tilted = _reverse_tilt(ref_logprobs.double().exp(), rewards.double(), together, beta)
    return tilted.log().to(ref_logprobs.dtype)


def _reverse_tilt(
    shares: Float[Tensor, " choices"],
    values: Float[Tensor, " choices"],
    group: Int[Tensor, " choices"],
    beta: float,
) -> Float[Tensor, " choices"]:
    """Solve β share / (λ − value) for the λ of each group with which its choices sum to 1."""

    def summed(parts: Tensor) -> Tensor:
        return torch.zeros(int(group.max()) + 1, dtype=parts.dtype).index_add(0, group, parts)

    best = torch.full_like(summed(values), -math.inf).scatter_reduce(0, group, values, "amax")
    below = values - best[group]  # at most 0
    low, high = torch.zeros_like(best), torch.full_like(best, beta)  # λ above the best value
    for _ in range(100):
        middle = (low + high) / 2
        too_much = summed(beta * shares / (middle[group] - below)) > 1
        low, high = torch.where(too_much, middle, low), torch.where(too_much, high, middle)
    weights = beta * shares / (high[group] - below)
    return weights / summed(weights)[group]


def grpo_optimum(
    tokens: Int[Tensor, "responses limit"],
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
    divide_by_std: bool,
) -> Float[Tensor, " responses"]:
    r"""The policy at which GRPO stands still, with its published penalty and no clipping.

    Groups are without end, and all tokens count alike.

    It pays $k_3$ token by token in the loss, and no token pays for the divergence of later ones.
    (Times the probability ratio, as in TRL since version 1.10, $k_3$ leads elsewhere.) So each
    token is chosen by `reverse_tilted`, with the value of what follows under this same policy
    for a reward:

    $$\pi(a \mid x) = \frac{\beta\sigma\,\pi_\mathrm{ref}(a \mid x)}{\lambda_x - Q(x, a)}$$

    Division by the standard deviation $\sigma$ of the rewards under the policy makes a nat cost
    $\beta\sigma$; without it $\sigma = 1$.

    Args:
        tokens: All responses, as `every_response` lists them.
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: The coefficient of $k_3$.
        divide_by_std: Whether advantages are divided by σ.

    Returns:
        Log-probabilities.

    Raises:
        ValueError: As `tilted`; or if all rewards are the same, and so their deviation 0.

    Source:
        Shao et al. 2024, [DeepSeekMath](https://arxiv.org/abs/2402.03300), equations 3 and 4, for
        the loss; the policy is where its gradient, with $k_3$'s as in `reverse_tilted`, is zero.
    """
    check_tensors(1, ref_logprobs=ref_logprobs, rewards=rewards)
    check_finite(rewards=rewards)
    check_positive(beta=beta)
    if divide_by_std and rewards.min() == rewards.max():
        raise ValueError("rewards: all are the same, there is no deviation to divide by")
    # Each response's prefix of each length. One that has ended goes on with `<pad>` alone.
    prefixes = [torch.zeros(len(tokens), dtype=torch.long)]
    for length in range(1, tokens.shape[1] + 1):
        prefixes.append(tokens[:, :length].unique(dim=0, return_inverse=True)[1])
    spread = rewards.double().std(correction=0) if divide_by_std else torch.ones(())
    while True:
        policy = _by_token(prefixes, ref_logprobs.double(), rewards.double(), beta * spread.item())
        mean = expected(policy, rewards.double())
        now = expected(policy, (rewards.double() - mean).square()).sqrt()
        if not divide_by_std or (now - spread).abs() < 1e-10:
            return policy.to(ref_logprobs.dtype)
        spread = (spread + now) / 2


def _by_token(
    prefixes: list[Int[Tensor, " responses"]],
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    beta: float,
) -> Float[Tensor, " responses"]:
    """Choose each token by the reverse tilt, from the last to the first."""
    logprobs = torch.zeros_like(rewards)
    last = prefixes[-1]
    mass = torch.zeros_like(rewards).index_add(0, last, ref_logprobs.exp())
    values = torch.zeros_like(rewards).index_copy(0, last, rewards)
    for child, parent in zip(prefixes[:0:-1], prefixes[-2::-1], strict=True):
        count = int(parent.max()) + 1
        above = torch.zeros(len(mass), dtype=torch.long).index_copy(0, child, parent)
        parent_mass = torch.zeros(count, dtype=mass.dtype).index_add(0, above, mass)
        chosen = _reverse_tilt(mass / parent_mass[above], values, above, beta)
        logprobs += chosen.log()[child]
        values = torch.zeros(count, dtype=mass.dtype).index_add(0, above, chosen * values)
        mass = parent_mass
    return logprobs


def natural_step(
    logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    learning_rate: float,
) -> Float[Tensor, " responses"]:
    r"""One step of the natural policy gradient, with no penalty, on the logits of all responses.

    The Fisher matrix $F = \mathrm{diag}(\pi) - \pi\pi^\mathrm{T}$ measures how far a step moves the
    policy, and the steepest way by that measure is

    $$\theta_{k+1} = \theta_k + \eta F^+ \nabla\mathbb{E}_\pi[r]$$

    After $k$ steps the policy is `tilted` with $\beta = 1/(\eta k)$: to stop early and to pay for
    divergence are the same thing here.

    Args:
        logprobs: Of each response, in nats; `responses` squared numbers are inverted.
        rewards: Of each response.
        learning_rate: The step size η.

    Returns:
        Log-probabilities after the step.

    Raises:
        ValueError: If the shapes differ, a value is not finite, or the step size is not positive.

    Source:
        Kakade 2001, [A natural policy
        gradient](https://papers.nips.cc/paper/2001/hash/4b86abe48d358ecf194c56c69108433e-Abstract.html),
        section 2.
    """
    check_tensors(1, logprobs=logprobs, rewards=rewards)
    check_finite(logprobs=logprobs, rewards=rewards)
    check_positive(learning_rate=learning_rate)
    probabilities = logprobs.exp()
    fisher = probabilities.diag() - probabilities.outer(probabilities)
    gradient = probabilities * (rewards - expected(logprobs, rewards))
    step = torch.linalg.pinv(fisher, hermitian=True) @ gradient
    return (logprobs + learning_rate * step).log_softmax(0)
