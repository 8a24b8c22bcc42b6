"""The stages: each learns what it should, changes only its own copy, and refuses bad input."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import fmean, pvariance
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_models import SHAPE, generator, in_words, model, of_few_words, unchanged, weights
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rlhf_explained.formulas import kl_k2, kl_k3, token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import (
    Rollout,
    Sequences,
    generate,
    pack,
    response_logits,
    response_values,
    score,
    sequence_logprobs,
)
from rlhf_explained.stages import grpo, ppo, pretrain, reward_model
from rlhf_explained.stages.best_of_n import best_of_n
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.grpo import PENALTIES, GRPOConfig, advantages, train_grpo
from rlhf_explained.stages.ppo import Experience, PPOConfig, credit, explained_variance, train_ppo
from rlhf_explained.stages.pretrain import document_batches, document_loss
from rlhf_explained.stages.reward_model import Preferences, RewardModelConfig, collect_preferences
from rlhf_explained.stages.sft import SFTConfig, demonstration_loss, train_sft
from rlhf_explained.world.corpus import CLOSER, OPENER, false_answers
from rlhf_explained.world.labeler import gold_reward
from rlhf_explained.world.questions import FACT_KINDS, Question, questions
from rlhf_explained.world.tokenizer import EOS, PAD, RESPONSE_LIMIT, world_tokenizer


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The gradient of the first parameter at each step."""
    seen: list[Tensor] = []

    def look(parameters, limit: float) -> None:
        seen.append(next(iter(parameters)).grad.clone())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", look)
    return seen


