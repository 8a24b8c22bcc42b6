"""What every formula owes its caller: masks that hide, inputs that are checked, no side effects."""

import inspect
import math
import re
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import config
from places import place
from torch import Tensor

from rlhf_explained import formulas

SIZES = {"batch": 4, "response": 5, "vocab": 6}
SIZES |= {"*shape": (4, 5), "*tokens": (4, 5), "*batch": (4,)}
MASK = torch.arange(5) < torch.tensor([[3], [1], [4], [2]])
TOKENS = torch.arange(20).view(4, 5) % 6
COEFFICIENTS = {  # a good one, and what is asked of it
    "beta": (0.3, "a finite number > 0"),
    "clip_range": (0.2, "a finite number > 0"),
    "gae_lambda": (0.8, "a number between 0 and 1"),
    "gamma": (0.9, "a number between 0 and 1"),
    "group_size": (2, "an integer >= 2"),
    "kl": (0.2, "a finite number >= 0"),
    "kl_coef": (0.1, "a finite number >= 0"),
}
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def as_outside_the_tests(monkeypatch):
    """Without the test-only shape checks, which would refuse some inputs first."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


def build(name: str) -> dict[str, Any]:
    """Good arguments for a formula, fresh ones at each call: what its signature asks for."""
    generator = torch.Generator().manual_seed(0)
    arguments: dict[str, Any] = {}
    for argument, parameter in inspect.signature(getattr(formulas, name)).parameters.items():
        if hasattr(parameter.annotation, "dim_str"):
            sizes = [SIZES[axis] for axis in parameter.annotation.dim_str.split()]
            shape = np.hstack(sizes).tolist()
            x = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
            special = {"tokens": TOKENS.clone(), "desirable": x > 0}
            special |= {"mask": MASK.clone(), "response_mask": MASK.clone()}
            x = x.log_softmax(-1) if name == "kl_exact" else x
            arguments[argument] = special.get(argument, x)
        else:
            assert argument in COEFFICIENTS, (
                f"{place(__file__, 'COEFFICIENTS = ')}: {name} takes {argument}, and there is no "
                "number to test it with: add an entry"
            )
            arguments[argument] = COEFFICIENTS[argument][0]
    return arguments


def floats(arguments: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in arguments.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def call(name: str, arguments: dict[str, Any]) -> Any:
    return getattr(formulas, name)(**arguments)


def parts(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def value_and_gradients(name: str, arguments: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    """What a formula returns, and the gradient of a sum of it whose terms weigh unevenly."""
    leaves = {key: x.detach().requires_grad_() for key, x in floats(arguments).items()}
    result = call(name, arguments | leaves)
    total = sum(
        (part * torch.arange(1, part.numel() + 1).view(part.shape)).sum() * weight
        for weight, part in enumerate(parts(result), 1)
    )
    return result, dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))


TENSORS = [
    (name, argument)
    for name in formulas.__all__
    for argument, value in build(name).items()
    if isinstance(value, Tensor)
]
MASKS = {name: argument for name, argument in TENSORS if argument.endswith("mask")}
assert MASKS, "no formula would be looked at"
NUMBERS = [
    (name, argument)
    for name in formulas.__all__
    for argument, value in build(name).items()
    if isinstance(value, float)
]


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("name", MASKS)
def test_garbage_under_the_mask_changes_neither_value_nor_gradient(name, garbage):
    arguments = build(name)
    expected, gradients = value_and_gradients(name, arguments)
    for x in floats(arguments).values():
        if x.shape[:2] == MASK.shape:
            x[~MASK] = garbage
    if "tokens" in arguments:
        arguments["tokens"][~MASK] = -100
    result, dirty = value_and_gradients(name, arguments)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    torch.testing.assert_close(dirty, gradients, rtol=0, atol=0)
    for x in dirty.values():
        assert x.isfinite().all()
        if x.shape[:2] == MASK.shape:
            assert not x[~MASK].any()
            assert x[MASK].any()


@pytest.mark.parametrize("name", MASKS)
def test_masking_equals_deleting(name):
    """A column that no row counts may as well not be there."""
    arguments = build(name)
    shorter = {
        key: value[:, :4] if isinstance(value, Tensor) and value.shape[:2] == MASK.shape else value
        for key, value in arguments.items()
    }
    for a, b in zip(parts(call(name, arguments)), parts(call(name, shorter)), strict=True):
        torch.testing.assert_close(a[:, :4] if a.ndim else a, b)
        assert a.ndim == 0 or not a[~MASK].any()


@pytest.mark.parametrize("name", formulas.__all__)
def test_the_gradient_is_that_of_finite_differences(name):
    arguments = build(name)
    leaves = {key: x.detach().requires_grad_() for key, x in floats(arguments).items()}

    def function(*inputs: Tensor) -> Any:
        return call(name, arguments | dict(zip(leaves, inputs, strict=True)))

    assert torch.autograd.gradcheck(function, tuple(leaves.values()))


@pytest.mark.parametrize("name", formulas.__all__)
def test_formulas_leave_inputs_and_the_global_generator_alone(name):
    arguments, before = build(name), build(name)
    state = torch.get_rng_state()
    first, second = call(name, arguments), call(name, arguments)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(arguments, before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", formulas.__all__)
def test_the_result_has_the_dtype_of_the_input(name, dtype):
    arguments = build(name)
    arguments |= {key: x.to(dtype) for key, x in floats(arguments).items()}
    for part in parts(call(name, arguments)):
        assert part.dtype == dtype
        assert part.isfinite().all()


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, a in TENSORS if [m for m, _ in TENSORS].count(n) > 1]
)
def test_a_tensor_of_another_shape_is_refused(name, argument):
    arguments = build(name)
    names = "|".join(key for key, x in arguments.items() if isinstance(x, Tensor))
    shape = r"\([\d, ]+\)"
    messages = (
        rf"({names}) has shape {shape}, but ({names}) has {shape}"
        "(: one (token for each position|score for each response) is wanted)?",
        rf"({names}) must be \d-dimensional, but its shape is {shape}",
        r"tokens\[\d, \d\] is 5, outside the vocabulary of 5 tokens",
    )
    wrong = arguments[argument]
    for other in (wrong[1:], wrong[..., 1:], wrong[:1], wrong.unsqueeze(0)):
        with pytest.raises(ValueError, match=f"^({'|'.join(messages)})$"):
            call(name, arguments | {argument: other})


@pytest.mark.parametrize("name", formulas.__all__)
def test_another_number_of_dimensions_is_refused_or_makes_no_difference(name):
    arguments = build(name)
    deeper = {key: x[None] if isinstance(x, Tensor) else x for key, x in arguments.items()}
    first = {"kl_shaped_rewards": "logprobs"}.get(name, next(iter(arguments)))
    if "*" in inspect.signature(getattr(formulas, name)).parameters[first].annotation.dim_str:
        expected = call(name, arguments)
        torch.testing.assert_close(
            call(name, deeper), expected[None] if expected.ndim else expected
        )
        return
    wanted = arguments[first].ndim
    with pytest.raises(ValueError, match=rf"^{first} must be {wanted}-dimensional, but its shape"):
        call(name, deeper)


@pytest.mark.parametrize("name", formulas.__all__)
def test_an_empty_batch_is_refused(name):
    empty = {key: x[:0] if isinstance(x, Tensor) else x for key, x in build(name).items()}
    with pytest.raises(ValueError, match="is empty"):
        call(name, empty)


@pytest.mark.parametrize(("name", "argument"), TENSORS)
def test_a_tensor_of_another_type_or_a_list_is_refused(name, argument):
    arguments = build(name)
    sound = arguments[argument]
    kind, wrong = "a floating-point tensor", (torch.int64,)
    if sound.dtype == torch.bool:
        kind, wrong = r"a boolean tensor \(True counts\)", (torch.int64, torch.float64)
    if argument == "tokens":
        kind, wrong = "an integer tensor", (torch.float64, torch.complex64, torch.bool)
    for other, found in [*((sound.to(dtype), dtype) for dtype in wrong), (sound.tolist(), "list")]:
        with pytest.raises(ValueError, match=rf"^{argument} must be {kind}, not {found}$"):
            call(name, arguments | {argument: other})


@pytest.mark.parametrize("name", formulas.__all__)
def test_numbers_of_8_bits_are_refused(name):
    arguments = build(name)
    short = {key: x.to(torch.float8_e4m3fn) for key, x in floats(arguments).items()}
    with pytest.raises(ValueError, match=r"^\w+ must have numbers of 16 to 64 bits, not torch.flo"):
        call(name, arguments | short)


@pytest.mark.parametrize(("name", "argument"), MASKS.items())
def test_a_mask_that_counts_nothing_is_refused(name, argument):
    with pytest.raises(ValueError, match=rf"^{argument} counts nothing: it has no True"):
        call(name, build(name) | {argument: torch.zeros_like(MASK)})
    one_row = MASK.clone()
    one_row[1] = False
    with pytest.raises(ValueError, match=rf"^{argument} counts nothing in row 1"):
        call(name, build(name) | {argument: one_row})


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, a in TENSORS if build(n)[a].is_floating_point()]
)
def test_a_value_that_is_not_finite_is_refused_where_it_counts(name, argument, wrong):
    if wrong == -math.inf and (argument == "logits" or name == "kl_exact"):
        return  # a banned token
    arguments = build(name)
    where = (0, 2, 1)[: arguments[argument].ndim]
    arguments[argument][where] = wrong
    index = ", ".join(map(str, where))
    with pytest.raises(ValueError, match=rf"^{argument}\[{index}\] is {wrong}, must be finite"):
        call(name, arguments)


@pytest.mark.parametrize("name", MASKS)
def test_a_gap_is_refused_where_the_last_token_matters(name):
    arguments = build(name)
    gaps = MASK.clone(), MASK.clone()
    gaps[0][1], gaps[1][1] = torch.tensor([[True, False, True, True, False], [False, *[True] * 4]])
    for gap in gaps:
        if name in ("kl_shaped_rewards", "gae"):
            message = "has a gap in row 1: the counted tokens must be contiguous from the left$"
            with pytest.raises(ValueError, match=f"^response_mask {message}"):
                call(name, arguments | {MASKS[name]: gap})
        else:
            assert parts(call(name, arguments | {MASKS[name]: gap}))[0].isfinite().all()


@pytest.mark.parametrize("share", [1.0, 0.5, 1e-2, 1 / 370, 1e-4])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(set(formulas.__all__) - {"kl_exact"}))
def test_the_largest_numbers_give_a_finite_gradient_or_are_refused_by_name(name, dtype, share):
    """No ∞ and no NaN comes out, and in 16 bits nothing is refused that would fit.

    All but `kl_exact`, whose inputs are distributions. Of 1/370, the square is too large for
    `float16`, and half the square is not.
    """
    arguments = build(name)
    signs = {key: x.sign() * share for key, x in floats(arguments).items()}
    arguments |= {key: (x * torch.finfo(dtype).max).to(dtype) for key, x in signs.items()}
    try:
        result, gradients = value_and_gradients(name, arguments)
    except ValueError as error:
        named, _, rest = str(error).partition(": the result overflows ")
        scaling = {"beta", "kl_coef"} & arguments.keys()
        assert {*named.split(", ")} == floats(arguments).keys() | scaling
        assert rest.split()[0] == str(dtype).removeprefix("torch.")
        fits = False
    else:
        assert all(x.isfinite().all() for x in (*parts(result), *gradients.values()))
        fits = True
    if dtype == torch.float16:
        with suppress(ValueError):  # too large even for 64 bits
            doubles = {key: x.double() for key, x in floats(arguments).items()}
            exact = parts(call(name, arguments | doubles))
            assert all(x.to(dtype).isfinite().all() for x in exact) == fits


@pytest.mark.parametrize("dtype", FLOATS[:2])
@pytest.mark.parametrize("name", sorted(set(formulas.__all__) - {"masked_whiten", "kl_exact"}))
def test_numbers_of_16_bits_are_rounded_once_at_the_end(name, dtype):
    """`masked_whiten` sees agreement where 16 bits do; `kl_exact` may be infinite."""
    arguments = build(name)
    short = {key: x.to(dtype) for key, x in floats(arguments).items()}
    exact = call(name, arguments | {key: x.double() for key, x in short.items()})
    torch.testing.assert_close(
        parts(call(name, arguments | short)),
        tuple(x.to(dtype) for x in parts(exact)),
        rtol=1.01 * torch.finfo(dtype).eps,
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize("name", ["token_logprobs", "sft_loss"])
def test_tokens_without_a_sign_are_tokens(name, dtype):
    arguments = build(name)
    tokens = arguments["tokens"].to(dtype)
    assert torch.equal(call(name, arguments | {"tokens": tokens}), call(name, arguments))


@pytest.mark.parametrize("name", ["token_logprobs", "sft_loss"])
def test_a_token_outside_the_vocabulary_is_named(name):
    unsigned = [(dtype, 9) for dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64)]
    for dtype, wrong in [(torch.int64, -100), (torch.int64, -1), (torch.int32, 6), *unsigned]:
        tokens = TOKENS.to(dtype)
        tokens[0, 1] = wrong
        message = rf"^tokens\[0, 1\] is {wrong}, outside the vocabulary of 6 tokens$"
        with pytest.raises(ValueError, match=message):
            call(name, build(name) | {"tokens": tokens})


@pytest.mark.parametrize(("name", "argument"), [*NUMBERS, ("group_advantages", "group_size")])
def test_a_coefficient_out_of_its_range_or_no_number_is_refused(name, argument):
    _, wanted = COEFFICIENTS[argument]
    beyond = {
        "a finite number > 0": [0, 0.0],
        "a number between 0 and 1": [1.1],
        "an integer >= 2": [True, 2.0, np.float64(2), np.int64(1), 0, -2],
    }
    wrong = [-0.1, math.nan, math.inf, None, "0.1", 1j, *beyond.get(wanted, [])]
    for number in wrong:
        message = rf"^{argument} must be {wanted}, not {re.escape(repr(number))}$"
        with pytest.raises(ValueError, match=message):
            call(name, build(name) | {argument: number})


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_a_coefficient_may_be_any_real_number_that_a_float_holds(name, argument):
    arguments = build(name)
    expected = call(name, arguments | {argument: 0.5})
    for number in (Fraction(1, 2), np.float32(0.5), np.float64(0.5)):
        torch.testing.assert_close(
            call(name, arguments | {argument: number}), expected, rtol=0, atol=0
        )
    for number in (10**400, Fraction(10**400)):
        with pytest.raises(ValueError, match=rf"^{argument} is too large for a float$"):
            call(name, arguments | {argument: number})


def test_a_group_size_may_be_an_integer_of_numpy_and_has_to_divide_the_batch():
    arguments = build("group_advantages")
    numpys = call("group_advantages", arguments | {"group_size": np.int64(2)})
    assert torch.equal(numpys, call("group_advantages", arguments))
    for wrong in (3, 8):
        with pytest.raises(
            ValueError, match=rf"^group_size {wrong} does not divide the batch of 4"
        ):
            call("group_advantages", arguments | {"group_size": wrong})
