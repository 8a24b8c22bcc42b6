"""How much better than expected: per-token rewards, GAE, and the comparison within a group."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import one_hot, pad

from rlhf_explained.formulas.checks import (
    check_count,
    check_mask,
    check_no_gaps,
    check_not_negative,
    check_share,
    check_tensors,
    counted,
    finite,
    fitted,
)


def kl_shaped_rewards(
    scores: Float[Tensor, " batch"],
    logprobs: Float[Tensor, "batch response"],
    ref_logprobs: Float[Tensor, "batch response"],
    response_mask: Bool[Tensor, "batch response"],
    *,
    kl_coef: float | int,
) -> Float[Tensor, "batch response"]:
    r"""Reward of each token, in the unit of the scores: the KL penalty, and the score at the end.

    $$R_t = -\beta \left(\log\pi(a_t) - \log\pi_\mathrm{ref}(a_t)\right)
    + [t = T]\, r_\mathrm{RM}$$

    The weight $\beta$ is in that unit per nat. The penalty is $k_1$, so it estimates
    $\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$ only for tokens sampled from the policy.

    Args:
        scores: The reward model's score $r_\mathrm{RM}$ of each response.
        logprobs: Log-probability of each sampled token under the policy that sampled it, in nats.
        ref_logprobs: The same tokens under the reference, in nats.
        response_mask: True for the tokens of the response, contiguous from the left.
        kl_coef: The weight $\beta$ of the penalty; 0 turns it off.

    Returns:
        One reward per token, zero outside the mask.

    Raises:
        ValueError: If the shapes do not fit, the mask counts nothing in a row or has a gap, a
            counted value is not finite, `kl_coef` is negative, or a reward overflows.

    Source:
        Ziegler et al. 2019, [Fine-tuning language models from human
        preferences](https://arxiv.org/abs/1909.08593), equation 2; Ouyang et al. 2022,
        [InstructGPT](https://arxiv.org/abs/2203.02155), equation 2.
    """
    given = {"logprobs": logprobs, "ref_logprobs": ref_logprobs}
    check_tensors(2, **given)
    check_tensors(1, scores=scores)
    if len(scores) != len(logprobs):
        raise ValueError(
            f"scores has shape {tuple(scores.shape)}, but logprobs has {tuple(logprobs.shape)}: "
            "one score for each response is wanted"
        )
    check_mask("response_mask", response_mask, "logprobs", logprobs)
    check_no_gaps("response_mask", response_mask)
    (single_scores,) = finite(scores=scores)
    (kl_coef,) = check_not_negative(kl_coef=kl_coef)
    last = one_hot(response_mask.sum(dim=1) - 1, response_mask.shape[1])
    policy, reference = counted(response_mask, **given)
    k1 = -(reference - policy)
    rewards = last * single_scores.unsqueeze(1) - kl_coef * k1
    return fitted(rewards, scores=scores, **given, kl_coef=kl_coef)


def gae(
    rewards: Float[Tensor, "batch response"],
    values: Float[Tensor, "batch response"],
    response_mask: Bool[Tensor, "batch response"],
    *,
    gamma: float | int,
    gae_lambda: float | int,
) -> tuple[Float[Tensor, "batch response"], Float[Tensor, "batch response"]]:
    r"""Generalized advantage estimates and the returns they imply, in the unit of the rewards.

    $$\hat{A}_t = \sum_{l \ge 0} (\gamma\lambda)^l \delta_{t+l}, \qquad
    \delta_t = r_t + \gamma V_{t+1} - V_t, \qquad \hat{R}_t = \hat{A}_t + V_t$$

    A response ends with its last counted token: the value after it is 0. $\lambda = 0$ gives the
    one-step error $\delta_t$, $\lambda = 1$ the discounted sum of rewards less $V_t$. Gradients
    flow through: pass detached values where the advantages are to be constants.

    Args:
        rewards: Reward $r_t$ of each token.
        values: The value head's estimate $V_t$ before each token.
        response_mask: True for the tokens of the response, contiguous from the left.
        gamma: The discount $\gamma$ per token, from 0 to 1.
        gae_lambda: The mixing weight $\lambda$, from 0 to 1.

    Returns:
        The advantages and the returns, both zero outside the mask.

    Raises:
        ValueError: If the shapes differ, the mask counts nothing in a row or has a gap, a counted
            value is not finite, `gamma` or `gae_lambda` is outside 0 to 1, or an advantage or a
            return overflows.

    Source:
        Schulman et al. 2015, [High-dimensional continuous control using generalized advantage
        estimation](https://arxiv.org/abs/1506.02438), equation 16; equations 17 and 18 for
        $\lambda = 0$ and 1.
    """
    given = {"rewards": rewards, "values": values}
    check_tensors(2, **given)
    check_mask("response_mask", response_mask, "rewards", rewards)
    check_no_gaps("response_mask", response_mask)
    gamma, gae_lambda = check_share(gamma=gamma, gae_lambda=gae_lambda)
    rewards, values = counted(response_mask, **given)
    next_values = pad(values[:, 1:], (0, 1))
    deltas = rewards + gamma * next_values - values
    advantage = torch.zeros_like(deltas[:, 0])
    advantages = []
    for delta in reversed(deltas.unbind(dim=1)):
        advantage = delta + gamma * gae_lambda * advantage  # equation 16, from the right
        advantages.append(advantage)
    stacked = torch.stack(advantages[::-1], dim=1)
    return fitted(stacked, **given), fitted(stacked + values, **given)


def group_advantages(
    scores: Float[Tensor, " batch"], *, group_size: int
) -> Float[Tensor, " batch"]:
    r"""GRPO's advantage of each response: its score against the others of its group, no unit.

    $$\hat{A}_i = \frac{r_i - \bar{r}}{s + 10^{-4}}, \qquad
    s^2 = \frac{1}{G - 1} \sum_{j=1}^{G} (r_j - \bar{r})^2$$

    The mean of the group stands in for the value head. A group that agrees teaches nothing: its
    advantages are exactly zero.

    Args:
        scores: One score per response; each `group_size` neighbours answer the same prompt.
        group_size: The number $G$ of responses per prompt, at least 2.

    Returns:
        One advantage per response, to be given to each of its tokens.

    Raises:
        ValueError: If the scores are not one-dimensional and finite, or `group_size` is below 2 or
            does not divide their number.

    Source:
        Shao et al. 2024, [DeepSeekMath](https://arxiv.org/abs/2402.03300), section 4.1.2; the
        $10^{-4}$ and the $G - 1$ are those of TRL's `GRPOTrainer`.
    """
    check_tensors(1, scores=scores)
    group_size = check_count("group_size", group_size, least=2)
    if len(scores) % group_size:
        raise ValueError(f"group_size {group_size} does not divide the batch of {len(scores)}")
    (single_scores,) = finite(scores=scores)
    groups = single_scores.unflatten(0, (-1, group_size))
    high, low = groups.detach().amax(dim=1, keepdim=True), groups.detach().amin(dim=1, keepdim=True)
    agree = high == low
    scale = _power_of_two((high / 4 - low / 4).clamp(min=torch.finfo(groups.dtype).tiny))
    # Scores of about 1: their squares neither overflow nor vanish, and no digit changes.
    groups = (groups / scale).masked_fill(agree, 0)
    # The `where` keeps the gradient finite: the square root has none at zero.
    std = groups.var(dim=1, keepdim=True).where(~agree, 1).sqrt()
    centred = groups - groups.mean(dim=1, keepdim=True)
    return (centred / (std + 1e-4 / scale)).flatten().to(scores.dtype)


def _power_of_two(size: Tensor) -> Tensor:
    """The power of two above the size: dividing by it rounds nothing."""
    return size / size.frexp().mantissa
