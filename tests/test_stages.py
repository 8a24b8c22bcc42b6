"""The stages: each learns what it should, changes only its own copy, and refuses bad input."""

import copy
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from small_models import SHAPE, generator, model, of_few_words, unchanged, weights
from torch import Tensor

from rlhf_explained.formulas import kl_k2, kl_k3, token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import (
    Rollout,
    Sequences,
    collect_rollout,
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
from rlhf_explained.stages.ppo import (
    Experience,
    PPOConfig,
    credit,
    explained_variance,
    ppo_loss,
    train_ppo,
)
from rlhf_explained.stages.pretrain import (
    PretrainConfig,
    document_batches,
    document_loss,
    train_pretrained,
)
from rlhf_explained.stages.reward_model import (
    Preferences,
    RewardModelConfig,
    collect_preferences,
    hard_negative_accuracy,
    train_reward_model,
)
from rlhf_explained.stages.sft import SFTConfig, demonstration_loss, train_sft
from rlhf_explained.world.corpus import CLOSER, OPENER, false_answers
from rlhf_explained.world.labeler import categorise, gold_reward
from rlhf_explained.world.questions import FACT_KINDS, Question, questions
from rlhf_explained.world.tokenizer import EOS, PAD, RESPONSE_LIMIT, world_tokenizer


def test_pretraining_reaches_the_entropy_of_its_corpus() -> None:
    """Two documents, 3 to 1: the only uncertain token costs H(¾) nats, once in three tokens."""
    documents = [[2, 3, 4]] * 48 + [[2, 5, 4]] * 16
    config = PretrainConfig(steps=80, batch=64, learning_rate=2e-2)
    trained = train_pretrained(documents, SHAPE, config, generator=generator())
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert trained.history[-1]["loss"] == pytest.approx(entropy / 3, rel=0.02)


def test_every_token_of_the_web_counts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's gradient is the sum over its tokens, by the mean number of them: 14 here."""
    seen: list[torch.Tensor] = []

    def look(parameters, limit: float) -> None:
        seen.append(next(parameters).grad.clone())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", look)
    documents = [[2, 3]] * 4 + [[2, 4, 5, 6, 7]] * 4
    config = PretrainConfig(steps=6, batch=4, learning_rate=1e-12)  # the model stays as it was
    train_pretrained(documents, SHAPE, config, generator=generator())
    gradients = []
    for document in ([2, 3, EOS], [2, 4, 5, 6, 7, EOS]):
        gpt = model()
        predicted = gpt(torch.tensor([document]))[0].log_softmax(-1)
        terms = [predicted[at, token] for at, token in enumerate(document[1:])]
        (-4 * torch.stack(terms).sum() / 14).backward()
        gradients.append(next(gpt.parameters()).grad)
    steps = {tuple(torch.allclose(one, g, atol=1e-5) for g in gradients) for one in seen}
    assert steps == {(True, False), (False, True)}


def test_the_web_is_read_again_and_again_each_time_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[list[int]] = []

    def look(policy: GPT, tokens: Tensor) -> Tensor:
        read.append(tokens[:, 0].tolist())
        return document_loss(policy, tokens)

    monkeypatch.setattr(pretrain, "document_loss", look)
    documents = [[first, 2] for first in range(2, 8)]
    config = PretrainConfig(steps=10, batch=1)
    train_pretrained(documents, SHAPE, config, generator=generator())
    assert sorted(read[:6]) == [[first] for first in range(2, 8)] != read[:6]
    assert len({first for (first,) in read[6:]}) == 4  # none of them twice


def test_padding_is_not_to_be_predicted() -> None:
    gpt, tokens = model(), torch.tensor([[2, 3, 4, EOS], [5, EOS, PAD, PAD]])
    logits = gpt(tokens).log_softmax(-1)
    terms = [logits[0, 0, 3], logits[0, 1, 4], logits[0, 2, EOS], logits[1, 0, EOS]]
    assert document_loss(gpt, tokens).item() == pytest.approx(-sum(terms).item() / 4, rel=1e-5)


def test_document_batches_end_and_pad_each_document() -> None:
    short, long = document_batches([[2, 3, 4], [5], [6], [2, 3]], batch=2)
    assert short.tolist() == [[5, EOS], [6, EOS]]
    assert long.tolist() == [[2, 3, EOS, PAD], [2, 3, 4, EOS]]


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="documents: 1, fewer than one batch of 2"):
        document_batches([[2]], batch=2)


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
    packed = pack([[2, 3], [4]] * 16, [[5, 6], [7]] * 16)
    config = SFTConfig(steps=60, learning_rate=1e-2)
    trained = train_sft(base, packed, packed, config, generator=generator())
    assert trained.history[-1]["loss"] < 0.1 < trained.history[0]["loss"]
    answers = generate(
        trained.policy, [[2, 3], [4]], limit=4, temperature=0.0, generator=generator()
    )
    assert answers.responses.tolist() == [[5, 6, EOS], [7, EOS, PAD]]
    assert unchanged(base, before)


