"""What the formulas refuse.

Each check raises a `ValueError` that names the argument and says what is wrong with it, and where.
"""

import math
from numbers import Real
from typing import TypeGuard

import torch
from torch import Tensor


def check_tensors(dimensions: int | None = None, /, **tensors: object) -> None:
    """Refuse what is no floating-point tensor, is empty, or differs in shape from the first.

    Args:
        dimensions: How many dimensions each tensor must have; any number if None.
        **tensors: The arguments to look at, by name.

    Raises:
        ValueError: If an argument is refused; both names are given when two shapes differ.
    """
    first, like = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(f"{name} must be a floating-point tensor, not {found}")
        if dimensions is not None and tensor.ndim != dimensions:
            raise ValueError(
                f"{name} must be {dimensions}-dimensional, but its shape is {tuple(tensor.shape)}"
            )
        check_shape(name, tensor, first, like)
        if tensor.numel() == 0:
            raise ValueError(f"{name} is empty: its shape is {tuple(tensor.shape)}")


def check_shape(name: str, tensor: Tensor, like_name: str, like: object) -> None:
    """Refuse a tensor whose shape is not that of another argument.

    Args:
        name: The argument's name.
        tensor: The argument.
        like_name: The name of the argument that sets the shape.
        like: That argument.

    Raises:
        ValueError: If the shapes differ.
    """
    if isinstance(like, Tensor) and tensor.shape != like.shape:
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}, but {like_name} has {tuple(like.shape)}"
        )


def check_boolean(name: str, mask: Tensor, like_name: str, like: Tensor) -> None:
    """Refuse a tensor that is not boolean or has another shape.

    Args:
        name: The argument's name.
        mask: The argument.
        like_name: The name of the argument that sets the shape.
        like: That argument.

    Raises:
        ValueError: If the tensor is refused.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must be a boolean tensor (True counts), not {found}")
    check_shape(name, mask, like_name, like)


def check_mask(name: str, mask: Tensor, like_name: str, like: Tensor) -> None:
    """Refuse a mask that is not boolean, has another shape, or counts nothing in some row.

    Args:
        name: The mask's name.
        mask: The mask, True where a value counts.
        like_name: The name of the argument that it masks.
        like: That argument, of the same shape.

    Raises:
        ValueError: If the mask is refused.
    """
    check_boolean(name, mask, like_name, like)
    if not mask.any():
        raise ValueError(f"{name} counts nothing: it has no True")
    if mask.ndim > 1:
        empty = ~mask.any(dim=-1)
        if empty.any():
            raise ValueError(f"{name} counts nothing in row {_first(empty)}")


def check_no_gaps(name: str, mask: Tensor) -> None:
    """Refuse a mask whose counted tokens are not contiguous from the left in each row.

    Args:
        name: The mask's name.
        mask: The mask, `(batch, response)`.

    Raises:
        ValueError: If a row starts with a False or has a True after a False.
    """
    ragged = (mask != mask.cummin(dim=1).values).any(dim=1)
    if ragged.any():
        raise ValueError(
            f"{name} has a gap in row {_first(ragged)}: "
            "the counted tokens must be contiguous from the left"
        )


def check_finite(**tensors: Tensor) -> None:
    """Refuse a NaN or an infinity anywhere.

    Args:
        **tensors: The arguments to look at, by name.

    Raises:
        ValueError: If a value is not finite; the message says where.
    """
    for name, tensor in tensors.items():
        if tensor.detach().sum().isfinite():  # one pass: a NaN or infinity would show in the sum
            continue
        bad = ~tensor.isfinite()
        if bad.any():
            raise ValueError(f"{name}[{_first(bad)}] is {tensor[bad][0].item()}, must be finite")


def counted(mask: Tensor, **tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor with a zero wherever the mask does not count.

    Filling comes before any arithmetic: a NaN times zero is a NaN, in the gradient too.

    Args:
        mask: True where a value counts.
        **tensors: The arguments, each of the mask's shape, by name.

    Returns:
        The filled tensors, in the order in which they were named.

    Raises:
        ValueError: If a counted value is not finite.
    """
    filled = {name: tensor.masked_fill(~mask, 0) for name, tensor in tensors.items()}
    check_finite(**filled)
    return tuple(filled.values())