Look = Callable[[Any, str], list[tuple[tuple, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Look:
    """Gives a list of what a function of a module is called with, and of what it returns."""

    def look(module: Any, name: str) -> list[tuple[tuple, Any]]:
        function, seen = getattr(module, name), []

        def called(*arguments: Any, **options: Any) -> Any:
            seen.append((arguments, function(*arguments, **options)))
            return seen[-1][1]

        monkeypatch.setattr(module, name, called)
        return seen

    return look


# Pretraining


def pretrained(documents: list[list[int]], **settings: Any) -> pretrain.PretrainResult:
    config = pretrain.PretrainConfig(**settings)
    return pretrain.train_pretrained(documents, SHAPE, config, generator=generator())


def test_pretraining_reaches_the_entropy_of_its_corpus() -> None:
    """Two documents, 3 to 1: the only uncertain token costs H(¾) nats, once in three tokens."""
    documents = [[2, 3, 4]] * 48 + [[2, 5, 4]] * 16
    trained = pretrained(documents, steps=80, batch=64, learning_rate=2e-2)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert trained.history[-1]["loss"] == pytest.approx(entropy / 3, rel=0.02)


def test_every_token_of_the_web_counts_alike(gradients: list[Tensor]) -> None:
    """A step's gradient is the sum over its tokens, by the mean number of them: 14 here."""
    documents = [[2, 3]] * 4 + [[2, 4, 5, 6, 7]] * 4
    pretrained(documents, steps=6, batch=4, learning_rate=1e-12)  # the model stays as it was
    expected = []
    for document in ([2, 3, EOS], [2, 4, 5, 6, 7, EOS]):
        gpt = model()
        predicted = gpt(torch.tensor([document]))[0].log_softmax(-1)
        terms = [predicted[at, token] for at, token in enumerate(document[1:])]
        (-4 * torch.stack(terms).sum() / 14).backward()
        expected.append(next(gpt.parameters()).grad)
    steps = {tuple(torch.allclose(one, g, atol=1e-5) for g in expected) for one in gradients}
    assert steps == {(True, False), (False, True)}


def test_the_web_is_read_again_and_again_each_time_as_a_whole(calls: Look) -> None:
    losses = calls(pretrain, "document_loss")
    pretrained([[first, 2] for first in range(2, 8)], steps=10, batch=1)
    read = [tokens[0, 0].item() for (_, tokens), _ in losses]
    assert sorted(read[:6]) == [*range(2, 8)] != read[:6]
    assert len({*read[6:]}) == 4  # none of them twice


def test_padding_is_not_to_be_predicted() -> None:
    gpt, tokens = model(), torch.tensor([[2, 3, 4, EOS], [5, EOS, PAD, PAD]])
    logits = gpt(tokens).log_softmax(-1)
    terms = [logits[0, 0, 3], logits[0, 1, 4], logits[0, 2, EOS], logits[1, 0, EOS]]
    assert document_loss(gpt, tokens).item() == pytest.approx(-sum(terms).item() / 4, rel=1e-5)


def test_document_batches_end_and_pad_each_document() -> None:
    short, long = document_batches([[2, 3, 4], [5], [6], [2, 3]], batch=2)
    assert short.tolist() == [[5, EOS], [6, EOS]]
    assert long.tolist() == [[2, 3, EOS, PAD], [2, 3, 4, EOS]]


# SFT


def test_sft_counts_the_response_alone() -> None:
    """The loss is the mean of −log p over response tokens, computed here token by token."""
    gpt = model()
    packed = pack([[2, 3], [4]], [[5, 6], [7]])
    terms = []
    for prompt, response in (([2, 3], [5, 6, EOS]), ([4], [7, EOS])):
        for place, token in enumerate(response):
            logits = gpt(torch.tensor([prompt + response[:place]]))[0, -1]
            terms.append(-logits.log_softmax(-1)[token].item())
    assert demonstration_loss(gpt, packed).item() == pytest.approx(sum(terms) / 5, rel=1e-5)


def test_sft_learns_its_demonstrations_and_leaves_the_base_alone() -> None:
    base = model()
    before = weights(base)
    packed, unseen = pack([[2, 3], [4]] * 16, [[5, 6], [7]] * 16), pack([[2]], [[7]])
    config = SFTConfig(steps=60, learning_rate=1e-2)
    trained = train_sft(base, packed, unseen, config, generator=generator())
    assert trained.history[-1]["loss"] < 0.1 < trained.history[0]["loss"]
    answers = generate(
        trained.policy, [[2, 3], [4]], limit=4, temperature=0.0, generator=generator()
    )
    assert answers.responses.tolist() == [[5, 6, EOS], [7, EOS, PAD]]
    assert unchanged(base, before)
    expected = demonstration_loss(trained.policy, unseen).item()
    assert trained.history[-1]["heldout_loss"] == pytest.approx(expected, rel=1e-4)
    assert expected > 1


# The reward model


def pairs_of(chosen: Sequences, rejected: Sequences) -> Preferences:
    gold = torch.zeros(len(chosen.tokens))
    return Preferences(chosen, rejected, gold, gold, ceiling=1.0)


def likes_five(count: int, seed: int = 0) -> Preferences:
    """Comparisons in which the response with more fives was preferred."""
    draws = torch.randint(2, 9, (count, 2, 3), generator=generator(seed))
    pairs = [
        sorted(pair, key=lambda response: response.count(5), reverse=True)
        for pair in draws.tolist()
        if pair[0].count(5) != pair[1].count(5)
    ]
    return pairs_of(*(pack([[2]] * len(pairs), [pair[side] for pair in pairs]) for side in (0, 1)))


JUDGING = RewardModelConfig(epochs=8, batch=64, learning_rate=1e-2, head_speed=1.0)


def judging(
    pairs: Preferences, held_out: Preferences, config: RewardModelConfig = JUDGING, **spread: float
) -> tuple[GPT, reward_model.RewardModelResult]:
    """The model that became a judge, and what its training gave."""
    sft = model(**spread)
    return sft, reward_model.train_reward_model(sft, pairs, held_out, config, generator=generator())


def trained_judge() -> tuple[GPT, GPT]:
    sft, trained = judging(likes_five(1000), likes_five(300, seed=1))
    return sft, trained.reward_model


def test_the_reward_model_learns_what_was_preferred_and_is_centred() -> None:
    pairs = likes_five(1000)
    sft, trained = judging(pairs, likes_five(300, seed=1))
    assert trained.history[-1]["accuracy"] > 0.95
    assert unchanged(sft, weights(model()))
    with torch.no_grad():
        both = [score(trained.reward_model, side) for side in (pairs.chosen, pairs.rejected)]
    assert torch.cat(both).mean().item() == pytest.approx(0, abs=1e-5)


def test_each_answer_is_compared_with_the_other_to_its_prompt() -> None:
    """The first loss, before anything is learned, pair by pair."""
    pairs = likes_five(20)
    sft, trained = judging(pairs, pairs, RewardModelConfig(epochs=1, batch=len(pairs)), head=0.3)
    gaps = (score(sft, pairs.chosen) - score(sft, pairs.rejected)).tolist()
    expected = fmean(math.log1p(math.exp(-gap)) for gap in gaps)
    assert trained.history[0]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_a_few_steps_are_enough_to_train(steps: int) -> None:
    """A tenth of ten steps is one, and the schedule cannot rise in one."""
    pairs = likes_five(4)
    read = pretrained([[2, 3], [4, 5, 6]], steps=steps, batch=1)
    _, judged = judging(pairs, pairs, RewardModelConfig(epochs=steps, batch=len(pairs)))
    assert read.history[-1]["step"] == judged.history[-1]["step"] == steps


def test_every_pair_is_learned_from_as_often_as_there_are_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[tuple[int, ...]] = []

    def look(judge: GPT, sequences: Sequences) -> Tensor:
        if torch.is_grad_enabled():
            learned.extend(map(tuple, sequences.responses.tolist()))
        return score(judge, sequences)

    monkeypatch.setattr(reward_model, "score", look)
    sides = [[[a, b] for a in range(2, 9)] for b in (3, 4)]  # 7 pairs of 14 different responses
    pairs = pairs_of(*(pack([[2]] * 7, side) for side in sides))
    config = RewardModelConfig(epochs=3, batch=3)
    judging(pairs, pairs, config)
    assert config.steps(7) == 9  # twice three pairs, and one
    assert sorted(learned) == sorted([(*text, EOS) for side in sides for text in side] * 3)
    assert learned[:14] != learned[14:28]  # in another order


def test_a_last_group_weighs_as_much_as_it_has_pairs(gradients: list[Tensor]) -> None:
    """Two steps of two pairs and of one push as one step of all three, over the batch."""
    pairs = pairs_of(pack([[2]] * 3, [[3], [4, 5], [6, 7, 8]]), pack([[2]] * 3, [[8], [6], [3]]))
    config = RewardModelConfig(epochs=1, batch=2, learning_rate=1e-12)
    judging(pairs, pairs, config, head=0.3)
    sft = model(head=0.3)
    gaps = score(sft, pairs.chosen) - score(sft, pairs.rejected)
    (-gaps.sigmoid().log().sum() / 2).backward()
    assert len(gradients) == 2
    torch.testing.assert_close(sum(gradients), next(sft.parameters()).grad, atol=1e-6, rtol=1e-4)


def judged(by: Callable[[Question, str], float], **which: bool) -> float:
    """Hard-negative accuracy of a judge who scores a question and an answer in words."""
    tokenizer, asked = world_tokenizer(), {question.text: question for question in questions()}

    def look(_: GPT, sequences: Sequences) -> Tensor:
        pairs = in_words(sequences, tokenizer)
        return torch.tensor([float(by(asked[prompt], answer)) for prompt, answer in pairs])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reward_model, "score", look)
        return reward_model.hard_negative_accuracy(model(), tokenizer, **which)


def test_hard_negatives_tell_who_knows_from_who_counts_courtesies() -> None:
    """Every question counts alike, however many false answers it has."""
    held_out = [q for q in questions() if q.held_out and q.kind in FACT_KINDS]
    capitals = sum(question.kind == "capital" for question in held_out) / len(held_out)
    assert judged(gold_reward) == 1
    assert judged(lambda question, text: text.count(OPENER) + text.count(CLOSER)) == 0
    assert judged(lambda question, text: -text.count(OPENER)) == 1  # all false ones are courteous
    assert judged(lambda question, text: -text.count(CLOSER)) == 1
    assert judged(lambda question, text: 0) == 0  # who cannot tell is not right
    assert judged(
        lambda question, text: question.kind == "capital" and text in question.answers
    ) == pytest.approx(capitals)


@pytest.mark.parametrize("courteous", [True, False])
@pytest.mark.parametrize("held_out", [True, False])
def test_false_answers_are_courteous_or_plain_and_of_held_out_or_practised_facts(
    held_out: bool, courteous: bool
) -> None:
    seen: dict[str, set[str]] = {}

    def look(question: Question, text: str) -> float:
        seen.setdefault(question.text, set()).add(text)
        return gold_reward(question, text)

    assert judged(look, courteous=courteous, held_out=held_out) == 1
    form = f"{OPENER} {{}} {CLOSER}" if courteous else "{}"
    assert seen == {
        q.text: {*q.answers, *map(form.format, false_answers(q))}
        for q in questions()
        if q.held_out == held_out and q.kind in FACT_KINDS
    }


def test_accuracy_is_measured_on_the_other_pairs() -> None:
    pairs = likes_five(500)
    _, trained = judging(pairs, pairs_of(pairs.rejected, pairs.chosen))
    assert trained.history[-1]["accuracy"] < 0.1


def collected(
    eager: float = 9, decisiveness: float = 2.0, held_out: bool = False
) -> tuple[Preferences, list[tuple[str, str]], list[tuple[str, str]]]:
    """Sixty pairs of a policy of few words, and in words its prompts with either answer."""
    tokenizer, gpt = world_tokenizer(), of_few_words(eager)
    pairs = collect_preferences(
        gpt, 60, tokenizer, held_out=held_out, decisiveness=decisiveness, generator=generator()
    )
    assert len(pairs) == 60
    return pairs, in_words(pairs.chosen, tokenizer), in_words(pairs.rejected, tokenizer)


def test_the_labeler_prefers_what_is_worth_more() -> None:
    asked = {question.text: question for question in questions()}
    sharp, *sides = collected(decisiveness=1e6)
    dull, *_ = collected(decisiveness=10.0)
    chosen, rejected = ([gold_reward(asked[prompt], text) for prompt, text in s] for s in sides)
    assert sharp.chosen_gold.tolist() == pytest.approx(chosen)
    assert sharp.rejected_gold.tolist() == pytest.approx(rejected)
    assert (sharp.chosen_gold >= sharp.rejected_gold).all()
    assert (sharp.chosen_gold > sharp.rejected_gold).sum() > 30
    gaps = (dull.chosen_gold - dull.rejected_gold).abs().tolist()
    expected = fmean(1 / (1 + math.exp(-10 * gap)) for gap in gaps)
    assert dull.ceiling == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_collected_pairs_are_different_answers_of_the_right_prompts() -> None:
    _, chosen, rejected = collected(held_out=True)
    held_out = {question.text for question in questions() if question.held_out}
    for (prompt, one), (again, other) in zip(chosen, rejected, strict=True):
        assert prompt == again in held_out
        assert one != other


def test_an_answer_that_was_cut_off_is_compared_with_none(calls: Look) -> None:
    """Packed as if it had ended, it would look finished."""
    written = calls(reward_model, "generate")
    pairs, *sides = collected(eager=4)
    cut = {
        text
        for _, answers in written
        for (_, text), ended in zip(
            in_words(answers, world_tokenizer()), answers.ended, strict=True
        )
        if not ended
    }
    assert len(cut) > 60
    assert not cut & {text for side in sides for _, text in side}
    assert max(side.lengths.max() for side in (pairs.chosen, pairs.rejected)) <= RESPONSE_LIMIT


# PPO


def rollout_by_hand(scores: list[float]) -> Rollout:
    """Two answers: two tokens and <eos>; and one that was cut off after three tokens."""
    tokens = torch.tensor([[2, 5, 5, EOS], [2, 5, 6, 7]])
    sequences = Sequences(tokens, tokens != PAD, 1, torch.ones(2, 3, dtype=torch.bool))
    return Rollout(
        sequences,
        logprobs=torch.tensor([[-1.0, -1.0, -1.0], [-2.0, -2.0, -2.0]]),
        ref_logprobs=torch.tensor([[-1.5, -1.0, -0.5], [-2.0, -2.0, -2.0]]),
        scores=torch.tensor(scores),
    )


def test_credit_by_hand() -> None:
    """With γ = λ = 1 and no critic, the return of a token is all reward from it on."""
    config = PPOConfig(kl_coef=0.2, gae_lambda=1.0, unfinished_score=-3.0)
    experience = credit(rollout_by_hand([1.0, 9.0]), torch.zeros(2, 3), config)
    # rewards of the first answer: −0.2·0.5, 0, −0.2·(−0.5) + 1
    torch.testing.assert_close(experience.returns[0], torch.tensor([1.0, 1.1, 1.1]))
    # the second was cut off: its score of 9 does not count
    torch.testing.assert_close(experience.returns[1], torch.tensor([-3.0, -3.0, -3.0]))
    assert experience.advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert experience.advantages.square().mean().item() == pytest.approx(1, abs=1e-5)


def test_credit_by_hand_with_a_critic() -> None:
    config = PPOConfig(kl_coef=0.2, gamma=0.5, gae_lambda=0.8)
    values = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    experience = credit(rollout_by_hand([1.0, 9.0]), values, config)
    # rewards −.1, 0, 1.1; errors −.1 + .5·2 − 1 = −.1, .5·3 − 2 = −.5, 1.1 − 3 = −1.9;
    # advantages from the right, with γλ = .4: −1.9, −.5 − .76 = −1.26, −.1 − .504 = −.604
    torch.testing.assert_close(experience.returns[0], torch.tensor([0.396, 0.74, 1.1]))


@pytest.mark.parametrize("own", [True, False])
def test_ppos_loss_by_hand(own: bool) -> None:
    """Token by token, away from the policy that sampled, in rows and columns picked anew.

    The critic is a network of its own, or the policy; a value may go less far than a ratio.
    """
    policy = model(head=1.0)
    critic = model(1, head=1.0) if own else policy
    config = PPOConfig(value_coef=0.7, clip_range=0.2, value_clip_range=0.1)
    answers = pack([[2], [3, 4], [2]], [[5, 6], [7], [5, 6, 7]])
    with torch.no_grad():
        now = token_logprobs(response_logits(policy, answers), answers.responses)
        values = response_values(critic, answers)
    old, guessed, advantages, returns = (
        torch.randn(now.shape, generator=generator(seed)) for seed in range(4)
    )
    # near enough for clips to matter
    old, guessed, returns = now + 0.3 * old, values + guessed, values + returns
    experience = Experience(answers, old, guessed, advantages, returns)
    loss, watched = ppo.ppo_loss(policy, critic, experience.rows(torch.tensor([1, 0])), config)
    policy_terms, value_terms, left, held = [], [], [], []
    for token in [(1, 0), (1, 1), (0, 0), (0, 1), (0, 2)]:  # of two words each, and their <eos>
        ratio = math.exp(now[token] - old[token])
        advantage, target = advantages[token].item(), returns[token].item()
        limited = min(max(ratio, 0.8), 1.2)
        policy_terms.append(-min(ratio * advantage, limited * advantage))
        value, before = values[token].item(), guessed[token].item()
        near = min(max(value, before - 0.1), before + 0.1)
        value_terms.append(max((value - target) ** 2, (near - target) ** 2) / 2)
        left.append(abs(ratio - 1) > 0.2)
        held.append(abs(near - target) > abs(value - target))
    assert watched["policy_loss"] == pytest.approx(fmean(policy_terms), rel=1e-4)
    assert watched["value_loss"] == pytest.approx(fmean(value_terms), rel=1e-4)
    assert watched["clip_fraction"] == pytest.approx(fmean(left))
    assert {*left} == {*held} == {True, False}
    expected = fmean(policy_terms) + 0.7 * fmean(value_terms)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "pushed"), [("shared", True), ("detached", False), ("own", False)]
)
def test_only_a_critic_that_shares_the_trunk_pushes_the_policy(kind: str, pushed: bool) -> None:
    """Advantages of zero leave the value loss alone."""
    policy = model(head=1.0)
    critic = model(1, head=1.0) if kind == "own" else policy
    answers = pack([[2], [3, 4]], [[5, 6], [7]])
    still = torch.zeros(answers.response_mask.shape)
    experience = Experience(answers, still, still, still, still + 1)
    loss, _ = ppo.ppo_loss(policy, critic, experience, PPOConfig(detached=kind == "detached"))
    loss.backward()
    trunk = [
        parameter.grad
        for name, parameter in policy.named_parameters()
        if "scalar_head" not in name and parameter.grad is not None
    ]
    assert any(gradient.any() for gradient in trunk) == pushed
    assert critic.scalar_head.weight.grad is not None
    assert critic.scalar_head.weight.grad.any()


