"""What each stage minimises. Every loss is a scalar, and lower is better."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from rlhf_explained.formulas.checks import (
    check_boolean,
    check_logits,
    check_mask,
    check_not_negative,
    check_positive,
    check_tensors,
    check_tokens,
    check_vocabulary,
    counted,
    finite,
    fitted,
    single,
)
from rlhf_explained.formulas.masking import mean_of_counted


def sft_loss(
    logits: Float[Tensor, "batch response vocab"],
    tokens: Int[Tensor, "batch response"],
    response_mask: Bool[Tensor, "batch response"],
) -> Float[Tensor, ""]:
    r"""Mean negative log-likelihood of the demonstrations' response tokens, in nats per token.

    $$\mathcal{L}_\mathrm{SFT}
    = -\frac{1}{\sum_t m_t} \sum_t m_t \log\pi(a_t \mid s_t)$$

    The logits of position $t$ must be those that predict the token of position $t$. Its floor is
    the entropy of the demonstrations, not zero.

    Args:
        logits: The policy's logits, one per token of the vocabulary; −∞ bans a token.
        tokens: The tokens of the demonstration, any number where the mask is False.
        response_mask: True for the tokens to learn, False for the prompt and the padding.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If the shapes do not fit, the mask counts nothing in a row, a counted logit is
            NaN or +∞, a counted token is outside the vocabulary or banned, or the loss overflows.

    Source:
        Ouyang et al. 2022, [InstructGPT](https://arxiv.org/abs/2203.02155), section 3.5; the
        likelihood is equation 1 of Radford et al. 2018, [Improving language understanding by
        generative pre-training](https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf).
    """
    check_tensors(3, logits=logits)
    check_tokens("tokens", tokens, logits.shape)
    check_mask("response_mask", response_mask, "tokens", tokens)
    check_logits("logits", logits, response_mask)
    tokens = tokens.long().masked_fill(~response_mask, 0)
    check_vocabulary("tokens", tokens, logits.shape[-1])
    # Selecting the counted positions keeps the others out of the gradient, whatever they hold.
    counted_logits = single(logits[response_mask])
    written = tokens[response_mask].unsqueeze(-1)
    banned = counted_logits.detach().gather(-1, written).squeeze(-1) == -math.inf
    if banned.any():
        row, column = response_mask.nonzero()[banned][0].tolist()
        raise ValueError(
            f"tokens[{row}, {column}] is {tokens[row, column].item()}, which the logits ban (-inf)"
        )
    loss = -counted_logits.log_softmax(dim=-1).gather(-1, written).mean()
    return fitted(loss, logits=logits)


def bradley_terry_loss(
    chosen_scores: Float[Tensor, "*batch"], rejected_scores: Float[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    r"""Mean negative log-likelihood of the preferences under Bradley–Terry, in nats per pair.

    $$\mathcal{L}_\mathrm{RM} = -\,\mathbb{E}\left[\log\sigma(r_\mathrm{chosen}
    - r_\mathrm{rejected})\right]$$

    Only the difference matters: adding a constant to both scores changes nothing. Scores that do
    not tell the two apart cost $\log 2$.

    Args:
        chosen_scores: Score of the preferred response of each pair.
        rejected_scores: Score of the other one.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If the shapes differ, there is no pair, a score is not finite, or the loss
            overflows.

    Source:
        Bradley and Terry 1952, [Rank analysis of incomplete block
        designs](https://doi.org/10.2307/2334029); Ouyang et al. 2022,
        [InstructGPT](https://arxiv.org/abs/2203.02155), equation 1 with $K = 2$.
    """
    scores = {"chosen_scores": chosen_scores, "rejected_scores": rejected_scores}
    check_tensors(**scores)
    chosen_scores, rejected_scores = finite(**scores)
    return fitted(-logsigmoid(chosen_scores - rejected_scores).mean(), **scores)


def ppo_policy_loss(
    logprobs: Float[Tensor, "batch response"],
    old_logprobs: Float[Tensor, "batch response"],
    advantages: Float[Tensor, "batch response"],
    response_mask: Bool[Tensor, "batch response"],
    *,
    clip_range: float | int,
) -> Float[Tensor, ""]:
    r"""PPO's clipped surrogate, negated so that lower is better, in the unit of the advantages.

    $$\mathcal{L}_\pi = \mathbb{E}_t\left[\max\left(-\rho_t \hat{A}_t,\;
    -\mathrm{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon)\, \hat{A}_t\right)\right],
    \qquad \rho_t = e^{\log\pi(a_t) - \log\pi_\mathrm{old}(a_t)}$$

    For tokens that the old policy sampled. At $\rho = 1$ its gradient is that of REINFORCE. Once a
    token's probability has moved by more than $\epsilon$ in the direction its advantage asks for,
    its gradient is zero. Pass the old log-probabilities and the advantages detached.

    Args:
        logprobs: Log-probability of each sampled token under the policy being trained, in nats.
        old_logprobs: The same under the policy that sampled them, in nats.
        advantages: Advantage $\hat{A}_t$ of each token.
        response_mask: True for the tokens of the response.
        clip_range: How far the ratio may move, $\epsilon$; usually 0.2.

    Returns:
        The loss, a scalar: the mean over the counted tokens.

    Raises:
        ValueError: If the shapes differ, the mask counts nothing in a row, a counted value is not
            finite, `clip_range` is not above 0, or the loss overflows.

    Source:
        Schulman et al. 2017, [Proximal policy optimization
        algorithms](https://arxiv.org/abs/1707.06347), equation 7.
    """
    given = {"logprobs": logprobs, "old_logprobs": old_logprobs, "advantages": advantages}
    check_tensors(2, **given)
    check_mask("response_mask", response_mask, "logprobs", logprobs)
    (clip_range,) = check_positive(clip_range=clip_range)
    logprobs, old_logprobs, advantages = counted(response_mask, **given)
    log_ratio = logprobs - old_logprobs
    # Where the clip decides, how far the ratio is beyond it makes no difference, unless it
    # overflows: then its gradient, 0 · ∞, would be NaN. So it stops a little beyond.
    stop = torch.full_like(log_ratio, math.log1p(clip_range) + 1)
    ratio = log_ratio.clamp(max=stop.masked_fill(advantages < 0, math.inf)).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    losses = torch.maximum(-ratio * advantages, -clipped * advantages)
    return fitted(mean_of_counted(losses, response_mask), **given)


def ppo_value_loss(
    values: Float[Tensor, "batch response"],
    old_values: Float[Tensor, "batch response"],
    returns: Float[Tensor, "batch response"],
    response_mask: Bool[Tensor, "batch response"],
    *,
    clip_range: float | int,
) -> Float[Tensor, ""]:
    r"""Half the squared error of the value head, clipped like the policy, in squared reward units.

    $$\mathcal{L}_V = \tfrac{1}{2}\, \mathbb{E}_t\left[\max\left((V_t - \hat{R}_t)^2,\;
    (V^\mathrm{clip}_t - \hat{R}_t)^2\right)\right], \qquad
    V^\mathrm{clip}_t = \mathrm{clip}(V_t, V_{\mathrm{old}, t} - \epsilon,
    V_{\mathrm{old}, t} + \epsilon)$$

    The larger of the two errors counts, so a value that has already moved by more than $\epsilon$
    towards its return gets no further push. Pass the old values and the returns detached.

    Args:
        values: The value head's estimate $V_t$ before each token.
        old_values: What it said when the response was sampled.
        returns: The return $\hat{R}_t$ that it should predict.
        response_mask: True for the tokens of the response.
        clip_range: How far a value may move, $\epsilon$, in the unit of the values.

    Returns:
        The loss, a scalar: half the mean over the counted tokens.

    Raises:
        ValueError: If the shapes differ, the mask counts nothing in a row, a counted value is not
            finite, `clip_range` is not above 0, or the loss overflows.

    Source:
        Huang et al. 2022, [The 37 implementation details of PPO](https://iclr-blog-track.github.io/2022/03/25/ppo-implementation-details/),
        detail 9; it comes from OpenAI's code, the PPO paper has only the plain squared error.
    """
    given = {"values": values, "old_values": old_values, "returns": returns}
    check_tensors(2, **given)
    check_mask("response_mask", response_mask, "values", values)
    (clip_range,) = check_positive(clip_range=clip_range)
    values, old_values, returns = counted(response_mask, **given)
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    errors = torch.maximum((values - returns).square(), (clipped - returns).square())
    return fitted(mean_of_counted(errors, response_mask) / 2, **given)


def dpo_loss(
    policy_chosen: Float[Tensor, " batch"],
    policy_rejected: Float[Tensor, " batch"],
    reference_chosen: Float[Tensor, " batch"],
    reference_rejected: Float[Tensor, " batch"],
    *,
    beta: float | int,
) -> Float[Tensor, ""]:
    r"""DPO's mean negative log-likelihood of the preferences, in nats per pair.

    $$\mathcal{L}_\mathrm{DPO} = -\,\mathbb{E}\left[\log\sigma\left(
    \beta \log\frac{\pi(y_\mathrm{chosen})}{\pi_\mathrm{ref}(y_\mathrm{chosen})}
    - \beta \log\frac{\pi(y_\mathrm{rejected})}{\pi_\mathrm{ref}(y_\mathrm{rejected})}
    \right)\right]$$

    It is Bradley–Terry with the reward $\beta\log(\pi/\pi_\mathrm{ref})$, and starts at $\log 2$,
    where policy and reference agree. Only the margin matters: it can fall while the chosen response
    itself gets less likely.

    Args:
        policy_chosen: Log-probability of each preferred response under the policy, summed over its
            tokens, in nats.
        policy_rejected: The same for the other response of the pair.
        reference_chosen: The preferred responses under the reference.
        reference_rejected: The other responses under the reference.
        beta: How strongly the policy is held to the reference, above 0.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If the shapes differ, there is no pair, a log-probability is not finite, `beta`
            is not above 0, or the loss overflows.

    Source:
        Rafailov et al. 2023, [Direct preference optimization](https://arxiv.org/abs/2305.18290),
        equation 7.
    """
    sequences = {
        "policy_chosen": policy_chosen,
        "policy_rejected": policy_rejected,
        "reference_chosen": reference_chosen,
        "reference_rejected": reference_rejected,
    }
    check_tensors(1, **sequences)
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = finite(**sequences)
    (beta,) = check_positive(beta=beta)
    chosen_rewards = beta * (policy_chosen - reference_chosen)
    rejected_rewards = beta * (policy_rejected - reference_rejected)
    loss = -logsigmoid(chosen_rewards - rejected_rewards).mean()
    return fitted(loss, **sequences, beta=beta)


def ipo_loss(
    policy_chosen: Float[Tensor, " batch"],
    policy_rejected: Float[Tensor, " batch"],
    reference_chosen: Float[Tensor, " batch"],
    reference_rejected: Float[Tensor, " batch"],
    *,
    beta: float | int,
) -> Float[Tensor, ""]:
    r"""IPO's mean squared distance of the margin from a fixed goal, in squared nats.

    $$\mathcal{L}_\mathrm{IPO} = \mathbb{E}\left[\left(
    \log\frac{\pi(y_\mathrm{chosen})}{\pi_\mathrm{ref}(y_\mathrm{chosen})}
    - \log\frac{\pi(y_\mathrm{rejected})}{\pi_\mathrm{ref}(y_\mathrm{rejected})}
    - \frac{1}{2\beta} \right)^2\right]$$

    DPO's margin keeps growing on a pair whose label never varies. Here it has a goal, and a margin
    beyond it costs as much as one that falls short.

    Args:
        policy_chosen: Log-probability of each preferred response under the policy, summed over its
            tokens, in nats.
        policy_rejected: The same for the other response of the pair.
        reference_chosen: The preferred responses under the reference.
        reference_rejected: The other responses under the reference.
        beta: How strongly the policy is held to the reference, above 0.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If the shapes differ, there is no pair, a log-probability is not finite, `beta`
            is not above 0, or the loss overflows.

    Source:
        Azar et al. 2024, [A general theoretical paradigm to understand learning from human
        preferences](https://arxiv.org/abs/2310.12036), equation 17, where β is τ.
    """
    sequences = {
        "policy_chosen": policy_chosen,
        "policy_rejected": policy_rejected,
        "reference_chosen": reference_chosen,
        "reference_rejected": reference_rejected,
    }
    check_tensors(1, **sequences)
    policy_chosen, policy_rejected, reference_chosen, reference_rejected = finite(**sequences)
    (beta,) = check_positive(beta=beta)
    margins = (policy_chosen - reference_chosen) - (policy_rejected - reference_rejected)
    loss = (margins - 1 / (2 * beta)).square().mean()
    return fitted(loss, **sequences, beta=beta)


def kto_loss(
    logprobs: Float[Tensor, " batch"],
    ref_logprobs: Float[Tensor, " batch"],
    desirable: Bool[Tensor, " batch"],
    *,
    beta: float | int,
    kl: float | int,
) -> Float[Tensor, ""]:
    r"""KTO's mean loss over single responses, each marked good or bad, no unit.

    $$\mathcal{L}_\mathrm{KTO} = \mathbb{E}\left[1 - \sigma\left(\pm\beta \left(
    \log\frac{\pi(y)}{\pi_\mathrm{ref}(y)} - z \right)\right)\right]$$

    The sign is + for a good response and − for a bad one. No pair is needed: a response is compared
    with $z$, how far the policy has moved on the whole. Both kinds weigh the same here.

    Args:
        logprobs: Log-probability of each response under the policy, summed over its tokens, in
            nats.
        ref_logprobs: The same responses under the reference.
        desirable: True for a good response.
        beta: How strongly the policy is held to the reference, above 0.
        kl: The reference point $z$, an estimate of KL(policy‖reference) through which no gradient
            flows, not negative.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If the shapes differ, `desirable` is not boolean, there is no response, a
            log-probability is not finite, `beta` is not above 0, or `kl` is negative or not finite.

    Source:
        Ethayarajh et al. 2024, [KTO](https://arxiv.org/abs/2402.01306), equations 7 and 8, with
        both weights λ at 1.
    """
    sequences = {"logprobs": logprobs, "ref_logprobs": ref_logprobs}
    check_tensors(1, **sequences)
    check_boolean("desirable", desirable, "logprobs", logprobs)
    logprobs, ref_logprobs = finite(**sequences)
    (beta,) = check_positive(beta=beta)
    (kl,) = check_not_negative(kl=kl)
    gained = beta * (logprobs - ref_logprobs - kl)
    loss = (1 - torch.where(desirable, gained, -gained).sigmoid()).mean()
    return fitted(loss, **sequences, beta=beta, kl=kl)
