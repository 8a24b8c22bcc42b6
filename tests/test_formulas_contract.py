"""What every formula owes its caller: masks that hide, inputs that are checked, no side effects."""

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError, config
from places import place
from torch import Tensor

from rlhf_explained import formulas

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])
TOKENS = torch.tensor([[0, 1, 2, 3], [4, 0, 1, 2]])


def uniform(*shape: int) -> Tensor:
    """Numbers between −1 and 1 that no two arguments share."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1


def tokens_of(*names: str) -> dict[str, Tensor]:
    return dict(zip(names, uniform(len(names), 2, 4), strict=True))


def responses_of(*names: str) -> dict[str, Tensor]:
    return dict(zip(names, uniform(len(names), 4), strict=True))


def build(name: str) -> dict[str, Any]:
    """Good arguments for each formula, fresh ones at each call."""
    mask = MASK.clone()
    distributions = uniform(2, 2, 4, 5).log_softmax(-1)
    arguments = {
        "masked_mean": lambda: tokens_of("values") | {"mask": mask},
        "masked_whiten": lambda: tokens_of("values") | {"mask": mask},
        "token_logprobs": lambda: {"logits": uniform(2, 4, 5), "tokens": TOKENS.clone()},
        "entropy": lambda: {"logits": uniform(2, 4, 5)},
        "kl_exact": lambda: {"logprobs": distributions[0], "ref_logprobs": distributions[1]},
        "kl_k1": lambda: tokens_of("logprobs", "ref_logprobs"),
        "kl_k2": lambda: tokens_of("logprobs", "ref_logprobs"),
        "kl_k3": lambda: tokens_of("logprobs", "ref_logprobs"),
        "kl_shaped_rewards": lambda: (
            {"scores": uniform(2)}
            | tokens_of("logprobs", "ref_logprobs")
            | {"response_mask": mask, "kl_coef": 0.1}
        ),
        "gae": lambda: (
            tokens_of("rewards", "values")
            | {"response_mask": mask, "gamma": 0.9, "gae_lambda": 0.8}
        ),
        "group_advantages": lambda: responses_of("scores") | {"group_size": 2},
        "sft_loss": lambda: {
            "logits": uniform(2, 4, 5),
            "tokens": TOKENS.clone(),
            "response_mask": mask,
        },
        "bradley_terry_loss": lambda: responses_of("chosen_scores", "rejected_scores"),
        "ppo_policy_loss": lambda: (
            tokens_of("logprobs", "old_logprobs", "advantages")
            | {"response_mask": mask, "clip_range": 0.2}
        ),
        "ppo_value_loss": lambda: (
            tokens_of("values", "old_values", "returns")
            | {"response_mask": mask, "clip_range": 0.2}
        ),
        "dpo_loss": lambda: (
            responses_of(
                "policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"
            )
            | {"beta": 0.3}
        ),
        "ipo_loss": lambda: (
            responses_of(
                "policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"
            )
            | {"beta": 0.3}
        ),
        "kto_loss": lambda: (
            responses_of("logprobs", "ref_logprobs")
            | {"desirable": torch.tensor([True, False, True, False]), "beta": 0.3, "kl": 0.2}
        ),
    }
    assert name in arguments, (
        f"{place(__file__, 'arguments = ')}: {name} is in formulas.__all__ and has no arguments "
        "to be tested with: add an entry"
    )
    return arguments[name]()


def is_mask(name: str) -> bool:
    return name in ("mask", "response_mask")


def floats(arguments: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in arguments.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def call(name: str, arguments: dict[str, Any]) -> Any:
    function: Callable[..., Any] = getattr(formulas, name)
    return function(**arguments)


def total(result: Any) -> Tensor:
    """One number out of whatever a formula returns, its parts weighed unevenly."""
    parts = result if isinstance(result, tuple) else (result,)
    weighed = [
        (part * torch.arange(1, part.numel() + 1).view(part.shape)).sum() * (i + 1)
        for i, part in enumerate(parts)
    ]
    return torch.stack(weighed).sum()


def value_and_gradients(name: str, arguments: dict[str, Any]) -> tuple[Any, dict[str, Tensor]]:
    leaves = {key: x.detach().requires_grad_() for key, x in floats(arguments).items()}
    result = call(name, arguments | leaves)
    gradients = torch.autograd.grad(total(result), list(leaves.values()))
    return result, dict(zip(leaves, gradients, strict=True))


@pytest.fixture
def as_outside_the_tests(monkeypatch):
    """Without the test-only shape checks, which would refuse some inputs first."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


MASKED = [name for name in formulas.__all__ if any(map(is_mask, build(name)))]
ANY_SHAPE = ("masked_mean", "masked_whiten", "kl_exact", "kl_k1", "kl_k2", "kl_k3")
ANY_SHAPE += ("bradley_terry_loss",)
TENSORS = [
    (name, argument)
    for name in formulas.__all__
    for argument, value in build(name).items()
    if isinstance(value, Tensor)
]


