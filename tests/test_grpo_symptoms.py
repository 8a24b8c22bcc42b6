"""The study of GRPO's log: its usual setting is GRPO, and each change is the one that it says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_models import of_few_words

from rlhf_explained.formulas import token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Rollout, Sequences, generate, response_logits
from rlhf_explained.stages.grpo import GRPOConfig, advantages, train_grpo
from rlhf_explained.studies import grpo_symptoms
from rlhf_explained.studies.grpo_symptoms import (
    MOST,
    Symptom,
    learn,
    likeliest,
    sample,
    shares,
    weights,
)

SMALL = GRPOConfig(
    iterations=4, prompts=3, group_size=4, epochs=2, kl_coef=0.3, unfinished_score=-1.0,
    response_limit=6,
)  # fmt: skip


def judge(sequences: Sequences) -> torch.Tensor:
    return (sequences.responses == 3).float().sum(1)


def prompts() -> Callable[[int], list[list[int]]]:
    drawn = torch.Generator().manual_seed(3)
    return lambda count: torch.randint(2, 6, (count, 2), generator=drawn).tolist()


def learned(**setting: Any) -> tuple[GPT, list[dict[str, float]]]:
    luck = torch.Generator().manual_seed(1)
    symptom = Symptom(**{"config": SMALL, **setting})
    return learn(of_few_words(), judge, symptom, draw_prompts=prompts(), generator=luck)


def same(one: GPT, other: GPT) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_with_nothing_set_otherwise_it_is_grpo() -> None:
    luck = torch.Generator().manual_seed(1)
    ours = train_grpo(of_few_words(), judge, SMALL, draw_prompts=prompts(), generator=luck)
    policy, log = learned()
    assert same(policy, ours.policy)
    for row, known in zip(log, ours.history, strict=True):
        assert row["tokens"] == pytest.approx(known["length"])
        assert row["cut_off"] == pytest.approx(1 - known["finished"])


def test_the_loss_in_the_log_is_that_of_grpo() -> None:
    once, luck = replace(SMALL, epochs=1), torch.Generator().manual_seed(1)
    ours = train_grpo(of_few_words(), judge, once, draw_prompts=prompts(), generator=luck)
    _, log = learned(config=once)
    assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in ours.history])


@pytest.mark.parametrize(
    "setting",
    [
        {"average": "answer"}, {"average": "constant"}, {"leaves_out": True}, {"entropy_coef": 0.1},
        {"temperature": 0.5}, {"temperature": 0.5, "divides": True}, {"top_k": 2}, {"lag": 1},
        {"bfloat16": True}, {"lag": 1, "correction": "token_truncate"},
        {"lag": 1, "correction": "sequence_mask"},
    ],
)  # fmt: skip
def test_each_change_changes_what_is_learned(setting: dict[str, Any]) -> None:
    assert not same(learned(**setting)[0], learned()[0])


def test_weights_change_nothing_where_the_policy_itself_samples() -> None:
    for correction in MOST:
        policy, log = learned(correction=correction)
        pairs = zip(policy.parameters(), learned()[0].parameters(), strict=True)
        assert all(torch.allclose(one, other, atol=1e-4) for one, other in pairs)
        assert [row["least_weight"] for row in log] == pytest.approx([1.0] * len(log), abs=1e-3)


def batch() -> Rollout:
    model, luck = of_few_words(), torch.Generator().manual_seed(5)
    answers = generate(model, prompts()(12), limit=6, generator=luck)
    with torch.no_grad():
        logprobs = token_logprobs(response_logits(model, answers), answers.responses)
    return Rollout(answers, logprobs, logprobs, judge(answers))


def test_averages_are_those_of_the_papers() -> None:
    rollout = batch()
    answers = rollout.sequences
    mask = answers.response_mask
    values = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) * mask

    def mean(**setting: Any) -> float:
        share = shares(answers, Symptom(SMALL, **setting))
        return ((values * share).sum() / mask.sum()).item()

    lengths, whole = mask.sum(1), mask & answers.ended[:, None]
    assert len(set(lengths.tolist())) > 1
    assert 0 < answers.ended.sum() < len(mask)
    assert mean() == pytest.approx((values.sum() / mask.sum()).item())
    assert mean(average="answer") == pytest.approx((values.sum(1) / lengths).mean().item())
    by_constant = (values.sum(1) / SMALL.response_limit).mean().item()
    assert mean(average="constant") == pytest.approx(by_constant)
    assert mean(leaves_out=True) == pytest.approx((values[whole].sum() / whole.sum()).item())


def test_weights_of_tokens_are_cut_off_and_answers_with_large_ones_left_out() -> None:
    ratio = torch.tensor([[3.0, 0.5, 9.0], [0.5, 0.25, 9.0], [2.0, 2.0, 0.1]])
    mask = torch.tensor([[True, True, False], [True, True, False], [True, True, True]])
    nothing = torch.zeros(ratio.shape)
    by_token = weights(ratio.log(), nothing, mask, "token_truncate")
    assert by_token[mask].tolist() == pytest.approx([2, 0.5, 0.5, 0.25, 2, 2, 0.1])
    by_answer = weights(ratio.log(), nothing, mask, "sequence_mask")
    assert by_answer[:, 0].tolist() == pytest.approx([1.5, 0.125, 0.4])
    by_answer = weights((2.5 * ratio).log(), nothing, mask, "sequence_mask")
    assert by_answer[:, 0].tolist() == pytest.approx([0, 0.78125, 0])


def test_what_is_excluded_is_never_drawn_and_the_rest_keeps_its_proportions() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    chances = likeliest(logits, 2).softmax(0)
    assert chances.tolist() == pytest.approx([0, 0.7311, 0.2689, 0], abs=1e-4)


@pytest.mark.parametrize("setting", [{"temperature": 0.5}, {"top_k": 2}])
def test_a_sampler_says_what_it_really_drew_with(setting: dict[str, Any]) -> None:
    """Many answers to one prompt: a first token's share is its probability as said."""
    model, luck = of_few_words(), torch.Generator().manual_seed(2)
    symptom = Symptom(replace(SMALL, response_limit=1), **setting)
    answers, logprobs = sample(model, [[2, 3]] * 4000, symptom, luck)
    tokens = answers.responses[:, 0]
    for token in tokens.unique():
        drawn = tokens == token
        said = logprobs[drawn, 0].exp()
        assert said.max() - said.min() < 1e-5
        assert drawn.float().mean().item() == pytest.approx(said[0].item(), abs=0.03)


