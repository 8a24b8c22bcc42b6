"""The study of GRPO's log: its usual setting is GRPO as it stands, and each change is that change."""

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
from rlhf_explained.studies.grpo_symptoms import Symptom, learn, likeliest, sample, weights

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
        assert row["loss"] == pytest.approx(known["loss"])
        assert row["tokens"] == pytest.approx(known["length"])
        assert row["cut_off"] == pytest.approx(1 - known["finished"])


@pytest.mark.parametrize(
    "setting",
    [
        {"average": "answer"}, {"average": "constant"}, {"leaves_out": True}, {"entropy_coef": 0.1},
        {"temperature": 0.5}, {"temperature": 0.5, "divides": True}, {"top_k": 2}, {"lag": 1},
        {"bfloat16": True}, {"lag": 1, "weight_limit": 2.0},
    ],
)  # fmt: skip
def test_each_change_changes_what_is_learned(setting: dict[str, Any]) -> None:
    assert not same(learned(**setting)[0], learned()[0])


def test_weights_change_nothing_where_the_policy_itself_samples() -> None:
    policy, log = learned(weight_limit=2.0)
    assert same(policy, learned()[0])
    assert {row["least_weight"] for row in log} == {1.0}


def batch() -> Rollout:
    model, luck = of_few_words(), torch.Generator().manual_seed(5)
    answers = generate(model, prompts()(12), limit=6, generator=luck)
    with torch.no_grad():
        logprobs = token_logprobs(response_logits(model, answers), answers.responses)
    return Rollout(answers, logprobs, logprobs, judge(answers))


def test_averages_are_those_of_the_papers() -> None:
    rollout = batch()
    answers = rollout.sequences
    mask, ones = answers.response_mask, torch.ones(answers.responses.shape)
    values = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) * mask

    def mean(**setting: Any) -> float:
        factor = weights(answers, Symptom(SMALL, **setting), ones)
        return ((values * factor).sum() / mask.sum()).item()

    lengths, whole = mask.sum(1), mask & answers.ended[:, None]
    assert len(set(lengths.tolist())) > 1
    assert 0 < answers.ended.sum() < len(mask)
    assert mean() == pytest.approx((values.sum() / mask.sum()).item())
    assert mean(average="answer") == pytest.approx((values.sum(1) / lengths).mean().item())
    by_constant = (values.sum(1) / SMALL.response_limit).mean().item()
    assert mean(average="constant") == pytest.approx(by_constant)
    assert mean(leaves_out=True) == pytest.approx((values[whole].sum() / whole.sum()).item())


def test_a_weight_is_cut_off_from_above_alone() -> None:
    answers = batch().sequences
    ratio = torch.full(answers.responses.shape, 3.0)
    ratio[0] = 0.01
    factor = weights(answers, Symptom(SMALL, weight_limit=2.0), ratio)
    assert factor[0].unique().tolist() == pytest.approx([0.01])
    assert factor[1:].unique().tolist() == [2.0]


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
        assert said.unique().numel() == 1
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
    factor = torch.ones(mask.shape)
    setting = Symptom(SMALL)
    for sign, share in ((1.0, 1.0), (-1.0, 0.0)):
        better = torch.full(mask.shape, sign)
        _, row = grpo_symptoms.one_step(of_few_words(), older, better, factor, setting)
        assert row["clipped"] == share
    assert advantages(rollout, SMALL).shape == mask.shape
