"""Averages over the tokens that count."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_explained.formulas.checks import check_mask, check_tensors, counted, fitted


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    r"""Mean of the counted values, in their unit.

    $$\bar{x} = \frac{\sum_i m_i x_i}{\sum_i m_i}$$

    Every counted token of the batch weighs the same, so a long response weighs more than a short
    one.

    Args:
        values: Any quantity, usually one per token.
        mask: True where a value counts; each row must count at least one.

    Returns:
        The mean, a scalar.

    Raises:
        ValueError: If the shapes differ, the mask is not boolean or counts nothing in some row, or
            a counted value is not finite.

    Source:
        Yu et al. 2025, [DAPO](https://arxiv.org/abs/2503.14476), section 3.3, for what the choice
        between averaging over tokens and over responses does.
    """
    check_tensors(values=values)
    check_mask("mask", mask, "values", values)
    (filled,) = counted(mask, values=values)
    return fitted(mean_of_counted(filled, mask), values=values)


def mean_of_counted(values: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask counts, of values that are known to be good.

    Args:
        values: The values, `(…)`.
        mask: True where a value counts, `(…)`.

    Returns:
        The mean, a scalar; infinite only if a value is.
    """
    filled, count = values.masked_fill(~mask, 0), mask.sum()
    mean = filled.sum() / count
    return mean if mean.isfinite() else (filled / count).sum()  # the sum may overflow, not the mean


def masked_whiten(
    values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    r"""The counted values shifted and scaled to mean 0 and variance 1, without a unit.

    $$\tilde{x}_i = \frac{x_i - \bar{x}}{\sigma}, \qquad
    \sigma^2 = \frac{\sum_i m_i (x_i - \bar{x})^2}{\sum_i m_i}$$

    Holds for values of any scale: nothing is added to $\sigma$. Where the counted values agree up
    to rounding there is no variance to speak of, and the result is zero instead of magnified noise.

    Args:
        values: Any quantity, usually the advantage of each token.
        mask: True where a value counts; each row must count at least one.

    Returns:
        The whitened values, zero outside the mask.

    Raises:
        ValueError: If the shapes differ, the mask is not boolean or counts nothing in some row, or
            a counted value is not finite.

    Source:
        Huang et al. 2022, [The 37 implementation details of PPO](https://iclr-blog-track.github.io/2022/03/25/ppo-implementation-details/),
        detail 7.
    """
    check_tensors(values=values)
    check_mask("mask", mask, "values", values)
    (filled,) = counted(mask, values=values)
    # Whitening does not see the scale, so dividing by the largest value first changes nothing but
    # keeps the squares of very small and very large values within range.
    scale = filled.detach().abs().max()
    filled = filled / scale.where(scale > 0, 1)
    count = mask.sum()
    centred = filled
    for _ in range(2):  # the second round takes out the first mean's rounding error
        centred = (centred - centred.sum() / count).masked_fill(~mask, 0)
    spread = centred.detach()[mask].max() - centred.detach()[mask].min()
    agree = spread <= 4 * torch.finfo(values.dtype).eps
    variance = centred.square().sum() / count
    # The inner `where` keeps the gradient finite: the square root has none at zero.
    whitened = (centred / variance.where(~agree, 1).sqrt()).masked_fill(agree, 0)
    return whitened.to(values.dtype)