def test_groups_that_agree_are_counted() -> None:
    silent = Symptom(SMALL)
    luck = torch.Generator().manual_seed(1)
    model = of_few_words()
    _, log = learn(
        model, lambda s: torch.zeros(len(s.tokens)), replace(silent, config=replace(
            SMALL, unfinished_score=0.0)), draw_prompts=prompts(), generator=luck,
    )  # fmt: skip
    assert {row["silent"] for row in log} == {1.0}
    assert log[0]["reward"] == 0


def test_settings_differ_and_answer_as_often() -> None:
    settings = list(grpo_symptoms.SETTINGS.values())
    assert len(set(settings)) == len(settings)
    for setting in settings:
        assert setting.config.prompts * setting.config.group_size == grpo_symptoms.ANSWERS


def test_a_ratio_outside_the_range_counts_where_the_loss_is_cut() -> None:
    rollout = batch()
    older = replace(rollout, logprobs=rollout.logprobs - 1.0)  # the ratio is e everywhere
    mask = rollout.sequences.response_mask
    alike, setting = torch.ones(mask.shape), Symptom(SMALL)
    for sign, share in ((1.0, 1.0), (-1.0, 0.0)):
        better = torch.full(mask.shape, sign)
        _, row = grpo_symptoms.one_step(of_few_words(), older, better, alike, setting)
        assert row["clipped"] == share
    assert advantages(rollout, SMALL).shape == mask.shape
