"""Rollouts: one layout, honest sampling, log-probabilities of what was really sampled."""

from functools import partial

import pytest
import small_models
import torch
from small_models import generator

from rlhf_explained.rollout import (
    Sequences,
    collect_rollout,
    generate,
    pack,
    response_values,
    score,
    sequence_logprobs,
)
from rlhf_explained.world.tokenizer import EOS, PAD

PROMPTS = [[3, 4, 5], [6], [7, 8]]
model = partial(small_models.model, head=1.0)


def test_pack_lays_prompts_left_and_responses_right() -> None:
    packed = pack(PROMPTS, [[2], [2, 3], [2, 3, 4]])
    assert packed.tokens.tolist() == [
        [3, 4, 5, 2, EOS, 0, 0],
        [0, 0, 6, 2, 3, EOS, 0],
        [0, 7, 8, 2, 3, 4, EOS],
    ]
    assert packed.lengths.tolist() == [2, 3, 4]
    assert packed.ended.all()


def test_a_response_that_contains_padding_counts_as_a_whole() -> None:
    """A policy may have written one: what is packed again has to be what was sampled."""
    packed = pack([[3], [4]], [[5, PAD, 6], [PAD]])
    assert packed.response_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert packed.attended.tolist() == [[True] * 5, [True, True, True, False, False]]
    assert packed.lengths.tolist() == [4, 2]
    sampled = generate(model(), [[3]] * 200, limit=5, generator=generator())
    whole = sampled.rows(sampled.ended.nonzero()[:, 0])
    answers = [
        row[: int(length) - 1]
        for row, length in zip(whole.responses.tolist(), whole.lengths, strict=True)
    ]
    assert any(PAD in answer for answer in answers)
    again = pack([[3]] * len(answers), answers)
    assert torch.equal(again.response_mask, whole.response_mask)
    assert torch.equal(again.attended, whole.attended)


def test_rows_drop_unused_columns_and_nothing_else() -> None:
    packed = pack(PROMPTS, [[2], [2, 3], [2, 3, 4, 5]])
    fewer = packed.rows(torch.tensor([1, 0]))
    assert fewer.tokens.tolist() == [[0, 0, 6, 2, 3, EOS], [3, 4, 5, 2, EOS, 0]]
    torch.testing.assert_close(score(model(), fewer), score(model(), packed)[[1, 0]])


def test_a_response_counts_up_to_its_end_and_no_further() -> None:
    sampled = generate(model(), PROMPTS * 20, limit=12, generator=generator())
    assert sampled.ended.tolist() == [EOS in row for row in sampled.responses.tolist()]
    assert {*sampled.ended.tolist()} == {True, False}
    for row, mask in zip(sampled.responses.tolist(), sampled.response_mask.tolist(), strict=True):
        expected = row.index(EOS) + 1 if EOS in row else len(row)
        assert mask == [place < expected for place in range(len(row))]
        assert row[expected:] == [PAD] * (len(row) - expected)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sampling_follows_the_policys_probabilities(temperature: float) -> None:
    """First tokens of 20,000 samples against the softmax, within five standard errors."""
    gpt, count = model(), 20_000
    expected = (gpt(torch.tensor([[3, 4, 5]]))[0, -1] / temperature).softmax(-1)
    sampled = generate(
        gpt, [[3, 4, 5]] * count, limit=1, generator=generator(), temperature=temperature
    )
    found = torch.bincount(sampled.responses[:, 0], minlength=9) / count
    error = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 5 * error).all()


def test_temperature_zero_takes_the_likeliest_token_each_time() -> None:
    gpt = model()
    sampled = generate(gpt, [[3, 4, 5]], limit=5, temperature=0.0, generator=generator())
    tokens = [3, 4, 5]
    for token in sampled.responses[0].tolist():
        assert token == gpt(torch.tensor([tokens]))[0, -1].argmax()
        tokens.append(token)


