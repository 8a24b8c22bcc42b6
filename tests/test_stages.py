"""The stages: each learns what it should, changes only its own copy, and refuses bad input."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.rollout import Rollout, Sequences, collect_rollout, generate, pack, score
from rlhf_explained.stages.evaluation import Marked, result
from rlhf_explained.stages.ppo import PPOConfig, credit, ppo_loss, train_ppo
from rlhf_explained.stages.pretrain import PretrainConfig, document_batches, train_pretrained
from rlhf_explained.stages.reward_model import (
    Preferences,
    RewardModelConfig,
    collect_preferences,
    train_reward_model,
)
from rlhf_explained.stages.sft import SFTConfig, demonstration_loss, train_sft
from rlhf_explained.world.labeler import categorise
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import EOS, PAD, world_tokenizer

SHAPE = GPTConfig(vocabulary=9, context=32, width=16, layers=1, heads=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(seed: int = 0) -> GPT:
    return GPT(SHAPE, generator=generator(seed))


def weights(gpt: GPT) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in gpt.state_dict().items()}


def unchanged(gpt: GPT, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in gpt.state_dict().items())


def test_pretraining_reaches_the_entropy_of_its_corpus() -> None:
    """Two documents, 3 to 1: the only uncertain token costs H(¾) nats, once in three tokens."""
    documents = [[2, 3, 4]] * 48 + [[2, 5, 4]] * 16
    config = PretrainConfig(steps=80, batch=64, learning_rate=2e-2)
    trained = train_pretrained(documents, SHAPE, config, generator=generator())
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert trained.history[-1]["loss"] == pytest.approx(entropy / 3, rel=0.02)


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


def trained_judge() -> tuple[GPT, GPT]:
    sft = model()
    config = RewardModelConfig(steps=80, batch=64, learning_rate=1e-2)
    trained = train_reward_model(
        sft, likes_five(1000), likes_five(300, seed=1), config, generator=generator()
    )
    assert trained.history[-1]["accuracy"] > 0.95
    return sft, trained.reward_model


def test_the_reward_model_learns_what_was_preferred_and_is_centred() -> None:
    sft = model()
    before = weights(sft)
    pairs = likes_five(1000)
    config = RewardModelConfig(steps=80, batch=64, learning_rate=1e-2)
    trained = train_reward_model(sft, pairs, likes_five(300, seed=1), config, generator=generator())
    assert trained.history[-1]["accuracy"] > 0.95
    assert unchanged(sft, before)
    with torch.no_grad():
        both = torch.cat(
            [score(trained.reward_model, side) for side in (pairs.chosen, pairs.rejected)]
        )
    assert both.mean().item() == pytest.approx(0, abs=1e-5)


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


def test_collected_pairs_are_different_answers_of_the_right_prompts() -> None:
    tokenizer = world_tokenizer()
    gpt = GPT(GPTConfig(len(tokenizer), width=16, layers=1, heads=2), generator=generator())
    pairs = collect_preferences(
        gpt, 60, tokenizer, held_out=True, decisiveness=2.0, generator=generator()
    )
    assert len(pairs) == 60
    assert 0.5 <= pairs.ceiling <= 1
    held_out = {question.text for question in questions() if question.held_out}
    for row in range(60):
        sides = [s.responses[row].tolist() for s in (pairs.chosen, pairs.rejected)]
        assert tokenizer.decode(sides[0]) != tokenizer.decode(sides[1])
        prompt = pairs.chosen.tokens[row, : pairs.chosen.prompt_length]
        assert tokenizer.decode([t for t in prompt.tolist() if t != PAD]) in held_out


def rollout_by_hand(scores: list[float]) -> Rollout:
    """Two answers: two tokens and <eos>; and one that was cut off after three tokens."""
    tokens = torch.tensor([[2, 5, 5, EOS], [2, 5, 6, 7]])
    sequences = Sequences(tokens, tokens != PAD, 1, torch.ones(2, 3, dtype=torch.bool))
    return Rollout(
        sequences,
        logprobs=torch.tensor([[-1.0, -1.0, -1.0], [-2.0, -2.0, -2.0]]),
        ref_logprobs=torch.tensor([[-1.5, -1.0, -0.5], [-2.0, -2.0, -2.0]]),
        values=torch.zeros(2, 3),
        scores=torch.tensor(scores),
    )


def test_credit_by_hand() -> None:
    """With γ = λ = 1 and no critic, the return of a token is all reward from it on."""
    config = PPOConfig(kl_coef=0.2, gae_lambda=1.0, unfinished_score=-3.0)
    experience = credit(rollout_by_hand([1.0, 9.0]), config)
    # rewards of the first answer: −0.2·0.5, 0, −0.2·(−0.5) + 1
    torch.testing.assert_close(experience.returns[0], torch.tensor([1.0, 1.1, 1.1]))
    # the second was cut off: its score of 9 does not count
    torch.testing.assert_close(experience.returns[1], torch.tensor([-3.0, -3.0, -3.0]))
    assert experience.advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert experience.advantages.square().mean().item() == pytest.approx(1, abs=1e-5)


def test_at_ratio_one_ppo_takes_the_reinforce_step() -> None:
    """Before the first step the policy is the one that sampled: the gradient is −A ∇log π."""
    policy = model()
    rollout = collect_rollout(policy, policy, policy, [[2], [3]], limit=5, generator=generator())
    config = PPOConfig(value_coef=0.0, gae_lambda=1.0, kl_coef=0.0)
    rollout = replace(rollout, scores=torch.tensor([1.0, -1.0]))
    experience = credit(rollout, config)
    loss, watched = ppo_loss(policy, experience, config)
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


def share_with_a_five(policy: GPT) -> float:
    answers = generate(policy, [[2]] * 500, limit=28, generator=generator(9))
    return (answers.responses == 5).any(1).float().mean().item()


SMALL_PPO = PPOConfig(iterations=15, batch=64, learning_rate=2e-3, pretraining_coef=0.0)


def test_ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone() -> None:
    sft, judge = trained_judge()
    before, judge_before = weights(sft), weights(judge)
    trained = train_ppo(
        sft,
        judge,
        replace(SMALL_PPO, kl_coef=0.0),
        draw_prompts=lambda count: [[2]] * count,
        generator=generator(),
    )
    assert share_with_a_five(sft) < 0.7
    assert share_with_a_five(trained.policy) > 0.95
    assert trained.history[-1]["proxy"] > trained.history[0]["proxy"] + 1
    assert unchanged(sft, before)
    assert unchanged(judge, judge_before)


def test_a_high_price_keeps_the_policy_at_home() -> None:
    sft, judge = trained_judge()
    ends = {}
    for kl_coef in (0.0, 2.0):
        trained = train_ppo(
            sft,
            judge,
            replace(SMALL_PPO, kl_coef=kl_coef),
            draw_prompts=lambda count: [[2]] * count,
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
            judge,
            replace(SMALL_PPO, iterations=2),
            draw_prompts=lambda count: [[2]] * count,
            generator=generator(),
        )
        results.append(weights(trained.policy))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl_coef": -0.1}, "kl_coef: -0.1 is negative"),
        ({"clip_range": 0.0}, "clip_range: 0.0 is not positive"),
    ],
)
def test_bad_ppo_settings_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPOConfig(**change)


def test_mixing_in_pretraining_needs_documents() -> None:
    with pytest.raises(ValueError, match="pretraining: no batches"):
        train_ppo(
            model(),
            model(),
            PPOConfig(),
            draw_prompts=lambda count: [[2]] * count,
            generator=generator(),
        )


def test_results_by_hand() -> None:
    answers = [
        Marked("p", "sum", "r", category, gold, 0.0, 0.0, 4)
        for category, gold in (
            ("helpful", 2.0),
            ("helpful", 2.0),
            ("wrong", -1.0),
            ("harmful", -1.0),
        )
    ]
    found = result(answers)
    assert found["helpful"] == 0.5
    assert found["stderr"]["helpful"] == pytest.approx(0.25)  # sqrt(.5·.5/4)
    assert found["gold"] == pytest.approx(0.5)
    assert found["stderr"]["gold"] == pytest.approx(math.sqrt(3) / 2)  # s = √3, over √4
    assert (
        sum(found[name] for name in ("helpful", "harmful", "off_topic", "rambling", "wrong")) == 1
    )


def test_the_labeler_is_not_asked_for_what_it_cannot_know() -> None:
    assert all(
        categorise(question, answer) == "helpful"
        for question in questions()
        for answer in question.answers
    )
