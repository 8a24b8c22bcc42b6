"""A second world, so small that every response can be listed: nothing in it is estimated.

With 8 tokens and at most 5 of them in a response there are 19,608 responses. A policy is a vector
of their log-probabilities, so the KL divergence, the expected reward and the best policy there can
be are sums over a list. What an algorithm reaches by sampling is held against that.

All vectors here have one entry per response, in the order of `every_response`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhf_explained.formulas import kl_exact
from rlhf_explained.formulas.checks import check_finite, check_positive, check_tensors
from rlhf_explained.world.tokenizer import EOS, PAD


def every_response(
    vocabulary: int, limit: int
) -> tuple[Int[Tensor, "responses limit"], Bool[Tensor, "responses limit"]]:
    """List all responses that a policy can write: up to `<eos>`, or cut off at the limit.

    Args:
        vocabulary: Number of tokens, `<pad>` and `<eos>` among them.
        limit: Longest response in tokens, `<eos>` included.

    Returns:
        Tokens, padded behind `<eos>`, and a mask, True for every token up to and including it.
        With $v$ tokens and limit $l$ these are $(v-1)^0 + … + (v-1)^{l-1}$ finished responses
        and $(v-1)^l$ that were cut off.

    Raises:
        ValueError: If a number is not positive.
    """
    check_positive(vocabulary=vocabulary, limit=limit)
    strings = torch.cartesian_prod(*[torch.arange(vocabulary)] * limit).view(-1, limit)
    ends = strings == EOS
    mask = ends.cumsum(1) - ends.int() == 0
    padded = strings.masked_fill(~mask, PAD)
    # Strings that differ behind their `<eos>` only are one response: keep the first of them.
    keep = (strings == padded).all(1)
    return padded[keep], mask[keep]


def expected(
    logprobs: Float[Tensor, " responses"], rewards: Float[Tensor, " responses"]
) -> Float[Tensor, ""]:
    r"""The mean reward of a policy's responses, $\sum_y \pi(y)\,r(y)$.

    Args:
        logprobs: Of each response under the policy, in nats.
        rewards: Of each response.

    Returns:
        A scalar, in the reward's unit.

    Raises:
        ValueError: If the shapes differ, or a reward is not finite.
    """
    check_tensors(1, logprobs=logprobs, rewards=rewards)
    check_finite(rewards=rewards)
    return (logprobs.exp() * rewards).sum()


def objective(
    logprobs: Float[Tensor, " responses"],
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, ""]:
    r"""What RLHF maximises, with a price $\beta$ for each nat away from the reference.

    $$J(\pi) = \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\,\|\,\pi_\mathrm{ref})$$

    Args:
        logprobs: Of each response under the policy, in nats.
        ref_logprobs: The same under the reference.
        rewards: Of each response.
        beta: Price of a nat, in the reward's unit.

    Returns:
        A scalar, in the reward's unit.

    Raises:
        ValueError: If the shapes differ, a vector is no distribution, a reward is not finite, or
            `beta` is not positive.

    Source:
        Ziegler et al. 2019, [Fine-tuning language models from human
        preferences](https://arxiv.org/abs/1909.08593), equation 2, in the mean.
    """
    check_positive(beta=beta)
    return expected(logprobs, rewards) - beta * kl_exact(logprobs, ref_logprobs)


def tilted(
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, " responses"]:
    r"""The policy that no other one beats at this price of a nat.

    $$\pi_\beta(y) = \frac{\pi_\mathrm{ref}(y)\,e^{r(y)/\beta}}{Z},
    \qquad Z = \sum_y \pi_\mathrm{ref}(y)\,e^{r(y)/\beta}$$

    Seen over all $\beta$ these policies are the frontier: no policy has more reward at the same
    divergence.

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: Price of a nat, in the reward's unit.

    Returns:
        Log-probabilities of the best policy.

    Raises:
        ValueError: If the shapes differ, a reward is not finite, or `beta` is not positive.

    Source:
        Rafailov et al. 2023, [Direct preference optimization](https://arxiv.org/abs/2305.18290),
        equation 4.
    """
    check_tensors(1, ref_logprobs=ref_logprobs, rewards=rewards)
    check_finite(rewards=rewards)
    check_positive(beta=beta)
    return (ref_logprobs + rewards / beta).log_softmax(0)


def best_objective(
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, ""]:
    r"""The objective of `tilted`, in closed form: $J_\mathrm{max} = \beta \log Z$.

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: Price of a nat, in the reward's unit.

    Returns:
        A scalar, in the reward's unit.

    Raises:
        ValueError: As `tilted`.

    Source:
        Rafailov et al. 2023, [Direct preference optimization](https://arxiv.org/abs/2305.18290),
        appendix A.1.
    """
    check_tensors(1, ref_logprobs=ref_logprobs, rewards=rewards)
    check_finite(rewards=rewards)
    check_positive(beta=beta)
    return beta * (ref_logprobs + rewards / beta).logsumexp(0)


def share_of_best(
    logprobs: Float[Tensor, " responses"],
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, ""]:
    r"""How much a policy gains of what can be gained.

    $$\frac{J(\pi) - J(\pi_\mathrm{ref})}{J_\mathrm{max} - J(\pi_\mathrm{ref})}$$

    Args:
        logprobs: Of each response under the policy, in nats.
        ref_logprobs: The same under the reference.
        rewards: Of each response; not all the same, or there is nothing to gain.
        beta: Price of a nat, in the reward's unit.

    Returns:
        1 for the best policy, 0 for the reference, below 0 for a policy that is worse than it.

    Raises:
        ValueError: As `objective`.
    """
    start = expected(ref_logprobs, rewards)  # the reference pays for no divergence
    reached = objective(logprobs, ref_logprobs, rewards, beta=beta)
    return (reached - start) / (best_objective(ref_logprobs, rewards, beta=beta) - start)


def best_of_n(
    ref_logprobs: Float[Tensor, " responses"], rewards: Float[Tensor, " responses"], *, n: int
) -> Float[Tensor, " responses"]:
    r"""The policy that draws $n$ responses from the reference and keeps the one of most reward.

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
    the estimator $k_3$ of whole responses leads as a loss: so is the mean of its gradient over
    what the policy writes. With $\lambda$ such that it sums to 1,

    $$\pi(y) = \frac{\beta\,\pi_\mathrm{ref}(y)}{\lambda - r(y)}, \qquad \lambda > \max_y r(y)$$

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: Price of a nat, in the reward's unit.

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
    below = rewards.double() - rewards.max()  # at most 0
    scaled = ref_logprobs.double() + math.log(beta)
    low, high = 0.0, float(beta)  # the sum falls from more than 1 to at most 1 between them
    for _ in range(200):
        middle = (low + high) / 2
        total = (scaled - (middle - below).log()).logsumexp(0)
        low, high = (middle, high) if total > 0 else (low, middle)
    return (scaled - (high - below).log()).log_softmax(0).to(ref_logprobs.dtype)


def natural_step(
    logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    learning_rate: float,
) -> Float[Tensor, " responses"]:
    r"""One step of the natural policy gradient, with no penalty, on the logits of all responses.

    The Fisher matrix $F = \mathrm{diag}(\pi) - \pi\pi^\top$ measures how far a step moves the
    policy, and the steepest way by that measure is

    $$\theta \leftarrow \theta + \eta F^+ \nabla\mathbb{E}_\pi[r]$$

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
