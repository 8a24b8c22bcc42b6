"""What the formulas refuse.

Each check raises a `ValueError` that names the argument and says what is wrong with it, and where.
"""

import math
from collections.abc import Callable
from functools import reduce
from numbers import Integral, Real

import torch
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
_INTEGERS += (torch.int8, torch.int16, torch.int32, torch.int64)


def check_tensors(dimensions: int | None = None, /, **tensors: object) -> None:
    """Refuse what is no floating-point tensor, is empty, or differs in shape from the first.

    Numbers of 8 bits are for storage: nothing can be computed with them.

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
        if tensor.dtype not in _FLOATS:
            raise ValueError(f"{name} must have numbers of 16 to 64 bits, not {tensor.dtype}")
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


def single(tensor: Tensor) -> Tensor:
    """The tensor in at least single precision: sums of 16-bit numbers lose digits or overflow.

    Args:
        tensor: The argument.

    Returns:
        The same numbers, in 32 bits if they had 16.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def finite(**tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor in at least single precision, once it is known to be finite.

    Args:
        **tensors: The arguments, by name.

    Returns:
        The tensors, in the order in which they were named.

    Raises:
        ValueError: If a value is not finite.
    """
    check_finite(**tensors)
    return tuple(map(single, tensors.values()))


def fitted(result: Tensor, **arguments: Tensor | float) -> Tensor:
    """The result in the precision of the arguments, once it is known to fit there.

    Finite numbers can be too large, or too far apart, for what is computed of them.

    Args:
        result: What was computed, perhaps in a wider precision.
        **arguments: The arguments of which it was computed, by name.

    Returns:
        The result, rounded.

    Raises:
        ValueError: If it is not finite; the message says where.
    """
    dtypes = [x.dtype for x in arguments.values() if isinstance(x, Tensor)]
    dtype = reduce(torch.promote_types, dtypes)
    rounded = result.to(dtype)
    bad = ~rounded.isfinite()
    if bad.any():
        where = f" at [{_first(bad)}]" if bad.ndim else ""
        kind = str(dtype).removeprefix("torch.")
        raise ValueError(f"{', '.join(arguments)}: the result overflows {kind}{where}")
    return rounded


def counted(mask: Tensor, **tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor in at least single precision, with a zero wherever the mask does not count.

    Filling comes before any arithmetic: a NaN times zero is a NaN, in the gradient too.

    Args:
        mask: True where a value counts.
        **tensors: The arguments, each of the mask's shape, by name.

    Returns:
        The filled tensors, in the order in which they were named.

    Raises:
        ValueError: If a counted value is not finite.
    """
    return finite(**{name: tensor.masked_fill(~mask, 0) for name, tensor in tensors.items()})


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
    if tokens.dtype not in _INTEGERS:
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
    ids = tokens.long()  # what is unsigned cannot be compared; what is too large gets negative
    outside = (ids < 0) | (ids >= vocabulary)
    if outside.any():
        raise ValueError(
            f"{name}[{_first(outside)}] is {tokens[outside][0].item()}, "
            f"outside the vocabulary of {vocabulary} tokens"
        )


def check_number(**numbers: object) -> tuple[float, ...]:
    """Refuse what is not a finite number.

    Args:
        **numbers: The arguments to look at, by name.

    Returns:
        The numbers as floats, in the order in which they were named.

    Raises:
        ValueError: If a number is refused.
    """
    return _floats(numbers, math.isfinite, "a finite number")


def check_positive(**numbers: object) -> tuple[float, ...]:
    """Refuse a coefficient that is not a finite number above zero.

    Args:
        **numbers: The arguments to look at, by name.

    Returns:
        The numbers as floats, in the order in which they were named.

    Raises:
        ValueError: If a number is refused.
    """
    return _floats(numbers, lambda x: 0 < x < math.inf, "a finite number > 0")


def check_not_negative(**numbers: object) -> tuple[float, ...]:
    """Refuse a coefficient that is negative or not a finite number.

    Args:
        **numbers: The arguments to look at, by name.

    Returns:
        The numbers as floats, in the order in which they were named.

    Raises:
        ValueError: If a number is refused.
    """
    return _floats(numbers, lambda x: 0 <= x < math.inf, "a finite number >= 0")


def check_share(**numbers: object) -> tuple[float, ...]:
    """Refuse a coefficient outside $[0, 1]$.

    Args:
        **numbers: The arguments to look at, by name.

    Returns:
        The numbers as floats, in the order in which they were named.

    Raises:
        ValueError: If a number is refused.
    """
    return _floats(numbers, lambda x: 0 <= x <= 1, "a number between 0 and 1")


def check_count(name: str, number: object, least: int) -> int:
    """Refuse what is no integer, or too small a one.

    Args:
        name: The argument's name.
        number: The argument, an int or one of numpy's.
        least: The smallest number to let pass.

    Returns:
        The number as an int.

    Raises:
        ValueError: If the number is refused.
    """
    if isinstance(number, bool) or not isinstance(number, Integral) or number < least:
        raise ValueError(f"{name} must be an integer >= {least}, not {number!r}")
    return int(number)


def _floats(
    numbers: dict[str, object], fits: Callable[[float], bool], wanted: str
) -> tuple[float, ...]:
    """The numbers as floats, each of which fits."""
    floats = []
    for name, number in numbers.items():
        try:
            floats.append(float(number) if isinstance(number, Real) else math.nan)
        except OverflowError:  # an integer or a fraction
            raise ValueError(f"{name} is too large for a float") from None
        if not fits(floats[-1]):
            raise ValueError(f"{name} must be {wanted}, not {number!r}")
    return tuple(floats)


def _first(bad: Tensor) -> str:
    """The first True's index, as one writes it between brackets."""
    return ", ".join(str(i) for i in bad.nonzero()[0].tolist())
