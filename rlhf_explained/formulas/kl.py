"""How far the policy has moved from its reference: the KL divergence and its estimates."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_explained.formulas.checks import check_finite, check_tensors, finite, fitted


def kl_exact(
    logprobs: Float[Tensor, "*tokens vocab"], ref_logprobs: Float[Tensor, "*tokens vocab"]
) -> Float[Tensor, "*tokens"]:
    r"""The exact $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$ over the whole vocabulary, in nats.

    $$\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})
    = \sum_v \pi(v) \left(\log\pi(v) - \log\pi_\mathrm{ref}(v)\right)$$

    Nothing is sampled. A token that the policy never writes (log-probability −∞) adds 0. It
    is infinite where the policy writes a token that the reference never does.

    Args:
        logprobs: The policy's log-probability of every token, in nats; their exponentials sum to 1.
        ref_logprobs: The same under the reference.

    Returns:
        One divergence per position, not negative but for rounding.

    Raises:
        ValueError: If the shapes differ, a log-probability is NaN or +∞, or the probabilities of a
            position do not sum to 1 (logits instead of log-probabilities).

    Source:
        Kullback and Leibler 1951, [On information and sufficiency](https://doi.org/10.1214/aoms/1177729694);
        Cover and Thomas 2006, [Elements of Information
        Theory](https://doi.org/10.1002/047174882X), equation 2.26.
    """
    check_tensors(logprobs=logprobs, ref_logprobs=ref_logprobs)
    _check_distribution(logprobs=logprobs, ref_logprobs=ref_logprobs)
    written = logprobs != -math.inf
    never = ref_logprobs == -math.inf
    # −∞ is taken out before the difference: 0 · (−∞) is NaN, and so would the gradient be.
    log_ratio = logprobs.masked_fill(~written, 0) - ref_logprobs.masked_fill(never, 0)
    divergence = (logprobs.exp() * log_ratio).sum(dim=-1)
    return divergence.masked_fill((written & never).any(dim=-1), math.inf)


def kl_k1(
    logprobs: Float[Tensor, "*tokens"], ref_logprobs: Float[Tensor, "*tokens"]
) -> Float[Tensor, "*tokens"]:
    r"""Per-token plain estimate of $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$, in nats.

    $$k_1 = -r, \qquad r = \log\pi_\mathrm{ref}(a) - \log\pi(a)$$

    Unbiased only when the tokens were sampled from the policy; a single estimate may well be
    negative.

    In the *reward*, where each token's $\nabla\log\pi$ is multiplied by the $k_1$ of this token
    and of all that follow it in the response, it gives the gradient of
    $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$ of whole responses: what PPO does. As a *loss* its
    gradient is $\nabla\log\pi(a)$, whose mean over the policy's tokens is zero: nothing is pulled
    back.

    Args:
        logprobs: Log-probability of each sampled token under the policy, in nats.
        ref_logprobs: The same tokens under the reference, in nats.

    Returns:
        One estimate per token; average it with `masked_mean`.

    Raises:
        ValueError: If the shapes differ, a value is not finite, or the estimate overflows.

    Source:
        Schulman 2020, [Approximating KL divergence](http://joschu.net/blog/kl-approx.html);
        gradients: Tang and Munos 2025, [On a few pitfalls in KL divergence gradient estimation for
        RL](https://arxiv.org/abs/2506.09477).
    """
    k1 = -_log_ratio(logprobs, ref_logprobs)
    return fitted(k1, logprobs=logprobs, ref_logprobs=ref_logprobs)


def kl_k2(
    logprobs: Float[Tensor, "*tokens"], ref_logprobs: Float[Tensor, "*tokens"]
) -> Float[Tensor, "*tokens"]:
    r"""Per-token squared estimate of $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$, in nats.

    $$k_2 = \tfrac{1}{2} r^2, \qquad r = \log\pi_\mathrm{ref}(a) - \log\pi(a)$$

    Biased, even when the tokens were sampled from the policy; close while the two policies are.

    As a *loss* on a single decision, or on the log-ratio of a whole response, its gradient,
    $-r\,\nabla\log\pi(a)$, has the right mean over the policy's samples: the gradient of
    $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$. Summed token by token it has not: what is left out
    is that a token changes what follows it, and so what the later tokens diverge. In the *reward*
    it has another gradient.

    Args:
        logprobs: Log-probability of each sampled token under the policy, in nats.
        ref_logprobs: The same tokens under the reference, in nats.

    Returns:
        One non-negative estimate per token; average it with `masked_mean`.

    Raises:
        ValueError: If the shapes differ, a value is not finite, or the estimate overflows.

    Source:
        Schulman 2020, [Approximating KL divergence](http://joschu.net/blog/kl-approx.html);
        gradients: Liu et al. 2025, [Rethinking KL regularization in
        RLHF](https://arxiv.org/abs/2510.01555); of sums over tokens: Tang and Munos 2025, [On a few
        pitfalls in KL divergence gradient estimation for RL](https://arxiv.org/abs/2506.09477).
    """
    k2 = _log_ratio(logprobs, ref_logprobs).square() / 2
    return fitted(k2, logprobs=logprobs, ref_logprobs=ref_logprobs)


def kl_k3(
    logprobs: Float[Tensor, "*tokens"], ref_logprobs: Float[Tensor, "*tokens"]
) -> Float[Tensor, "*tokens"]:
    r"""Per-token low-variance estimate of $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$, in nats.

    $$k_3 = e^{r} - 1 - r, \qquad r = \log\pi_\mathrm{ref}(a) - \log\pi(a)$$

    Unbiased only when the tokens were sampled from the policy.

    As a *loss* on a single decision, or on the log-ratio of a whole response, the mean of its
    gradient over the policy's samples is the gradient of the opposite divergence,
    $\mathrm{KL}(\pi_\mathrm{ref} \,\|\, \pi)$. Summed token by token, as in GRPO, it is neither
    divergence's gradient for responses: what precedes a token was written by the policy, not by
    the reference, and no token pays for the divergence of later ones. In the *reward* it gives the
    gradient of $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$ minus that of
    $\mathrm{KL}(\pi_\mathrm{ref} \,\|\, \pi)$, which is not what one wants either. Multiplied by
    the probability ratio $\pi/\pi_\mathrm{old}$, the loss has the sum of both gradients, and so on
    a single decision that of $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$.

    Args:
        logprobs: Log-probability of each sampled token under the policy, in nats.
        ref_logprobs: The same tokens under the reference, in nats.

    Returns:
        One non-negative estimate per token; average it with `masked_mean`.

    Raises:
        ValueError: If the shapes differ, a value is not finite, or the estimate overflows.

    Source:
        Schulman 2020, [Approximating KL divergence](http://joschu.net/blog/kl-approx.html);
        gradients: Tang and Munos 2025, [On a few pitfalls in KL divergence gradient estimation for
        RL](https://arxiv.org/abs/2506.09477); Liu et al. 2025, [Rethinking KL regularization in
        RLHF](https://arxiv.org/abs/2510.01555).
    """
    log_ratio = _log_ratio(logprobs, ref_logprobs)
    # expm1 keeps the digits that e^r − 1 loses near r = 0.
    k3 = log_ratio.expm1() - log_ratio
    return fitted(k3, logprobs=logprobs, ref_logprobs=ref_logprobs)


def _log_ratio(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Schulman's r, the reference's log-probability less the policy's, after the checks."""
    check_tensors(logprobs=logprobs, ref_logprobs=ref_logprobs)
    logprobs, ref_logprobs = finite(logprobs=logprobs, ref_logprobs=ref_logprobs)
    return ref_logprobs - logprobs


def _check_distribution(**logprobs: Tensor) -> None:
    """Refuse what is no log-distribution over its last dimension."""
    for name, tensor in logprobs.items():
        check_finite(**{name: tensor.masked_fill(tensor == -math.inf, 0)})
        total = torch.logsumexp(tensor.detach().float(), dim=-1).exp()
        # In bfloat16 the rounding of log(1/V) alone moves the sum by 3 %.
        wrong = (total - 1).abs() > (0.05 if tensor.itemsize == 2 else 1e-3)
        if wrong.any():
            raise ValueError(
                f"{name} must be log-probabilities over the last dimension, "
                f"but the probabilities sum to {total[wrong][0].item():.4g}"
            )