def check_logits(name: str, logits: Tensor, mask: Tensor | None = None) -> None:
    """Refuse logits that define no distribution; a −∞ bans its token and is fine.

    Args:
        name: The argument's name.
        logits: The logits, `(…, vocab)`.
        mask: True for the positions that count, `(…)`; all of them if None.

    Raises:
        ValueError: If a logit is NaN or +∞, or if every token of a position is banned.
    """
    if logits.detach().sum().isfinite():  # one pass: a NaN or infinity would show in the sum
        return
    if mask is not None:
        logits = logits.masked_fill(~mask.unsqueeze(-1), 0)
    bad = logits.isnan() | (logits == math.inf)
    if bad.any():
        raise ValueError(
            f"{name}[{_first(bad)}] is {logits[bad][0].item()}, must be finite or -inf (banned)"
        )
    banned = (logits == -math.inf).all(dim=-1)
    if banned.any():
        raise ValueError(f"{name}[{_first(banned)}] bans every token: all its logits are -inf")


def check_tokens(name: str, tokens: object, shape: torch.Size) -> None:
    """Refuse token ids that are no integers or differ in shape from the positions of the logits.

    Args:
        name: The argument's name.
        tokens: The token ids.
        shape: The shape of the logits, `(batch, response, vocab)`.

    Raises:
        ValueError: If the ids are refused.
    """
    if not isinstance(tokens, Tensor):
        raise ValueError(f"{name} must be an integer tensor, not {type(tokens).__name__}")
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ValueError(f"{name} must be an integer tensor, not {tokens.dtype}")
    if tokens.shape != shape[:-1]:
        raise ValueError(
            f"{name} has shape {tuple(tokens.shape)}, but logits has {tuple(shape)}: "
            "one token for each position is wanted"
        )


def check_vocabulary(name: str, tokens: Tensor, vocabulary: int) -> None:
    """Refuse a token id that the vocabulary does not have.

    Args:
        name: The argument's name.
        tokens: The token ids, integers.
        vocabulary: How many tokens there are.

    Raises:
        ValueError: If an id is negative or too large; the message says which and where.
    """
    outside = (tokens < 0) | (tokens >= vocabulary)
    if outside.any():
        raise ValueError(
            f"{name}[{_first(outside)}] is {tokens[outside][0].item()}, "
            f"outside the vocabulary of {vocabulary} tokens"
        )


def check_number(**numbers: object) -> None:
    """Refuse what is not a finite number.

    Args:
        **numbers: The arguments to look at, by name.

    Raises:
        ValueError: If a number is refused.
    """
    for name, number in numbers.items():
        if not _is_finite(number):
            raise ValueError(f"{name} must be a finite number, not {number!r}")


def check_positive(**numbers: object) -> None:
    """Refuse a coefficient that is not a finite number above zero.

    Args:
        **numbers: The arguments to look at, by name.

    Raises:
        ValueError: If a number is refused.
    """
    for name, number in numbers.items():
        if not (_is_finite(number) and number > 0):
            raise ValueError(f"{name} must be a finite number > 0, not {number!r}")


def check_not_negative(**numbers: object) -> None:
    """Refuse a coefficient that is negative or not a finite number.

    Args:
        **numbers: The arguments to look at, by name.

    Raises:
        ValueError: If a number is refused.
    """
    for name, number in numbers.items():
        if not (_is_finite(number) and number >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, not {number!r}")


def check_share(**numbers: object) -> None:
    """Refuse a coefficient outside $[0, 1]$.

    Args:
        **numbers: The arguments to look at, by name.

    Raises:
        ValueError: If a number is refused.
    """
    for name, number in numbers.items():
        if not (_is_finite(number) and 0 <= number <= 1):
            raise ValueError(f"{name} must be a number between 0 and 1, not {number!r}")


def _is_finite(number: object) -> TypeGuard[float]:
    """Whether this is a real number, neither NaN nor infinite."""
    return isinstance(number, Real) and math.isfinite(number)


def _first(bad: Tensor) -> str:
    """The first True's index, as one writes it between brackets."""
    return ", ".join(str(i) for i in bad.nonzero()[0].tolist())