def test_sft_measures_its_loss_on_what_it_does_not_learn() -> None:
    shown, unseen = pack([[2]] * 32, [[5, 6]] * 32), pack([[2]], [[7]])
    config = SFTConfig(steps=30, learning_rate=1e-2)
    trained = train_sft(model(), shown, unseen, config, generator=generator())
    assert trained.history[-1]["loss"] < 0.1
    expected = demonstration_loss(trained.policy, unseen).item()
    assert trained.history[-1]["heldout_loss"] == pytest.approx(expected, rel=1e-4)
    assert expected > 1


def likes_five(count: int, seed: int = 0) -> Preferences:
    """Comparisons in which the response with more fives was preferred."""
    draws = torch.randint(2, 9, (count, 2, 3), generator=generator(seed))
    pairs = [
        sorted(pair, key=lambda response: response.count(5), reverse=True)
        for pair in draws.tolist()
        if pair[0].count(5) != pair[1].count(5)
    ]
    chosen, rejected = (pack([[2]] * len(pairs), [pair[side] for pair in pairs]) for side in (0, 1))
    gold = torch.zeros(len(pairs))
    return Preferences(chosen, rejected, gold, gold, ceiling=1.0)


JUDGING = RewardModelConfig(epochs=8, batch=64, learning_rate=1e-2, head_speed=1.0)


def trained_judge() -> tuple[GPT, GPT]:
    sft = model()
    trained = train_reward_model(
        sft, likes_five(1000), likes_five(300, seed=1), JUDGING, generator=generator()
    )
    assert trained.history[-1]["accuracy"] > 0.95
    return sft, trained.reward_model


def test_the_reward_model_learns_what_was_preferred_and_is_centred() -> None:
    sft = model()
    before = weights(sft)
    pairs = likes_five(1000)
    trained = train_reward_model(
        sft, pairs, likes_five(300, seed=1), JUDGING, generator=generator()
    )
    assert trained.history[-1]["accuracy"] > 0.95
    assert unchanged(sft, before)
    with torch.no_grad():
        both = torch.cat(
            [score(trained.reward_model, side) for side in (pairs.chosen, pairs.rejected)]
        )
    assert both.mean().item() == pytest.approx(0, abs=1e-5)


def test_each_answer_is_compared_with_the_other_to_its_prompt() -> None:
    """The first loss, before anything is learned, pair by pair."""
    sft, pairs = model(), likes_five(20)
    with torch.no_grad():
        sft.scalar_head.weight.normal_(std=0.3, generator=generator())
        chosen, rejected = score(sft, pairs.chosen), score(sft, pairs.rejected)
    config = RewardModelConfig(epochs=1, batch=len(pairs))
    trained = train_reward_model(sft, pairs, pairs, config, generator=generator())
    gaps = [(a - b).item() for a, b in zip(chosen, rejected, strict=True)]
    expected = sum(math.log1p(math.exp(-gap)) for gap in gaps) / len(gaps)
    assert trained.history[0]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_a_few_steps_are_enough_to_train(steps: int) -> None:
    """A tenth of ten steps is one, and the schedule cannot rise in one."""
    documents, pairs = [[2, 3], [4, 5, 6]], likes_five(4)
    read = train_pretrained(
        documents, SHAPE, PretrainConfig(steps=steps, batch=1), generator=generator()
    )
    config = RewardModelConfig(epochs=steps, batch=len(pairs))
    judged = train_reward_model(model(), pairs, pairs, config, generator=generator())
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
    chosen, rejected = (pack([[2]] * 7, side) for side in sides)
    gold = torch.zeros(7)
    pairs = Preferences(chosen, rejected, gold, gold, ceiling=1.0)
    config = RewardModelConfig(epochs=3, batch=3)
    train_reward_model(model(), pairs, pairs, config, generator=generator())
    assert config.steps(7) == 9  # twice three pairs, and one
    assert sorted(learned) == sorted([(*text, EOS) for side in sides for text in side] * 3)
    assert learned[:14] != learned[14:28]  # in another order