def test_logprobs_are_those_of_the_sampled_tokens_one_by_one() -> None:
    """Against a plain loop without padding, batching or cache."""
    gpt, reference, judge = model(0), model(1), model(2)
    rollout = collect_rollout(
        gpt, reference, partial(score, judge), PROMPTS, limit=6, generator=generator()
    )
    sequences = rollout.sequences
    values = response_values(gpt, sequences)
    for row, prompt in enumerate(PROMPTS):
        response = sequences.responses[row, : int(sequences.lengths[row])].tolist()
        for place, token in enumerate(response):
            seen = torch.tensor([prompt + response[:place]])
            for network, found in ((gpt, rollout.logprobs), (reference, rollout.ref_logprobs)):
                expected = network(seen)[0, -1].log_softmax(-1)[token]
                torch.testing.assert_close(found[row, place], expected, atol=1e-5, rtol=1e-4)
            value = gpt.scalar(gpt.hidden(seen))[0, -1]
            torch.testing.assert_close(values[row, place], value, atol=1e-5, rtol=1e-4)
        whole = torch.tensor([prompt + response])
        torch.testing.assert_close(
            rollout.scores[row], judge.scalar(judge.hidden(whole))[0, -1], atol=1e-5, rtol=1e-4
        )


def test_the_log_probability_of_a_response_is_that_of_its_tokens() -> None:
    gpt, responses = model(), [[2], [2, 3], [2, 3, 4]]
    found = sequence_logprobs(gpt, pack(PROMPTS, responses))
    for row, (prompt, response) in enumerate(zip(PROMPTS, responses, strict=True)):
        whole = [*prompt, *response, EOS]
        predicted = gpt(torch.tensor([whole]))[0].log_softmax(-1)
        terms = [predicted[at - 1, whole[at]] for at in range(len(prompt), len(whole))]
        torch.testing.assert_close(found[row], torch.stack(terms).sum(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_logprobs_are_those_of_temperature_one_whatever_it_was_sampled_at(
    temperature: float,
) -> None:
    gpt = model()
    judge, options = partial(score, gpt), {"limit": 12, "temperature": temperature}
    rollout = collect_rollout(gpt, model(1), judge, PROMPTS * 20, **options, generator=generator())
    assert temperature == 0 or len(set(rollout.sequences.lengths.tolist())) > 1  # some padding
    found = rollout.logprobs.masked_fill(~rollout.sequences.response_mask, 0).sum(1)
    torch.testing.assert_close(found, sequence_logprobs(gpt, rollout.sequences))
    ratios = found - sequence_logprobs(model(1), rollout.sequences)
    torch.testing.assert_close(rollout.log_ratios, ratios, atol=1e-5, rtol=1e-4)


def test_a_rollout_carries_no_gradient() -> None:
    rollout = collect_rollout(
        model(), model(), partial(score, model()), PROMPTS, limit=4, generator=generator()
    )
    for tensor in (rollout.logprobs, rollout.ref_logprobs, rollout.scores):
        assert not tensor.requires_grad


def test_sampling_repeats_bitwise_whatever_the_global_state() -> None:
    def sample(seed: int) -> Sequences:
        torch.manual_seed(seed)
        return generate(model(), PROMPTS, limit=8, generator=generator(3))

    assert torch.equal(sample(1).tokens, sample(2).tokens)


@pytest.mark.parametrize(
    ("prompts", "limit", "temperature", "message"),
    [
        ([], 4, 1.0, "prompts: none given"),
        (PROMPTS, 0, 1.0, "limit: 0 is less than one token"),
        (PROMPTS, 4, -1.0, "temperature: -1.0 is negative"),
    ],
)
def test_bad_input_is_named(prompts: list, limit: int, temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model(), prompts, limit=limit, temperature=temperature, generator=generator())
    with pytest.raises(ValueError, match="responses: 1 for 3 prompts"):
        pack(PROMPTS, [[2]])


def test_only_what_was_cut_off_is_trained_on_another_score() -> None:
    gpt = model()
    rollout = collect_rollout(
        gpt, gpt, partial(score, gpt), [[3]] * 50, limit=3, generator=generator()
    )
    ended, learned = rollout.sequences.ended, rollout.trained_on(-7.0)
    assert 0 < ended.sum() < 50
    assert torch.equal(learned[ended], rollout.scores[ended])
    assert (learned[~ended] == -7).all()