def test_the_arguments_here_are_those_of_the_signatures():
    for name in formulas.__all__:
        taken = list(inspect.signature(getattr(formulas, name)).parameters)
        assert list(build(name)) == taken, (
            f"{place(__file__, f'{chr(34)}{name}{chr(34)}: ')}: {name} takes {taken}: give it these"
        )


def test_every_masked_formula_is_looked_at():
    assert len(MASKED) == 7


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("name", MASKED)
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


@pytest.mark.parametrize("name", MASKED)
def test_masking_equals_deleting(name):
    """A column that no row counts may as well not be there."""
    arguments = build(name)
    shorter = {
        key: value[:, :3] if isinstance(value, Tensor) and value.shape[:2] == MASK.shape else value
        for key, value in arguments.items()
    }
    full, short = call(name, arguments), call(name, shorter)
    if not isinstance(full, tuple):
        full, short = (full,), (short,)
    for a, b in zip(full, short, strict=True):
        torch.testing.assert_close(a[:, :3] if a.ndim else a, b)
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
    for key, value in before.items():
        assert torch.equal(arguments[key], value) if isinstance(value, Tensor) else True


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", formulas.__all__)
def test_the_result_has_the_dtype_of_the_input(name, dtype):
    arguments = build(name)
    arguments |= {key: x.to(dtype) for key, x in floats(arguments).items()}
    result = call(name, arguments)
    for part in result if isinstance(result, tuple) else (result,):
        assert part.dtype == dtype
        assert part.isfinite().all()


def test_the_test_only_shape_checks_are_on():
    with pytest.raises(TypeCheckError, match="mask"):
        formulas.masked_mean(uniform(2, 4), MASK[:1])


@pytest.mark.usefixtures("as_outside_the_tests")
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
        r"tokens\[1, 0\] is 4, outside the vocabulary of 4 tokens",
    )
    wrong = arguments[argument]
    for other in (wrong[1:], wrong[..., 1:], wrong[:1], wrong.unsqueeze(0)):
        with pytest.raises(ValueError, match=f"^({'|'.join(messages)})$"):
            call(name, arguments | {argument: other})


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", formulas.__all__)
def test_another_number_of_dimensions_is_refused_or_makes_no_difference(name):
    arguments = build(name)
    deeper = {key: x[None] if isinstance(x, Tensor) else x for key, x in arguments.items()}
    if name in ANY_SHAPE:
        expected = call(name, arguments)
        torch.testing.assert_close(
            call(name, deeper), expected[None] if expected.ndim else expected
        )
        return
    first = {"kl_shaped_rewards": "logprobs"}.get(name, next(iter(arguments)))
    dimensions = arguments[first].ndim
    with pytest.raises(ValueError, match=rf"^{first} must be {dimensions}-dimensional, but its sh"):
        call(name, deeper)


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", formulas.__all__)
def test_an_empty_batch_is_refused(name):
    arguments = build(name)
    empty = {key: x[:0] if isinstance(x, Tensor) else x for key, x in arguments.items()}
    with pytest.raises(ValueError, match="is empty"):
        call(name, empty)


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize(
    ("name", "argument"), [case for case in TENSORS if not is_mask(case[1]) and case[1] != "tokens"]
)
def test_an_integer_tensor_or_a_list_is_refused(name, argument):
    arguments = build(name)
    kind = "boolean" if argument == "desirable" else "floating-point"
    wrong = arguments[argument].long()
    for other, found in ((wrong, "torch.int64"), (wrong.tolist(), "list")):
        with pytest.raises(
            ValueError, match=rf"^{argument} must be a {kind} tensor.*, not {found}$"
        ):
            call(name, arguments | {argument: other})


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", ["token_logprobs", "sft_loss"])
def test_tokens_that_are_no_integers_are_refused(name):
    arguments = build(name)
    for wrong, found in (
        (TOKENS.double(), "torch.float64"),
        (TOKENS.cfloat(), "torch.complex64"),
        (TOKENS.bool(), "torch.bool"),
        (TOKENS.tolist(), "list"),
    ):
        with pytest.raises(ValueError, match=rf"^tokens must be an integer tensor, not {found}$"):
            call(name, arguments | {"tokens": wrong})


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", MASKED)
def test_a_wrong_mask_is_refused(name):
    arguments = build(name)
    (argument,) = filter(is_mask, arguments)
    for wrong, found in ((MASK.long(), "torch.int64"), (MASK.tolist(), "list")):
        message = rf"^{argument} must be a boolean tensor \(True counts\), not {found}$"
        with pytest.raises(ValueError, match=message):
            call(name, arguments | {argument: wrong})
    with pytest.raises(ValueError, match=rf"^{argument} counts nothing: it has no True"):
        call(name, arguments | {argument: torch.zeros_like(MASK)})
    one_row = MASK.clone()
    one_row[1] = False
    with pytest.raises(ValueError, match=rf"^{argument} counts nothing in row 1"):
        call(name, arguments | {argument: one_row})


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "argument"),
    [(n, a) for n in MASKED for a, x in floats(build(n)).items() if x.shape == MASK.shape],
)
def test_a_counted_value_that_is_not_finite_is_refused(name, argument, wrong):
    arguments = build(name)
    arguments[argument][0, 2] = wrong
    with pytest.raises(ValueError, match=rf"^{argument}\[0, 2\] is {wrong}, must be finite"):
        call(name, arguments)


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "argument"),
    [(n, a) for n in formulas.__all__ if n not in MASKED for a in floats(build(n))],
)
def test_a_value_that_is_not_finite_is_refused_where_all_count(name, argument, wrong):
    arguments = build(name)
    where = (1,) * arguments[argument].ndim
    arguments[argument][where] = wrong
    place = ", ".join(map(str, where))
    with pytest.raises(ValueError, match=rf"^{argument}\[{place}\] is {wrong}, must be finite"):
        call(name, arguments)