def test_a_last_group_weighs_as_much_as_it_has_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of two pairs and of one push as one step of all three, over the batch."""
    seen: list[Tensor] = []

    def look(parameters, limit: float) -> None:
        seen.append(next(iter(parameters)).grad.clone())

    sft = model()
    with torch.no_grad():
        sft.scalar_head.weight.normal_(std=0.3, generator=generator())
    chosen, rejected = pack([[2]] * 3, [[3], [4, 5], [6, 7, 8]]), pack([[2]] * 3, [[8], [6], [3]])
    pairs = Preferences(chosen, rejected, torch.zeros(3), torch.zeros(3), ceiling=1.0)
    gaps = score(sft, chosen) - score(sft, rejected)
    (-gaps.sigmoid().log().sum() / 2).backward()
    expected = next(sft.parameters()).grad
    assert expected is not None
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", look)
    config = RewardModelConfig(epochs=1, batch=2, learning_rate=1e-12)
    train_reward_model(sft, pairs, pairs, config, generator=generator())
    assert len(seen) == 2
    torch.testing.assert_close(sum(seen), expected, atol=1e-6, rtol=1e-4)


def judged(by, **which: bool) -> float:
    """Hard-negative accuracy of a judge who scores a question and an answer in words."""
    tokenizer, asked = world_tokenizer(), {question.text: question for question in questions()}

    def look(_: GPT, sequences: Sequences) -> Tensor:
        heads = sequences.tokens[:, : sequences.prompt_length].tolist()
        prompts = [tokenizer.decode([t for t in head if t != PAD]) for head in heads]
        answers = map(tokenizer.decode, sequences.responses.tolist())
        pairs = zip(prompts, answers, strict=True)
        return torch.tensor([float(by(asked[prompt], answer)) for prompt, answer in pairs])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reward_model, "score", look)
        return hard_negative_accuracy(model(), tokenizer, **which)


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
    turned = replace(pairs, chosen=pairs.rejected, rejected=pairs.chosen)
    trained = train_reward_model(model(), pairs, turned, JUDGING, generator=generator())
    assert trained.history[-1]["accuracy"] < 0.1


def test_no_pairs_are_refused() -> None:
    none = Sequences(
        torch.zeros(0, 2, dtype=torch.long),
        torch.zeros(0, 2, dtype=torch.bool),
        1,
        torch.zeros(0, 1, dtype=torch.bool),
    )
    empty = Preferences(none, none, torch.zeros(0), torch.zeros(0), ceiling=0.0)
    with pytest.raises(ValueError, match="preferences: there are no pairs"):
        train_reward_model(model(), empty, empty, RewardModelConfig(), generator=generator())
    with pytest.raises(ValueError, match="count: 0 pairs"):
        collect_preferences(
            model(), 0, world_tokenizer(), held_out=False, decisiveness=1.0, generator=generator()
        )


def test_the_labeler_prefers_what_is_worth_more() -> None:
    tokenizer = world_tokenizer()
    asked = {question.text: question for question in questions()}
    sharp, dull = (
        collect_preferences(
            of_few_words(),
            60,
            tokenizer,
            held_out=False,
            decisiveness=decisiveness,
            generator=generator(),
        )
        for decisiveness in (1e6, 10.0)
    )
    for row in range(60):
        prompt = sharp.chosen.tokens[row, : sharp.chosen.prompt_length].tolist()
        question = asked[tokenizer.decode([token for token in prompt if token != PAD])]
        texts = [
            tokenizer.decode(s.responses[row].tolist()) for s in (sharp.chosen, sharp.rejected)
        ]
        golds = [gold_reward(question, text) for text in texts]
        assert [sharp.chosen_gold[row].item(), sharp.rejected_gold[row].item()] == pytest.approx(
            golds
        )
        assert golds[0] >= golds[1]
    assert (sharp.chosen_gold > sharp.rejected_gold).sum() > 30
    gaps = [abs(a - b) for a, b in zip(dull.chosen_gold, dull.rejected_gold, strict=True)]
    expected = sum(1 / (1 + math.exp(-10 * gap)) for gap in gaps) / 60
    assert dull.ceiling == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_collected_pairs_are_different_answers_of_the_right_prompts() -> None:
    tokenizer, gpt = world_tokenizer(), of_few_words()
    pairs = collect_preferences(
        gpt, 60, tokenizer, held_out=True, decisiveness=2.0, generator=generator()
    )
    assert len(pairs) == 60
    held_out = {question.text for question in questions() if question.held_out}
    for row in range(60):
        sides = [s.responses[row].tolist() for s in (pairs.chosen, pairs.rejected)]
        assert tokenizer.decode(sides[0]) != tokenizer.decode(sides[1])
        prompt = pairs.chosen.tokens[row, : pairs.chosen.prompt_length]
        assert tokenizer.decode([t for t in prompt.tolist() if t != PAD]) in held_out


def test_an_answer_that_was_cut_off_is_compared_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed as if it had ended, it would look finished."""
    written: list[Sequences] = []

    def look(*arguments, **options) -> Sequences:
        written.append(generate(*arguments, **options))
        return written[-1]

    monkeypatch.setattr(reward_model, "generate", look)
    tokenizer = world_tokenizer()
    pairs = collect_preferences(
        of_few_words(4), 60, tokenizer, held_out=False, decisiveness=2.0, generator=generator()
    )
    cut = {
        tokenizer.decode(row)
        for answers in written
        for row in answers.responses[~answers.ended].tolist()
    }
    assert len(cut) > 60
    for side in (pairs.chosen, pairs.rejected):
        assert side.lengths.max() <= RESPONSE_LIMIT
        assert not cut & {tokenizer.decode(row) for row in side.responses.tolist()}


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
    policy = model()
    critic = model(1) if own else policy
    config = PPOConfig(value_coef=0.7, clip_range=0.2, value_clip_range=0.1)
    answers = pack([[2], [3, 4], [2]], [[5, 6], [7], [5, 6, 7]])
    with torch.no_grad():
        critic.scalar_head.weight.normal_(generator=generator())
        now = token_logprobs(response_logits(policy, answers), answers.responses)
        values = response_values(critic, answers)
    old, guessed, advantages, returns = (
        torch.randn(now.shape, generator=generator(seed)) for seed in range(4)
    )
    # near enough for clips to matter
    old, guessed, returns = now + 0.3 * old, values + guessed, values + returns
    experience = Experience(answers, old, guessed, advantages, returns)
    rows = torch.tensor([1, 0])
    loss, watched = ppo_loss(policy, critic, experience.rows(rows), config)
    policy_terms, value_terms, left, held = [], [], [], []
    for row, length in ((1, 2), (0, 3)):
        for at in range(length):
            ratio = math.exp(now[row, at] - old[row, at])
            advantage, target = advantages[row, at].item(), returns[row, at].item()
            limited = min(max(ratio, 0.8), 1.2)
            policy_terms.append(-min(ratio * advantage, limited * advantage))
            value, before = values[row, at].item(), guessed[row, at].item()
            near = min(max(value, before - 0.1), before + 0.1)
            value_terms.append(max((value - target) ** 2, (near - target) ** 2) / 2)
            left.append(abs(ratio - 1) > 0.2)
            held.append(abs(near - target) > abs(value - target))
    assert watched["policy_loss"] == pytest.approx(sum(policy_terms) / 5, rel=1e-4)
    assert watched["value_loss"] == pytest.approx(sum(value_terms) / 5, rel=1e-4)
    assert watched["clip_fraction"] == pytest.approx(sum(left) / 5)
    assert 0 < sum(left) < 5
    assert 0 < sum(held) < 5
    expected = (sum(policy_terms) + 0.7 * sum(value_terms)) / 5
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_at_ratio_one_ppo_takes_the_reinforce_step() -> None:
    """Before the first step the policy is the one that sampled: the gradient is −A ∇log π."""
    policy = model()
    rollout = collect_rollout(
        policy, policy, partial(score, policy), [[2], [3]], limit=5, generator=generator()
    )
    config = PPOConfig(value_coef=0.0, gae_lambda=1.0, kl_coef=0.0)
    rollout = replace(rollout, scores=torch.tensor([1.0, -1.0]))
    experience = credit(rollout, torch.zeros(rollout.logprobs.shape), config)
    loss, watched = ppo_loss(policy, model(1), experience, config)
    loss.backward()
    ppo_gradient = policy.blocks[0].mlp_in.weight.grad.clone()
    policy.zero_grad()
    sequences = rollout.sequences
    logits = policy(sequences.tokens, sequences.attended)[:, sequences.prompt_length - 1 : -1]
    chosen = logits.log_softmax(-1).gather(2, sequences.responses[..., None])[..., 0]
    mask = sequences.response_mask
    (-(experience.advantages * chosen)[mask].mean()).backward()
    torch.testing.assert_close(
        ppo_gradient, policy.blocks[0].mlp_in.weight.grad, atol=1e-6, rtol=1e-4
    )
    assert watched["clip_fraction"] == 0