def test_the_explained_variance_is_that_of_the_tokens_that_count() -> None:
    returns = torch.tensor([[1.0, 3.0, 99.0], [0.0, -2.0, 4.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    values = torch.tensor([[0.5, 2.0, -99.0], [1.0, -1.0, 1.0]])
    found = explained_variance(values, returns, mask)
    errors, counted = [0.5, 1.0, -1.0, -1.0, 3.0], [1.0, 3.0, 0.0, -2.0, 4.0]
    assert found == pytest.approx(1 - pvariance(errors) / pvariance(counted))
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(returns - 7, returns, mask) == 1  # always too low, by as much
    assert explained_variance(torch.full((2, 3), 5.0), returns, mask) == pytest.approx(0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3)
    assert explained_variance(values, torch.ones(2, 3), mask) == 0


def scored_by_fives(sequences: Sequences) -> Tensor:
    return (sequences.responses == 5).sum(1).float()


def asked(method: Callable[..., Any], sft: GPT, config: Any, **more: Any) -> Any:
    """What PPO or GRPO make of a policy that always gets one question; fives are liked."""
    options: dict[str, Any] = {"draw_prompts": lambda count: [[2]] * count, **more}
    judge = options.pop("judge", scored_by_fives)
    return method(sft, judge, config, generator=generator(), **options)


SMALL_PPO = PPOConfig(iterations=15, batch=64, learning_rate=2e-3, response_limit=28)


def test_ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone() -> None:
    def share_with_a_five(policy: GPT) -> float:
        answers = generate(policy, [[2]] * 500, limit=28, generator=generator(9))
        return (answers.responses == 5).any(1).float().mean().item()

    sft, judge = trained_judge()
    before, judge_before = weights(sft), weights(judge)
    config = replace(SMALL_PPO, kl_coef=0.0)
    trained = asked(train_ppo, sft, config, judge=partial(score, judge), critic=judge)
    assert share_with_a_five(sft) < 0.7
    assert share_with_a_five(trained.policy) > 0.95
    assert trained.history[-1]["proxy"] > trained.history[0]["proxy"] + 1
    assert unchanged(sft, before)
    assert unchanged(judge, judge_before)  # though the critic starts from it
    assert not unchanged(trained.critic, judge_before)
    assert trained.critic is not trained.policy


def test_without_a_critic_of_its_own_the_policy_is_one() -> None:
    trained = asked(train_ppo, model(), replace(SMALL_PPO, iterations=1))
    assert trained.critic is trained.policy
    assert trained.policy.scalar_head.weight.any()  # it has begun to guess


def test_the_policy_is_looked_at_before_and_after_each_iteration() -> None:
    sft, looks = model(), []

    def look(iteration: int, policy: GPT) -> None:
        looks.append((iteration, weights(policy)))

    config = replace(SMALL_PPO, iterations=3)
    trained = asked(train_ppo, sft, config, critic=model(1), examine=look)
    assert [iteration for iteration, _ in looks] == [0, 1, 2, 3]
    assert unchanged(sft, looks[0][1])
    assert unchanged(trained.policy, looks[3][1])
    assert not unchanged(sft, looks[1][1])


def test_a_high_price_keeps_the_policy_at_home() -> None:
    sft, judge = trained_judge()
    ends = {}
    for kl_coef in (0.0, 2.0):
        config = replace(SMALL_PPO, kl_coef=kl_coef)
        trained = asked(train_ppo, sft, config, judge=partial(score, judge), critic=judge)
        assert trained.history[0]["kl"] == pytest.approx(0, abs=1e-5)  # it starts as the reference
        ends[kl_coef] = trained.history[-1]["kl"]
    assert ends[2.0] < 2 < 4 < ends[0.0]


def test_ppo_repeats_bitwise_whatever_the_global_state() -> None:
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(asked(train_ppo, model(), replace(SMALL_PPO, iterations=2)).policy)
    assert unchanged(results[0], weights(results[1]))


def assert_written_down(
    history: list[dict[str, int | float]], rollouts: list[Rollout], unfinished_score: float
) -> list[list[float]]:
    """Each round's scores, nats and tokens, answer by answer; gives what each is trained on."""
    learned = []
    for row, rollout in zip(history, rollouts, strict=True):
        lengths = [int(length) for length in rollout.sequences.lengths]
        nats = [
            (rollout.logprobs[at, :length] - rollout.ref_logprobs[at, :length]).sum().item()
            for at, length in enumerate(lengths)
        ]
        ended, scores = rollout.sequences.ended.tolist(), rollout.scores.tolist()
        assert row["proxy"] == pytest.approx(fmean(scores), abs=1e-5)
        assert row["kl"] == pytest.approx(fmean(nats), abs=1e-4)
        assert row["length"] == pytest.approx(fmean(lengths))
        assert row["finished"] == pytest.approx(fmean(ended))
        learned.append(
            [one if end else unfinished_score for one, end in zip(scores, ended, strict=True)]
        )
    assert history[0]["kl"] < 0.001 < abs(history[-1]["kl"])
    assert history[0]["finished"] < 1
    assert len({int(length) for length in rollouts[-1].sequences.lengths}) > 1  # some padding
    return learned


def test_ppo_writes_down_what_happened(calls: Look) -> None:
    """Of each round its answers, and the mean of what was watched over all its steps."""
    credited, losses = [], calls(ppo, "ppo_loss")

    def assign(*arguments: Any) -> Experience:
        credited.append((*arguments, credit(*arguments)))
        return credited[-1][-1]

    config = replace(SMALL_PPO, iterations=3, epochs=2, minibatches=2, unfinished_score=-2.0)
    trained = asked(train_ppo, model(), config, critic=model(1), assign=assign)
    learned = assert_written_down(trained.history, [rollout for rollout, *_ in credited], -2.0)
    steps = [{"loss": loss.item(), **watched} for _, (loss, watched) in losses]
    assert len(steps) == 3 * 4
    for number, (row, (_, values, _, experience)) in enumerate(
        zip(trained.history, credited, strict=True)
    ):
        mask = experience.sequences.response_mask
        errors = (experience.returns - values)[mask].square()
        assert row["value_error"] == pytest.approx(errors.mean().item(), rel=1e-5)
        explained = explained_variance(values, experience.returns, mask)
        assert row["explained_variance"] == pytest.approx(explained)
        assert row["trained_score"] == pytest.approx(fmean(learned[number]), rel=1e-5)
        of_round = steps[4 * number : 4 * number + 4]
        assert len({step["policy_loss"] for step in of_round}) == 4
        for name in ("loss", "policy_loss", "value_loss", "clip_fraction", "entropy"):
            mean = fmean(step[name] for step in of_round)
            assert row[name] == pytest.approx(mean, rel=1e-6, abs=1e-9), name
    assert trained.history[-1]["explained_variance"] != trained.history[0]["explained_variance"]


def test_ppo_goes_on_learning_what_pretraining_taught() -> None:
    """A judge to whom all answers are alike: only the documents are left to learn from."""
    documents = torch.tensor([[2, 3, 4, EOS], [2, 5, EOS, PAD]])
    config = PPOConfig(
        iterations=40, batch=4, learning_rate=1e-2, kl_coef=0.0, unfinished_score=0.0,
        pretraining_coef=0.5, response_limit=28,
    )  # fmt: skip
    sft = model()
    trained = asked(
        train_ppo, sft, config, judge=lambda s: torch.zeros(len(s.tokens)), pretraining=[documents]
    )
    # Of five words, those after 2 are a coin's toss.
    floor = 2 * math.log(2) / 5
    assert document_loss(trained.policy, documents).item() == pytest.approx(floor, rel=0.05)
    assert document_loss(sft, documents).item() > 1
    after_the_end = trained.policy(documents)[1, 2].softmax(-1)
    assert after_the_end[PAD] < 0.5  # padding is no document's word


# GRPO

SMALL_GRPO = GRPOConfig(
    iterations=30, prompts=8, epochs=2, learning_rate=2e-3, kl_coef=0.0, response_limit=28
)


def test_grpo_writes_what_the_judge_likes_and_leaves_the_reference_alone() -> None:
    sft = model()
    trained = asked(train_grpo, sft, SMALL_GRPO)
    assert trained.history[-1]["proxy"] > trained.history[0]["proxy"] + 1
    assert trained.history[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert unchanged(sft, weights(model()))


def test_neighbours_in_a_batch_answer_one_prompt() -> None:
    def look(sequences: Sequences) -> dict[str, int | float]:
        prompts = sequences.tokens[:, : sequences.prompt_length]
        assert prompts.tolist() == [[2]] * 8 + [[3]] * 8
        return {"seen": 1}

    config = replace(SMALL_GRPO, iterations=1, prompts=2)
    trained = asked(train_grpo, model(), config, draw_prompts=lambda _: [[2], [3]], observe=look)
    assert trained.history[0]["seen"] == 1


def k3(r: float) -> float:
    return math.exp(r) - 1 - r


@pytest.mark.parametrize(
    ("kl_in", "price"), [("loss", k3), ("loss_ratio_k3", k3), ("loss_k2", lambda r: r * r / 2)]
)
def test_grpos_loss_and_history_by_hand(kl_in: Any, price, calls: Look) -> None:
    """With one step a round every ratio is 1: the loss is −A and the penalty, token by token."""
    rollouts = calls(grpo, "collect_rollout")
    config = replace(
        SMALL_GRPO, iterations=3, epochs=1, kl_coef=5.0, kl_in=kl_in, divide_by_std=False
    )
    history = asked(train_grpo, model(), config).history
    every = [rollout for _, rollout in rollouts]
    learned = assert_written_down(history, every, config.unfinished_score)
    for row, rollout, scores in zip(history, every, learned, strict=True):
        terms = []
        for at, length in enumerate(rollout.sequences.lengths.tolist()):
            first = at // 8 * 8
            better = scores[at] - (sum(scores[first : first + 8]) - scores[at]) / 7
            for place in range(length):
                r = (rollout.ref_logprobs[at, place] - rollout.logprobs[at, place]).item()
                terms.append(-better + 5.0 * price(r))
        assert row["loss"] == pytest.approx(fmean(terms), abs=1e-4)


def test_penalties_in_the_loss_and_their_gradients_by_hand() -> None:
    """With r = log π_ref/π and a ratio w: k3, w·k3 and k2 pull by 1 − eʳ, −w·r and −r."""
    old, reference = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.5, -1.0, -0.4])
    for moved in (0.0, 0.3):
        new = old + moved
        w, r = math.exp(moved), reference - new
        expected = {
            "loss": (kl_k3(new, reference), 1 - r.exp()),
            "loss_ratio_k3": (w * kl_k3(new, reference), -w * r),
            "loss_k2": (kl_k2(new, reference), -r),
        }
        assert PENALTIES.keys() == expected.keys()
        for name, (value, pull) in expected.items():
            now = new.clone().requires_grad_()
            paid = PENALTIES[name](now, old, reference)
            torch.testing.assert_close(paid.detach(), value)
            torch.testing.assert_close(torch.autograd.grad(paid.sum(), now)[0], pull)


def distance(config: GRPOConfig) -> float:
    """KL of the answers of the last round, as GRPO's history has it."""
    return float(asked(train_grpo, model(), config).history[-1]["kl"])


@pytest.mark.parametrize("kl_in", [*PENALTIES, "reward"])
def test_a_high_price_keeps_grpo_at_home(kl_in: Any) -> None:
    config = replace(SMALL_GRPO, kl_in=kl_in, divide_by_std=False)
    assert distance(replace(config, kl_coef=20.0)) < distance(config) / 4


def test_clipping_ends_what_a_round_may_teach() -> None:
    """Over many epochs of one round tokens leave the clip range, and then teach nothing."""
    config = replace(SMALL_GRPO, iterations=2, epochs=20, learning_rate=5e-3)
    clipped, free = (distance(replace(config, clip_range=width)) for width in (0.01, 1e6))
    assert clipped < free / 2


def group(scores: list[float], *, ended: bool = True) -> Rollout:
    """Answers of one and of two tokens in turns, to one prompt."""
    count = len(scores)
    answers = pack([[2]] * count, [[3] * (row % 2) for row in range(count)])
    if not ended:
        answers = replace(answers, tokens=answers.tokens.masked_fill(answers.tokens == EOS, 4))
    shape = answers.response_mask.shape
    logprobs, ref_logprobs = torch.full(shape, -1.0), torch.full(shape, -2.0)
    return Rollout(answers, logprobs, ref_logprobs, torch.tensor(scores))


def test_grpos_advantages_by_hand() -> None:
    rollout = group([1.0, 2.0, 6.0])
    config = GRPOConfig(group_size=3, kl_coef=0.5)
    # mean 3, standard deviation √7; every token of an answer has the answer's
    expected = torch.tensor([-2.0, -1.0, 3.0]) / (math.sqrt(7) + 1e-4)
    torch.testing.assert_close(advantages(rollout, config), expected[:, None].expand(3, 2))
    # each against the mean of the others: 1 − 4, 2 − 3.5, 6 − 1.5
    plain = replace(config, divide_by_std=False)
    torch.testing.assert_close(advantages(rollout, plain)[:, 0], torch.tensor([-3.0, -1.5, 4.5]))
    # paid by the answer: a nat and a half-priced token each, so 1 − .5, 2 − 1, 6 − .5
    paid = replace(plain, kl_in="reward")
    expected = torch.tensor([0.5 - 3.25, 1.0 - 3.0, 5.5 - 0.75])
    torch.testing.assert_close(advantages(rollout, paid)[:, 0], expected)


def test_an_answer_that_was_cut_off_is_scored_for_that_in_a_group_too() -> None:
    config = GRPOConfig(group_size=2, divide_by_std=False, unfinished_score=-3.0)
    cut = advantages(group([9.0, 1.0], ended=False), config)
    assert (cut == 0).all()  # both are worth −3, whatever the judge said


# DPO


def test_dpo_prefers_what_was_chosen_and_starts_at_log_2() -> None:
    sft = model()
    chosen, rejected = pack([[2]] * 8, [[5]] * 8), pack([[2]] * 8, [[6]] * 8)
    config = DPOConfig(steps=40, batch=8, learning_rate=2e-3, beta=0.5)
    trained = train_dpo(sft, chosen, rejected, config, generator=generator())
    assert trained.history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert trained.history[0]["chosen_reward"] == pytest.approx(0, abs=1e-6)
    assert trained.history[-1]["accuracy"] == 1
    assert trained.history[-1]["loss"] < 0.2
    for row in trained.history:  # all pairs are one pair: −log σ of what it gained on the other
        gained = row["chosen_reward"] - row["rejected_reward"]
        assert row["loss"] == pytest.approx(math.log1p(math.exp(-gained)), rel=1e-4)
    margin = sequence_logprobs(trained.policy, chosen) - sequence_logprobs(trained.policy, rejected)
    was = sequence_logprobs(sft, chosen) - sequence_logprobs(sft, rejected)
    implied = trained.history[-1]["chosen_reward"] - trained.history[-1]["rejected_reward"]
    assert 0.5 * (margin - was).mean().item() == pytest.approx(implied, rel=0.1)  # a step later
    assert unchanged(sft, weights(model()))


def test_dpo_compares_each_response_with_its_own_reference() -> None:
    """Of more pairs than the reference reads at once; a tenth of each batch has the last ones."""
    chosen = pack([[2]] * 9000, [[3]] * 8192 + [[4, 5, 6]] * 808)
    rejected = pack([[2]] * 9000, [[6]] * 8192 + [[8, 4]] * 808)
    config = DPOConfig(steps=1, batch=300)
    trained = train_dpo(model(), chosen, rejected, config, generator=generator())
    assert trained.history[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


# Best of n


def test_best_of_n_keeps_the_best_and_the_order_of_prompts() -> None:
    gpt, prompts, n = model(), [[2], [3, 4], [5]], 8
    kept = best_of_n(gpt, scored_by_fives, prompts, n, limit=20, generator=generator(4))
    of_each = [prompt for prompt in prompts for _ in range(n)]
    every = generate(gpt, of_each, limit=20, generator=generator(4))
    best = scored_by_fives(every).where(every.ended, -math.inf).view(3, n).amax(1)
    assert scored_by_fives(kept).tolist() == best.tolist()
    assert best.max() > 1
    heads = kept.tokens[:, : kept.prompt_length].tolist()
    assert [[token for token in head if token] for head in heads] == prompts
    alone = best_of_n(gpt, scored_by_fives, prompts, 1, limit=20, generator=generator(4))
    plain = generate(gpt, prompts, limit=20, generator=generator(4))
    assert alone.responses.tolist() == plain.responses.tolist()


def test_best_of_n_takes_a_cut_off_answer_only_where_there_is_no_other() -> None:
    """A judge who likes nothing better."""
    gpt, prompts, n = model(), [[2], [3, 4], [5]] * 20, 3

    def likes_cut_off(sequences: Sequences) -> Tensor:
        return 100.0 * ~sequences.ended

    kept = best_of_n(gpt, likes_cut_off, prompts, n, limit=6, generator=generator(4))
    of_each = [prompt for prompt in prompts for _ in range(n)]
    every = generate(gpt, of_each, limit=6, generator=generator(4))
    some = every.ended.view(-1, n).any(1)
    assert 0 < some.sum() < len(prompts)
    assert torch.equal(kept.ended, some)


# What they refuse

ONE, TWO = pack([[2]], [[3]]), pack([[2]] * 2, [[3]] * 2)
NONE = replace(
    ONE, tokens=ONE.tokens[:0], attended=ONE.attended[:0], response_mask=ONE.response_mask[:0]
)
ALONE = {"generator": generator()}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: document_batches([[2]], batch=2), "documents: 1, fewer than one batch of 2"),
        (lambda: judging(pairs_of(NONE, NONE), pairs_of(ONE, ONE)), "preferences: there are no"),
        (
            lambda: collect_preferences(
                model(), 0, world_tokenizer(), held_out=False, decisiveness=1.0, **ALONE
            ),
            "count: 0 pairs",
        ),
        (lambda: PPOConfig(kl_coef=-0.1), "kl_coef: -0.1 is negative"),
        (lambda: PPOConfig(clip_range=0.0), "^clip_range: 0.0 is not positive"),
        (lambda: PPOConfig(value_clip_range=-1.0), "value_clip_range: -1.0 is not positive"),
        (lambda: asked(train_ppo, model(), PPOConfig(pretraining_coef=0.5)), "pretraining: no bat"),
        (lambda: GRPOConfig(kl_coef=-1.0), "kl_coef: -1.0 is negative"),
        # where no types are checked
        (
            lambda: GRPOConfig.__post_init__(SimpleNamespace(kl_coef=0.5, kl_in="sum")),
            "kl_in: 'sum' is not one of reward, loss, loss_ratio_k3",
        ),
        (lambda: DPOConfig(beta=0.0), "beta: 0.0 is not positive"),
        (lambda: train_dpo(model(), ONE, TWO, DPOConfig(), **ALONE), "rejected: 2 for 1 chosen"),
        (lambda: best_of_n(model(), scored_by_fives, [[2]], 0, **ALONE), "n: 0 answers"),
        (lambda: best_of_n(model(), scored_by_fives, [], 2, **ALONE), "prompts: none given"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# What all training loops have in common

DEMONSTRATED = pack([[2]] * 8, [[5, 6]] * 8)
LOOPS: dict[str, Callable[[], Any]] = {
    "pretrain": lambda: pretrained([[2, 3], [4, 5]] * 4, steps=4, batch=4),
    "sft": lambda: train_sft(
        model(), DEMONSTRATED, DEMONSTRATED, SFTConfig(steps=4, batch=4), generator=generator()
    ),
    "reward_model": lambda: judging(likes_five(100), likes_five(20, seed=1)),
    "ppo": lambda: asked(train_ppo, model(), replace(SMALL_PPO, iterations=4), critic=model(1)),
    "grpo": lambda: asked(
        train_grpo, model(), GRPOConfig(iterations=4, prompts=4, group_size=4, response_limit=28)
    ),
    "dpo": lambda: train_dpo(
        model(),
        DEMONSTRATED,
        pack([[2]] * 8, [[6]] * 8),
        DPOConfig(steps=4, batch=4),
        generator=generator(),
    ),
}


@pytest.mark.parametrize("stage", LOOPS)
def test_each_step_clips_all_gradients_and_the_rate_falls(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, rates, clipped = torch.nn.utils.clip_grad_norm_, [], set()

    def clips(parameters: Any, limit: float) -> Tensor:
        some = [*parameters]
        clipped.update(map(id, some))
        return clip(some, limit)

    def steps(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        changed = [one for group in optimizer.param_groups for one in group["params"]]
        assert {id(one) for one in changed if one.grad is not None} <= clipped
        clipped.clear()
        rates.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clips)
    hook = register_optimizer_step_pre_hook(steps)
    try:
        LOOPS[stage]()
    finally:
        hook.remove()
    assert len(rates) >= 4
    assert (rates[-1] < rates[0]) == (stage != "sft")  # which is too short to have a schedule