@pytest.mark.parametrize("name", [name for name in formulas.__all__ if name.startswith("ppo")])
def test_a_gap_is_fine_where_no_last_token_matters(name):
    gap = torch.tensor([[True, False, True, False], [False, True, False, False]])
    assert call(name, build(name) | {"response_mask": gap}).isfinite()


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", ["kl_shaped_rewards", "ppo_policy_loss", "group_advantages"])
@pytest.mark.parametrize("wrong", [None, "0.1", 1j])
def test_a_coefficient_that_is_no_number_is_refused(name, wrong):
    arguments = build(name)
    coefficient = list(arguments)[-1]
    with pytest.raises(ValueError, match=coefficient):
        call(name, arguments | {coefficient: wrong})


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", formulas.__all__)
def test_the_largest_numbers_give_a_finite_gradient_or_are_refused_by_name(name, dtype):
    """Whatever overflows on the way, no ∞ and no NaN comes out."""
    for share in (1.0, 0.5, 1e-2, 1e-4):
        arguments = build(name)
        if name != "kl_exact":  # whose inputs are distributions
            largest = share * torch.finfo(dtype).max
            arguments |= {key: x.sign() * largest for key, x in floats(arguments).items()}
        arguments |= {key: x.to(dtype) for key, x in floats(arguments).items()}
        try:
            result, gradients = value_and_gradients(name, arguments)
        except ValueError as error:
            named, _, rest = str(error).partition(": the result overflows ")
            assert set(named.split(", ")) <= set(arguments)
            assert rest.split()[0] == str(dtype).removeprefix("torch.")
        else:
            parts = result if isinstance(result, tuple) else (result,)
            assert all(x.isfinite().all() for x in (*parts, *gradients.values()))


@pytest.mark.parametrize("dtype", FLOATS[:2])
@pytest.mark.parametrize("name", sorted(set(formulas.__all__) - {"masked_whiten", "kl_exact"}))
def test_numbers_of_16_bits_are_rounded_once_at_the_end(name, dtype):
    """`masked_whiten` sees agreement where 16 bits do; `kl_exact` may be infinite."""
    arguments = build(name)
    short = {key: x.to(dtype) for key, x in floats(arguments).items()}
    exact = call(name, arguments | {key: x.double() for key, x in short.items()})
    torch.testing.assert_close(
        call(name, arguments | short),
        tuple(x.to(dtype) for x in exact) if isinstance(exact, tuple) else exact.to(dtype),
        rtol=1.01 * torch.finfo(dtype).eps,
        atol=1e-6,
    )


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("name", formulas.__all__)
def test_numbers_of_8_bits_are_refused(name):
    arguments = build(name)
    short = {key: x.to(torch.float8_e4m3fn) for key, x in floats(arguments).items()}
    with pytest.raises(ValueError, match=r"^\w+ must have numbers of 16 to 64 bits, not torch.flo"):
        call(name, arguments | short)


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize("name", ["token_logprobs", "sft_loss"])
def test_tokens_without_a_sign_are_tokens(name, dtype):
    arguments = build(name)
    tokens = arguments["tokens"].to(dtype)
    assert torch.equal(call(name, arguments | {"tokens": tokens}), call(name, arguments))
    with pytest.raises(ValueError, match=r"^tokens\[0, 1\] is 9, outside the vocabulary"):
        call(name, arguments | {"tokens": (tokens.long() + TOKENS.eq(1) * 8).to(dtype)})


COEFFICIENTS = [
    (name, argument)
    for name in formulas.__all__
    for argument, value in build(name).items()
    if isinstance(value, float)
]


@pytest.mark.usefixtures("as_outside_the_tests")
@pytest.mark.parametrize(("name", "argument"), COEFFICIENTS)
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


@pytest.mark.usefixtures("as_outside_the_tests")
def test_a_group_size_may_be_an_integer_of_numpy():
    arguments = build("group_advantages")
    numpys = call("group_advantages", arguments | {"group_size": np.int64(2)})
    assert torch.equal(numpys, call("group_advantages", arguments))
    for wrong in (True, 2.0, np.float64(2), np.int64(1), "2"):
        with pytest.raises(ValueError, match=r"^group_size must be an integer >= 2, not "):
            call("group_advantages", arguments | {"group_size": wrong})