@pytest.mark.parametrize(
    ("kind", "pushed"), [("shared", True), ("detached", False), ("own", False)]
)
def test_only_a_critic_that_shares_the_trunk_pushes_the_policy(kind: str, pushed: bool) -> None:
    """Advantages of zero leave the value loss alone."""
    policy = model()
    critic = model(1) if kind == "own" else policy
    with torch.no_grad():
        critic.scalar_head.weight.normal_(generator=generator())
    answers = pack([[2], [3, 4]], [[5, 6], [7]])
    still, ones = torch.zeros(answers.response_mask.shape), torch.ones(answers.response_mask.shape)
    loss, _ = ppo_loss(
        policy,
        critic,
        Experience(answers, still, still, still, ones),
        PPOConfig(detached=kind == "detached"),
    )
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
    kept = [1.0, 3.0, 0.0, -2.0, 4.0]
    values = torch.tensor([[0.5, 2.0, -99.0], [1.0, -1.0, 1.0]])
    errors = [0.5, 1.0, -1.0, -1.0, 3.0]

    def variance(numbers: list[float]) -> float:
        mean = sum(numbers) / len(numbers)
        return sum((number - mean) ** 2 for number in numbers)

    found = explained_variance(values, returns, mask)
    assert found == pytest.approx(1 - variance(errors) / variance(kept))
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(returns - 7, returns, mask) == 1  # always too low, by as much
    assert explained_variance(torch.full((2, 3), 5.0), returns, mask) == pytest.approx(0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3)
    assert explained_variance(values, torch.ones(2, 3), mask) == 0


