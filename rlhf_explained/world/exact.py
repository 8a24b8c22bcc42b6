"""A second world, so small that every response can be listed: nothing in it is estimated.

With 8 tokens and at most 5 of them in a response there are 19,608 responses. A policy is a vector
of their log-probabilities, so the KL divergence, the expected reward and the best policy there can
be are sums over a list. What an algorithm reaches by sampling is held against that.

All vectors here have one entry per response, in the order of `every_response`.
"""

from __future__ import annotations

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
    r"""What RLHF maximises: the expected reward less the KL penalty, whose coefficient is $\beta$.

    $$J(\pi) = \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\,\|\,\pi_\mathrm{ref})$$

    Args:
        logprobs: Of each response under the policy, in nats.
        ref_logprobs: The same under the reference.
        rewards: Of each response.
        beta: Coefficient of the KL penalty, in the reward's unit.

    Returns:
        A scalar, in the reward's unit.

    Raises:
        ValueError: If the shapes differ, a vector is no distribution, a reward is not finite, or
            `beta` is not positive.

    Source:
        Ziegler et al. 2019, [Fine-tuning language models from human
        preferences](https://arxiv.org/abs/1909.08593), equation 2, on average.
    """
    check_positive(beta=beta)
    return expected(logprobs, rewards) - beta * kl_exact(logprobs, ref_logprobs)


def tilted(
    ref_logprobs: Float[Tensor, " responses"],
    rewards: Float[Tensor, " responses"],
    *,
    beta: float,
) -> Float[Tensor, " responses"]:
    r"""The policy that no other one beats under the KL penalty with this $\beta$.

    $$\pi_\beta(y) = \frac{\pi_\mathrm{ref}(y)\,e^{r(y)/\beta}}{Z},
    \qquad Z = \sum_y \pi_\mathrm{ref}(y)\,e^{r(y)/\beta}$$

    Seen over all $\beta$ these policies are the frontier: no policy has more reward at the same
    divergence.

    Args:
        ref_logprobs: Of each response under the reference, in nats.
        rewards: Of each response.
        beta: Coefficient of the KL penalty, in the reward's unit.

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
        beta: Coefficient of the KL penalty, in the reward's unit.

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
        beta: Coefficient of the KL penalty, in the reward's unit.

    Returns:
        1 for the best policy, 0 for the reference, below 0 for a policy that is worse than it.

    Raises:
        ValueError: As `objective`.
    """
    start = expected(ref_logprobs, rewards)  # the reference pays for no divergence
    reached = objective(logprobs, ref_logprobs, rewards, beta=beta)
    return (reached - start) / (best_objective(ref_logprobs, rewards, beta=beta) - start)
