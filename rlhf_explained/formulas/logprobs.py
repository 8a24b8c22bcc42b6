"""From logits to log-probabilities and entropy."""

import math

from jaxtyping import Float, Int
from torch import Tensor

from rlhf_explained.formulas.checks import (
    check_logits,
    check_tensors,
    check_tokens,
    check_vocabulary,
    fitted,
    single,
)


def token_logprobs(
    logits: Float[Tensor, "batch response vocab"], tokens: Int[Tensor, "batch response"]
) -> Float[Tensor, "batch response"]:
    r"""Log-probability of each token that was written, in nats.

    $$\log\pi(a_t \mid s_t) = z_{t, a_t} - \log\sum_v e^{z_{t, v}}$$

    The logits of position $t$ must be those that predict the token of position $t$: shift before
    calling. A logit of −∞ bans its token, whose log-probability is then −∞.

    Args:
        logits: Unnormalised log-probabilities $z$, one per token of the vocabulary.
        tokens: The token ids $a_t$.

    Returns:
        One log-probability per token, at most 0.

    Raises:
        ValueError: If the shapes do not fit, a logit is NaN or +∞, a position bans every token, a
            token is outside the vocabulary, or the logits are too far apart for a log-probability.

    Source:
        Goodfellow et al. 2016, [Deep Learning](https://www.deeplearningbook.org/contents/mlp.html),
        equation 6.30.
    """
    check_tensors(3, logits=logits)
    check_tokens("tokens", tokens, logits.shape)
    check_logits("logits", logits)
    check_vocabulary("tokens", tokens, logits.shape[-1])
    written = tokens.long().unsqueeze(-1)
    logprobs = logits.log_softmax(dim=-1).gather(-1, written).squeeze(-1)
    banned = logits.gather(-1, written).squeeze(-1) == -math.inf
    fitted(logprobs.detach().masked_fill(banned, 0), logits=logits)
    return logprobs


def entropy(logits: Float[Tensor, "batch response vocab"]) -> Float[Tensor, "batch response"]:
    r"""Entropy of the policy's next-token distribution, in nats.

    $$H(\pi) = -\sum_v \pi(v) \log\pi(v)$$

    It is 0 for a certain token and $\log V$ for $V$ equally likely ones. A banned token, with a
    logit of −∞, adds 0.

    Args:
        logits: Unnormalised log-probabilities, one per token of the vocabulary.

    Returns:
        One entropy per position.

    Raises:
        ValueError: If the logits are not three-dimensional, one is NaN or +∞, or a position bans
            every token.

    Source:
        Shannon 1948, [A mathematical theory of communication](https://doi.org/10.1002/j.1538-7305.1948.tb01338.x),
        section 6.
    """
    check_tensors(3, logits=logits)
    check_logits("logits", logits)
    logprobs = single(logits).log_softmax(dim=-1)
    probabilities = logprobs.exp()
    # 0 · (−∞) would be NaN; filling only the factor keeps the probability, and its gradient, at 0.
    surprise = -logprobs.masked_fill(probabilities == 0, 0)
    return (probabilities * surprise).sum(dim=-1).to(logits.dtype)