def share_with_a_five(policy: GPT) -> float:
    answers = generate(policy, [[2]] * 500, limit=28, generator=generator(9))
    return (answers.responses == 5).any(1).float().mean().item()


SMALL_PPO = PPOConfig(iterations=15, batch=64, learning_rate=2e-3, response_limit=28)


def test_ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone() -> None:
    sft, judge = trained_judge()
    before, judge_before = weights(sft), weights(judge)
    trained = train_ppo(
        sft,
        partial(score, judge),
        replace(SMALL_PPO, kl_coef=0.0),
        draw_prompts=lambda count: [[2]] * count,
        critic=judge,
        generator=generator(),
    )
    assert share_with_a_five(sft) < 0.7
    assert share_with_a_five(trained.policy) > 0.95
    assert trained.history[-1]["proxy"] > trained.history[0]["proxy"] + 1
    assert unchanged(sft, before)
    assert unchanged(judge, judge_before)  # though the critic starts from it
    assert not unchanged(trained.critic, judge_before)
    assert trained.critic is not trained.policy


def test_without_a_critic_of_its_own_the_policy_is_one() -> None:
    trained = train_ppo(
        model(),
        scored_by_fives,
        replace(SMALL_PPO, iterations=1),
        draw_prompts=lambda count: [[2]] * count,
        generator=generator(),
    )
    assert trained.critic is trained.policy
    assert trained.policy.scalar_head.weight.any()  # it has begun to guess


def test_the_policy_is_looked_at_before_and_after_each_iteration() -> None:
    sft, looks = model(), []
    trained = train_ppo(
        sft,
        scored_by_fives,
        replace(SMALL_PPO, iterations=3),
        draw_prompts=lambda count: [[2]] * count,
        critic=model(1),
        examine=lambda iteration, policy: looks.append((iteration, weights(policy))),
        generator=generator(),
    )
    assert [iteration for iteration, _ in looks] == [0, 1, 2, 3]
    assert unchanged(sft, looks[0][1])
    assert unchanged(trained.policy, looks[3][1])
    assert not unchanged(sft, looks[1][1])


def test_a_high_price_keeps_the_policy_at_home() -> None:
    sft, judge = trained_judge()
    ends = {}
    for kl_coef in (0.0, 2.0):
        trained = train_ppo(
            sft,
            partial(score, judge),
            replace(SMALL_PPO, kl_coef=kl_coef),
            draw_prompts=lambda count: [[2]] * count,
            critic=judge,
            generator=generator(),
        )
        assert trained.history[0]["kl"] == pytest.approx(0, abs=1e-5)  # it starts as the reference
        ends[kl_coef] = trained.history[-1]["kl"]
    assert ends[2.0] < 2 < 4 < ends[0.0]


def test_ppo_repeats_bitwise_whatever_the_global_state() -> None:
    sft, judge = model(), model(1)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trained = train_ppo(
            copy.deepcopy(sft),
            partial(score, judge),
            replace(SMALL_PPO, iterations=2),
            draw_prompts=lambda count: [[2]] * count,
            critic=judge,
            generator=generator(),
        )
        results.append(weights(trained.policy))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def assert_written_down(history: list[dict[str, int | float]], rollouts: list[Rollout]) -> None:
    """Each round's score, nats and tokens, from its answers one by one."""
    assert len(history) == len(rollouts)
    for row, rollout in zip(history, rollouts, strict=True):
        lengths = [int(length) for length in rollout.sequences.lengths]
        nats = [
            (rollout.logprobs[at, :length] - rollout.ref_logprobs[at, :length]).sum().item()
            for at, length in enumerate(lengths)
        ]
        assert row["proxy"] == pytest.approx(rollout.scores.mean().item(), abs=1e-5)
        assert row["kl"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)
        assert row["length"] == pytest.approx(sum(lengths) / len(lengths))
    assert history[0]["kl"] < 0.001 < abs(history[-1]["kl"])
    assert len({int(length) for length in rollouts[-1].sequences.lengths}) > 1  # some padding


def test_ppo_writes_down_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each round its answers, and the mean of what was watched over all its steps."""
    rollouts: list[Rollout] = []
    guessed: list[Tensor] = []
    steps: list[dict[str, int | float]] = []

    def assign(rollout: Rollout, values: Tensor, config: PPOConfig) -> Experience:
        rollouts.append(rollout)
        guessed.append(values)
        return credit(rollout, values, config)

    def look(*arguments) -> tuple[Tensor, dict[str, int | float]]:
        loss, watched = ppo_loss(*arguments)
        steps.append({"loss": loss.item(), **watched})
        return loss, watched

    monkeypatch.setattr(ppo, "ppo_loss", look)
    config = replace(SMALL_PPO, iterations=3, epochs=2, minibatches=2, unfinished_score=-2.0)
    trained = train_ppo(
        model(),
        scored_by_fives,
        config,
        draw_prompts=lambda count: [[2]] * count,
        critic=model(1),
        assign=assign,
        generator=generator(),
    )
    assert_written_down(trained.history, rollouts)
    for row, rollout, values in zip(trained.history, rollouts, guessed, strict=True):
        experience, mask = credit(rollout, values, config), rollout.sequences.response_mask
        errors = (experience.returns - values)[mask].square()
        assert row["value_error"] == pytest.approx(errors.mean().item(), rel=1e-5)
        explained = explained_variance(values, experience.returns, mask)
        assert row["explained_variance"] == pytest.approx(explained)
        ended, scores = rollout.sequences.ended.tolist(), rollout.scores.tolist()
        assert row["finished"] == pytest.approx(sum(ended) / 64)
        learned = [one if end else -2.0 for one, end in zip(scores, ended, strict=True)]
        assert row["trained_score"] == pytest.approx(sum(learned) / 64, rel=1e-5)
        of_round, steps = steps[:4], steps[4:]
        assert len({step["policy_loss"] for step in of_round}) == 4
        for name in ("loss", "policy_loss", "value_loss", "clip_fraction", "entropy"):
            mean = sum(step[name] for step in of_round) / 4
            assert row[name] == pytest.approx(mean, rel=1e-6, abs=1e-9), name
    assert not steps
    assert trained.history[0]["finished"] < 1
    assert trained.history[-1]["explained_variance"] != trained.history[0]["explained_variance"]


def test_ppo_goes_on_learning_what_pretraining_taught() -> None:
    """A judge to whom all answers are alike: only the documents are left to learn from."""
    documents = torch.tensor([[2, 3, 4, EOS], [2, 5, EOS, PAD]])
    sft = model()
    trained = train_ppo(
        sft,
        lambda sequences: torch.zeros(len(sequences.tokens)),
        PPOConfig(
            iterations=40,
            batch=4,
            learning_rate=1e-2,
            kl_coef=0.0,
            unfinished_score=0.0,
            pretraining_coef=0.5,
            response_limit=28,
        ),
        draw_prompts=lambda count: [[2]] * count,
        pretraining=[documents],
        generator=generator(),
    )
    # Of five words, those after 2 are a coin's toss.
    floor = 2 * math.log(2) / 5
    assert document_loss(trained.policy, documents).item() == pytest.approx(floor, rel=0.05)
    assert document_loss(sft, documents).item() > 1
    after_the_end = trained.policy(documents)[1, 2].softmax(-1)
    assert after_the_end[PAD] < 0.5  # padding is no document's word


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl_coef": -0.1}, "kl_coef: -0.1 is negative"),
        ({"clip_range": 0.0}, "^clip_range: 0.0 is not positive"),
        ({"value_clip_range": -1.0}, "value_clip_range: -1.0 is not positive"),
    ],
)
def test_bad_ppo_settings_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**change)


def test_mixing_in_pretraining_needs_documents() -> None:
    with pytest.raises(ValueError, match="pretraining: no batches"):
        train_ppo(
            model(),
            partial(score, model()),
            PPOConfig(pretraining_coef=0.5),
            draw_prompts=lambda count: [[2]] * count,
            generator=generator(),
        )


def test_the_labeler_is_not_asked_for_what_it_cannot_know() -> None:
    assert all(
        categorise(question, answer) == "helpful"
        for question in questions()
        for answer in question.answers
    )


# What trains without a critic, and what does not train


def scored_by_fives(sequences: Sequences) -> torch.Tensor:
    return (sequences.responses == 5).sum(1).float()


SMALL_GRPO = GRPOConfig(
    iterations=30, prompts=8, epochs=2, learning_rate=2e-3, kl_coef=0.0, response_limit=28
)


def test_grpo_writes_what_the_judge_likes_and_leaves_the_reference_alone() -> None:
    sft = model()
    before = weights(sft)
    trained = train_grpo(
        sft,
        scored_by_fives,
        SMALL_GRPO,
        draw_prompts=lambda count: [[2]] * count,
        generator=generator(),
    )
    assert trained.history[-1]["proxy"] > trained.history[0]["proxy"] + 1
    assert trained.history[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert unchanged(sft, before)


def test_neighbours_in_a_batch_answer_one_prompt() -> None:
    def look(sequences: Sequences) -> dict[str, int | float]:
        prompts = sequences.tokens[:, : sequences.prompt_length]
        assert prompts.tolist() == [[2]] * 8 + [[3]] * 8
        return {"seen": 1}

    config = replace(SMALL_GRPO, iterations=1, prompts=2)
    trained = train_grpo(
        model(),
        scored_by_fives,
        config,
        draw_prompts=lambda count: [[2], [3]][:count],
        observe=look,
        generator=generator(),
    )
    assert trained.history[0]["seen"] == 1


def k3(r: float) -> float:
    return math.exp(r) - 1 - r


@pytest.mark.parametrize(
    ("kl_in", "price"),
    [("loss", k3), ("loss_ratio_k3", k3), ("loss_k2", lambda r: r * r / 2)],
)
def test_grpos_loss_and_history_by_hand(
    kl_in: Literal["loss", "loss_ratio_k3", "loss_k2"], price, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one step a round every ratio is 1: the loss is −A and the penalty, token by token."""
    rollouts: list[Rollout] = []

    def recorded(*arguments, **options) -> Rollout:
        rollouts.append(collect_rollout(*arguments, **options))
        return rollouts[-1]

    monkeypatch.setattr(grpo, "collect_rollout", recorded)
    config = replace(
        SMALL_GRPO, iterations=3, epochs=1, kl_coef=5.0, kl_in=kl_in, divide_by_std=False
    )
    trained = train_grpo(
        model(),
        scored_by_fives,
        config,
        draw_prompts=lambda count: [[2]] * count,
        generator=generator(),
    )
    assert_written_down(trained.history, rollouts)
    for row, rollout in zip(trained.history, rollouts, strict=True):
        ended, scores = rollout.sequences.ended.tolist(), rollout.scores.tolist()
        assert row["finished"] == pytest.approx(sum(ended) / len(ended))
        scores = [
            one if end else config.unfinished_score for one, end in zip(scores, ended, strict=True)
        ]
        terms = []
        for at, length in enumerate(rollout.sequences.lengths.tolist()):
            first = at // 8 * 8
            better = scores[at] - (sum(scores[first : first + 8]) - scores[at]) / 7
            for place in range(length):
                r = (rollout.ref_logprobs[at, place] - rollout.logprobs[at, place]).item()
                terms.append(-better + 5.0 * price(r))
        assert row["loss"] == pytest.approx(sum(terms) / len(terms), abs=1e-4)


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
    trained = train_grpo(
        model(),
        scored_by_fives,
        config,
        draw_prompts=lambda count: [[2]] * count,
        generator=generator(),
    )
    return float(trained.history[-1]["kl"])


@pytest.mark.parametrize("kl_in", ["loss", "loss_ratio_k3", "loss_k2", "reward"])
def test_a_high_price_keeps_grpo_at_home(
    kl_in: Literal["loss", "loss_ratio_k3", "loss_k2", "reward"],
) -> None:
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


def test_an_unknown_place_of_the_penalty_is_refused_where_no_types_are_checked_too() -> None:
    unchecked = SimpleNamespace(kl_coef=0.5, kl_in="sum")
    with pytest.raises(ValueError, match="kl_in: 'sum' is not one of reward, loss, loss_ratio_k3"):
        GRPOConfig.__post_init__(unchecked)


def test_dpo_prefers_what_was_chosen_and_starts_at_log_2() -> None:
    sft = model()
    before = weights(sft)
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
    assert unchanged(sft, before)


def test_dpo_compares_each_response_with_its_own_reference() -> None:
    chosen = pack([[2]] * 6, [[3], [4, 5], [6, 7, 8], [5], [8, 8], [3, 3]])
    rejected = pack([[2]] * 6, [[8, 4], [6], [3], [7, 7, 7], [4], [5]])
    config = DPOConfig(steps=1, batch=6)
    trained = train_dpo(model(), chosen, rejected, config, generator=generator())
    assert trained.history[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_dpo_takes_more_pairs_than_the_reference_reads_at_once() -> None:
    """A tenth of each batch has the last pairs, whose chosen answer is another."""
    chosen = pack([[2]] * 9000, [[3]] * 8192 + [[4, 5, 6]] * 808)
    rejected = pack([[2]] * 9000, [[6]] * 9000)
    config = DPOConfig(steps=1, batch=300)
    trained = train_dpo(model(), chosen, rejected, config, generator=generator())
    assert trained.history[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_best_of_n_keeps_the_best_and_the_order_of_prompts() -> None:
    gpt, prompts, n = model(), [[2], [3, 4], [5]], 8
    kept = best_of_n(gpt, scored_by_fives, prompts, n, limit=20, generator=generator(4))
    every = generate(
        gpt, [prompt for prompt in prompts for _ in range(n)], limit=20, generator=generator(4)
    )
    best = scored_by_fives(every).where(every.ended, -math.inf).view(3, n).amax(1)
    assert scored_by_fives(kept).tolist() == best.tolist()
    assert best.max() > 1
    heads = [
        [token for token in row[: kept.prompt_length] if token] for row in kept.tokens.tolist()
    ]
    assert heads == prompts
    alone = best_of_n(gpt, scored_by_fives, prompts, 1, limit=20, generator=generator(4))
    plain = generate(gpt, prompts, limit=20, generator=generator(4))
    assert alone.responses.tolist() == plain.responses.tolist()


def test_best_of_n_takes_a_cut_off_answer_only_where_there_is_no_other() -> None:
    """A judge who likes nothing better."""
    gpt, prompts, n = model(), [[2], [3, 4], [5]] * 20, 3

    def likes_cut_off(sequences: Sequences) -> Tensor:
        return 100.0 * ~sequences.ended

    kept = best_of_n(gpt, likes_cut_off, prompts, n, limit=6, generator=generator(4))
    every = generate(
        gpt, [prompt for prompt in prompts for _ in range(n)], limit=6, generator=generator(4)
    )
    some = every.ended.view(-1, n).any(1)
    assert 0 < some.sum() < len(prompts)
    assert torch.equal(kept.ended, some)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GRPOConfig(kl_coef=-1.0), "kl_coef: -1.0 is negative"),
        (lambda: GRPOConfig(kl_in="sum"), "kl_in"),
        (lambda: DPOConfig(beta=0.0), "beta: 0.0 is not positive"),
        (
            lambda: train_dpo(
                model(), pack([[2]], [[3]]), pack([[2]] * 2, [[3]] * 2), DPOConfig(),
                generator=generator(),
            ),
            "rejected: 2 for 1 chosen",
        ),
        (
            lambda: best_of_n(model(), scored_by_fives, [[2]], 0, generator=generator()),
            "n: 0 answers",
        ),
        (
            lambda: best_of_n(model(), scored_by_fives, [], 2, generator=generator()),
            "prompts: none given",
        ),
    ],
)  # fmt: skip
def test_bad_input_of_the_other_methods_is_named(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()
