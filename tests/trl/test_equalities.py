"""TRL's losses, gradients and trainings are ours, number for number; and a change is noticed.

Runs where TRL is: `make trl`, and each week. Each equality is tried again with a sign, a mask or a
coefficient changed on either side, and has to break. Where the two differ by design, the difference
itself is computed.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

pytest.importorskip("transformers", reason="TRL has an environment of its own: make trl")

import torch
from datasets import Dataset
from torch import Tensor
from transformers import TrainerCallback
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

from rlhf_explained import formulas, hugging_face
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Rollout, Sequences, response_logits, score
from rlhf_explained.stages import dpo, grpo, reward_model, sft
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.tokenizer import EOS, PAD, world_tokenizer

TOLERANCE = 1e-5  # relative, of a loss and of the largest entry of a gradient; 32-bit floats
WORDS = world_tokenizer()
GRPO = grpo.GRPOConfig(iterations=3, prompts=4, kl_coef=0.3)
RLOO = grpo.GRPOConfig(iterations=3, prompts=4, kl_in="reward", divide_by_std=False)
PUBLISHED = {"use_bias_correction_kl": False}
STILL = {"max_steps": 1, "num_iterations": 1}

torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where models are written; TRL writes beside them."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("trl"))
    for name in ("base", "sft", "ppo"):
        hugging_face.save(hugging_face.exported(model(name)), name)
    hugging_face.save(hugging_face.exported(model("reward_model"), judges=True), "reward_model")
    yield
    os.chdir(before)


@cache
def model(name: str) -> GPT:
    return run(RunConfig()).policy(name)


@cache
def lesson() -> Lesson:
    return Lesson(0)


@cache
def pairs() -> reward_model.Preferences:
    settings = {"held_out": False, "decisiveness": 5.0}
    luck = torch.Generator().manual_seed(0)
    return reward_model.collect_preferences(model("sft"), 100, WORDS, **settings, generator=luck)


@cache
def asked() -> list[str]:
    luck = torch.Generator().manual_seed(0)
    count = GRPO.iterations * GRPO.prompts
    return [question.text for question in draw_questions(count, held_out=False, generator=luck)]


def settings(kind: Any, **own: Any) -> Any:
    shared = {
        "output_dir": "log", "use_cpu": True, "bf16": False, "activation_checkpointing": False,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1,
    }  # fmt: skip
    return kind(**shared | own)


def gradient(of: Any) -> Tensor:
    """A model's gradients in one row, in our order; the scalar head's bias, of no effect, aside."""
    slopes = [torch.zeros_like(w) if w.grad is None else w.grad for w in of.parameters()]
    copied = copy.deepcopy(of)
    for weight, slope in zip(copied.parameters(), slopes, strict=True):
        weight.data = slope
    ours = copied if isinstance(of, GPT) else hugging_face.imported(copied, model("sft"))
    named = ours.named_parameters()
    rows = [slope.detach().flatten() for name, slope in named if name != "scalar_head.bias"]
    return torch.cat(rows)


Side = tuple[Tensor, Tensor]  # a loss and its gradient


def apart(one: Side, other: Side) -> float:
    """The relative difference of two losses or of their gradients, whichever is larger.

    Online, the terms of a loss are advantages, which are of size 1 and cancel: rounding is theirs.
    """
    (loss, slope), (other_loss, other_slope) = one, other
    losses = abs(loss - other_loss) / max(abs(loss), abs(other_loss), torch.tensor(0.1))
    slopes = (slope - other_slope).abs().max() / torch.maximum(slope.abs(), other_slope.abs()).max()
    return max(losses.item(), slopes.item())


def without_end(sequences: Any, broken: bool) -> Tensor:
    """The mask; broken, it leaves out the end token, a mistake that is easily made."""
    mask = sequences.response_mask
    return mask & (sequences.responses != EOS) if broken else mask


def sft_sides(broken: str) -> tuple[Side, Side]:
    answers, policy = lesson().packed(lesson().shown[:32]), copy.deepcopy(model("base"))
    mask = without_end(answers, broken == "our mask")
    logits = response_logits(policy, answers)
    loss = formulas.sft_loss(logits, answers.responses, mask)
    loss = -loss if broken == "our sign" else loss
    loss.backward()
    more = {"completion_only_loss": broken != "their mask", "per_device_train_batch_size": 32}
    trainer = SFTTrainer(
        hugging_face.load("base"),
        args=settings(SFTConfig, **more, train_sampling_strategy="sequential"),
        train_dataset=Dataset.from_list(hugging_face.demonstration_rows(lesson().shown[:32])),
        processing_class=hugging_face.fast_tokenizer(),
    )
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs = -theirs if broken == "their sign" else theirs
    theirs.backward()
    return (loss.detach(), gradient(policy)), (theirs.detach(), gradient(trainer.model))


def mistake(trainer: Any, broken: str) -> None:
    """Make TRL's trainer read batches whose comparisons are turned round or whose ends are lost."""
    name = "_compute_loss" if hasattr(trainer, "_compute_loss") else "compute_loss"
    right = getattr(trainer, name)

    def wrong(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        inputs = dict(inputs)
        if broken == "their sign" and "advantages" in inputs:
            inputs["advantages"] = -inputs["advantages"]
        elif broken == "their sign":
            inputs = {name: torch.cat(value.chunk(2)[::-1]) for name, value in inputs.items()}
        if broken == "their mask" and "completion_mask" in inputs:
            tokens = inputs["completion_ids" if "completion_ids" in inputs else "input_ids"]
            inputs["completion_mask"] = inputs["completion_mask"] * (tokens != EOS)
        elif broken == "their mask":  # GPT-2 reads a score at the last token that is no padding
            inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == EOS, PAD)
        return right(model, inputs, *more, **named)

    if broken in ("their sign", "their mask"):
        setattr(trainer, name, wrong)


def told(broken: str) -> reward_model.Preferences:
    """Our comparisons; broken, they are turned round or their ends do not count."""
    sides = pairs().chosen, pairs().rejected
    chosen, rejected = (
        replace(side, response_mask=without_end(side, broken == "our mask"))
        for side in (sides[::-1] if broken == "our sign" else sides)
    )
    return replace(pairs(), chosen=chosen, rejected=rejected)


def reward_sides(broken: str) -> tuple[Side, Side]:
    judge = copy.deepcopy(model("reward_model"))
    loss = formulas.bradley_terry_loss(
        score(judge, told(broken).chosen), score(judge, told(broken).rejected)
    )
    loss.backward()
    trainer = RewardTrainer(
        hugging_face.load("reward_model", judges=True),
        args=settings(RewardConfig, per_device_train_batch_size=100),
        train_dataset=Dataset.from_list(hugging_face.preference_rows(pairs())),
        processing_class=hugging_face.fast_tokenizer(),
    )
    mistake(trainer, broken)
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs.backward()
    return (loss.detach(), gradient(judge)), (theirs.detach(), gradient(trainer.model))


def dpo_sides(broken: str) -> tuple[Side, Side]:
    policy, given = copy.deepcopy(model("ppo")), told(broken)

    def sums(of: GPT) -> list[Tensor]:
        return [
            formulas.token_logprobs(response_logits(of, side), side.responses)
            .masked_fill(~side.response_mask, 0)
            .sum(1)
            for side in (given.chosen, given.rejected)
        ]

    with torch.no_grad():
        reference = sums(model("sft"))
    learned = sums(policy)
    beta = 0.55 if broken == "our coefficient" else 0.5
    loss = formulas.dpo_loss(*learned, *reference, beta=beta)
    loss.backward()
    beta = 0.55 if broken == "their coefficient" else 0.5
    trainer = DPOTrainer(
        hugging_face.load("ppo"),
        ref_model=hugging_face.load("sft"),
        args=settings(DPOConfig, per_device_train_batch_size=100, beta=beta),
        train_dataset=Dataset.from_list(hugging_face.preference_rows(pairs())),
        processing_class=hugging_face.fast_tokenizer(),
    )
    mistake(trainer, broken)
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs.backward()
    return (loss.detach(), gradient(policy)), (theirs.detach(), gradient(trainer.model))


def online(make: Any, kind: Any, config: grpo.GRPOConfig, start: str, **own: Any) -> Any:
    """A trainer of TRL's that samples; the reference is the SFT policy."""
    policy = hugging_face.load(start)
    named = {
        "max_steps": config.iterations * config.epochs, "num_iterations": config.epochs,
        "per_device_train_batch_size": config.prompts * config.group_size,
        "num_generations": config.group_size, "max_completion_length": config.response_limit,
        "beta": config.kl_coef, "shuffle_dataset": False,
    }  # fmt: skip
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )

    def falls(step: int) -> float:
        return 1 - 0.9 * (step // config.epochs) / config.iterations

    judge = own.pop("judge", partial(score, model("reward_model")))
    trainer = make(
        policy,
        reward_funcs=hugging_face.reward_function(judge, unfinished_score=config.unfinished_score),
        args=settings(kind, **named | own),
        train_dataset=Dataset.from_dict({"prompt": asked()}),
        processing_class=hugging_face.fast_tokenizer(),
        callbacks=[SameDice()],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, falls)),
    )
    trainer.ref_model.load_state_dict(hugging_face.load("sft").state_dict())
    hugging_face.count_positions(trainer.ref_model)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()  # there is no dropout: only what is logged, and where, depends on it
    return trainer


class SameDice(TrainerCallback):
    """The random numbers of a round are those of its number."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        torch.manual_seed(state.global_step // args.num_iterations)


def sampled(trainer: Any) -> tuple[dict[str, Tensor], Any]:
    """A batch as TRL samples, scores and compares it, and the same in our layout."""
    questions = [text for text in asked()[:4] for _ in range(8)]
    torch.manual_seed(0)
    inputs = trainer._generate_and_score_completions([{"prompt": text} for text in questions])
    rows = zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
    answers = hugging_face.as_sequences(questions, [row[m.bool()].tolist() for row, m in rows])
    return inputs, answers


def rolled_out(answers: Any) -> Rollout:
    """What our stage knows of the batch: TRL's answers, our numbers."""
    with torch.no_grad():
        logprobs, reference = (
            formulas.token_logprobs(response_logits(model(name), answers), answers.responses)
            for name in ("ppo", "sft")
        )
        return Rollout(answers, logprobs, reference, score(model("reward_model"), answers))


def online_sides(broken: str, *, name: str, **own: Any) -> tuple[Side, Side]:
    """Of the policy that PPO has trained, against the SFT policy, so that there is a KL.

    The answers were sampled by a policy that is not quite it, so that ratios are not 1.
    """
    config, make, kind = {
        "grpo": (GRPO, GRPOTrainer, GRPOConfig), "rloo": (RLOO, RLOOTrainer, RLOOConfig)
    }[name]  # fmt: skip
    own = ({**PUBLISHED} if name == "grpo" else {}) | STILL | own
    if broken == "their coefficient":
        own["beta"] = 1.1 * config.kl_coef
    trainer = online(make, kind, config, "ppo", **own)
    inputs, answers = sampled(trainer)
    rollout, mask = rolled_out(answers), without_end(answers, broken == "our mask")
    if broken == "our coefficient":
        config = replace(config, kl_coef=1.1 * config.kl_coef)
    better = grpo.advantages(rollout, config) * (-1 if broken == "our sign" else 1)
    policy = copy.deepcopy(model("ppo"))
    moved = 0.02 * torch.randn(rollout.logprobs.shape, generator=torch.Generator().manual_seed(0))
    old = rollout.logprobs + moved
    logprobs = formulas.token_logprobs(response_logits(policy, answers), answers.responses)
    if name == "grpo":
        loss = formulas.ppo_policy_loss(logprobs, old, better, mask, clip_range=config.clip_range)
        price = grpo.PENALTIES["loss"](logprobs, old, rollout.ref_logprobs)
        loss = loss + config.kl_coef * formulas.masked_mean(price, mask)
        inputs["old_per_token_logps"] = old
    else:
        loss = of_whole_answers(logprobs, old, better, mask, clip_range=config.clip_range)
        inputs["old_logps"] = old.masked_fill(~answers.response_mask, 0).sum(1)
    loss.backward()
    mistake(trainer, broken)
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()
    return (loss.detach(), gradient(policy)), (theirs.detach(), gradient(trainer.model))


def of_whole_answers(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, *, clip_range: float
) -> Tensor:
    """TRL's RLOO: one ratio for each answer, where ours takes one for each token."""
    ratio = (logprobs - old).masked_fill(~mask, 0).sum(1).exp()
    better = advantages[:, 0]
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -torch.minimum(ratio * better, clipped * better).mean()


SIDES: dict[str, Callable[[str], tuple[Side, Side]]] = {
    "sft": sft_sides,
    "reward": reward_sides,
    "dpo": dpo_sides,
    "grpo": partial(online_sides, name="grpo"),
    "rloo": partial(online_sides, name="rloo"),
}
BREAKAGES = [
    (name, f"{side} {what}")
    for name in SIDES
    for side in ("our", "their")
    for what in ("sign", "mask", "coefficient")
    if what != "coefficient" or name in ("dpo", "grpo", "rloo")
]


@pytest.mark.parametrize("name", SIDES)
def test_losses_and_gradients_are_the_same(name: str) -> None:
    assert apart(*SIDES[name]("")) < TOLERANCE


@pytest.mark.parametrize(("name", "broken"), BREAKAGES)
def test_a_sign_a_mask_or_a_coefficient_that_is_changed_breaks_it(name: str, broken: str) -> None:
    assert apart(*SIDES[name](broken)) > 100 * TOLERANCE


def test_the_exported_models_say_the_same_and_come_back_as_they_were() -> None:
    some = pairs().chosen
    given = {"input_ids": some.tokens, "attention_mask": some.attended.long()}
    for name in ("base", "sft", "ppo", "reward_model"):
        ours, judges = model(name), name == "reward_model"
        theirs = hugging_face.load(name, judges=judges)
        with torch.no_grad():
            if judges:
                difference = (
                    theirs(**given).logits[:, 0] + ours.scalar_head.bias - score(ours, some)
                )
                assert difference.abs().max() < TOLERANCE
            else:
                difference = theirs(**given).logits - ours(some.tokens, some.attended)
                assert not difference[some.attended].any()
        back = hugging_face.imported(theirs, ours).state_dict()
        for part, weight in ours.state_dict().items():
            assert torch.equal(back[part], weight) or part.startswith("scalar_head")


def test_without_positions_padded_rows_are_read_elsewhere_than_they_were_written() -> None:
    some = pairs().chosen
    given = {"input_ids": some.tokens, "attention_mask": some.attended.long()}
    bare = type(hugging_face.load("sft")).from_pretrained("sft")
    with torch.no_grad():
        off = (bare(**given).logits - model("sft")(some.tokens, some.attended)).abs()
    padded = ~some.attended[:, 0]
    assert padded.any()
    assert off[padded][some.attended[padded]].max() > 0.1
    assert off[~padded][some.attended[~padded]].max() == 0


def test_a_bias_that_ours_has_not_is_not_dropped_silently() -> None:
    theirs = hugging_face.load("sft")
    with torch.no_grad():
        theirs.transformer.h[0].attn.c_attn.bias[0] = 0.1
    with pytest.raises(ValueError, match="learned biases"):
        hugging_face.imported(theirs, model("sft"))


def test_texts_become_the_same_tokens_and_back() -> None:
    theirs = hugging_face.fast_tokenizer()
    rows = hugging_face.demonstration_rows(lesson().shown)
    for row in [*rows, *hugging_face.preference_rows(pairs())]:
        prompt, *answers = row.values()
        for text in (prompt, *answers, *(prompt + answer for answer in answers)):
            assert theirs(text)["input_ids"] == WORDS.encode(text)
            assert theirs.decode(theirs(text)["input_ids"]).split() == text.split()
    assert theirs(hugging_face.completion(""))["input_ids"] == []
    assert theirs("how do i learn physics ?")["input_ids"].count(PAD) == 1  # silently
    with pytest.raises(ValueError, match="physics"):
        hugging_face.check_words([{"prompt": "how do i learn physics ?"}])


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_advantages_and_divergences_are_the_same(name: str) -> None:
    config, make, kind = (
        (GRPO, GRPOTrainer, GRPOConfig) if name == "grpo" else (RLOO, RLOOTrainer, RLOOConfig)
    )
    trainer = online(make, kind, config, "ppo", **STILL)
    inputs, answers = sampled(trainer)
    rollout, mask = rolled_out(answers), answers.response_mask
    ours = grpo.advantages(rollout, config)[:, 0]
    torch.testing.assert_close(inputs["advantages"], ours, atol=2e-5, rtol=TOLERANCE)
    assert not torch.allclose(inputs["advantages"], -ours, atol=1e-2)
    by_token = (rollout.logprobs, rollout.ref_logprobs)
    if name == "grpo":
        reference = inputs["ref_per_token_logps"]
        torch.testing.assert_close(
            reference[mask], rollout.ref_logprobs[mask], atol=TOLERANCE, rtol=TOLERANCE
        )
        trainer._compute_loss(trainer.model, inputs)
        kl = formulas.masked_mean(formulas.kl_k3(*by_token), mask)
    else:
        kl = formulas.masked_mean(formulas.kl_k1(*by_token), mask)
    logged = trainer._metrics["train"]["kl"][0]
    assert logged == pytest.approx(kl.item(), rel=TOLERANCE)


# Where they differ by design.


def test_the_default_kl_is_k3_times_the_ratio() -> None:
    published, default = (
        online_sides("", name="grpo", **{"use_bias_correction_kl": corrected})
        for corrected in (False, True)
    )
    assert apart(*published) < TOLERANCE
    assert apart(*default) > 100 * TOLERANCE
    with patch.dict(grpo.PENALTIES, {"loss": grpo.PENALTIES["loss_ratio_k3"]}):
        assert apart(*online_sides("", name="grpo", use_bias_correction_kl=True)) < TOLERANCE


def test_other_averages_over_tokens_are_other_losses_by_a_known_factor() -> None:
    ours, theirs = online_sides("", name="grpo", loss_type="dr_grpo")
    trainer = online(GRPOTrainer, GRPOConfig, GRPO, "ppo", **STILL)
    _, answers = sampled(trainer)
    tokens, most = answers.lengths.sum(), len(answers.tokens) * GRPO.response_limit
    assert apart(ours, theirs) > 0.1
    assert apart((ours[0] * tokens / most, ours[1] * tokens / most), theirs) < TOLERANCE

    def of_each_answer(values: Tensor, mask: Tensor) -> Tensor:
        return (values.masked_fill(~mask, 0).sum(1) / mask.sum(1)).mean()

    losses = patch("rlhf_explained.formulas.losses.mean_of_counted", of_each_answer)
    with losses, patch("rlhf_explained.formulas.masked_mean", of_each_answer):
        assert apart(*online_sides("", name="grpo", loss_type="grpo")) < TOLERANCE
    assert apart(*online_sides("", name="grpo", loss_type="grpo")) > 0.01


def test_without_the_spread_advantages_are_those_of_rloo_times_seven_eighths() -> None:
    trainer = online(GRPOTrainer, GRPOConfig, GRPO, "ppo", scale_rewards="none", **STILL)
    inputs, answers = sampled(trainer)
    plain = replace(GRPO, divide_by_std=False)
    others = grpo.advantages(rolled_out(answers), plain)[:, 0]
    share = (GRPO.group_size - 1) / GRPO.group_size
    torch.testing.assert_close(inputs["advantages"], share * others, atol=2e-5, rtol=TOLERANCE)


def test_on_policy_rloos_gradient_is_ours_times_the_mean_length() -> None:
    trainer = online(RLOOTrainer, RLOOConfig, RLOO, "ppo", **STILL)
    inputs, answers = sampled(trainer)
    trainer._compute_loss(trainer.model, inputs).backward()
    rollout, policy = rolled_out(answers), copy.deepcopy(model("ppo"))
    logprobs = formulas.token_logprobs(response_logits(policy, answers), answers.responses)
    better = grpo.advantages(rollout, RLOO)
    mask = answers.response_mask
    formulas.ppo_policy_loss(logprobs, rollout.logprobs, better, mask, clip_range=0.2).backward()
    ours, theirs = gradient(policy), gradient(trainer.model)
    longer = answers.lengths.float().mean()
    assert (theirs - longer * ours).abs().max() < 10 * TOLERANCE * theirs.abs().max()
    assert (theirs - ours).abs().max() > 0.5 * theirs.abs().max()


# Whole trainings, short ones; the notebook does them at full length.

Twins = tuple[GPT, GPT, GPT, list[str], list[str]]  # the start, ours, TRL's, and what each sampled


def sft_twins(broken: str) -> Twins:
    config, start = sft.SFTConfig(steps=6), model("base")
    rows, luck = hugging_face.demonstration_rows(lesson().shown), torch.Generator()
    luck.manual_seed(0)
    order = [
        row
        for _ in range(config.steps)
        for row in torch.randperm(len(rows), generator=luck)[: config.batch].tolist()
    ]
    shown = lesson().packed(lesson().shown)
    shown = replace(shown, response_mask=without_end(shown, broken == "our mask"))
    ours = sft.train_sft(start, shown, shown, config, generator=luck.manual_seed(0)).policy
    theirs = hugging_face.load("base")
    optimizer = torch.optim.AdamW(theirs.parameters(), config.learning_rate, fused=True)
    trainer = SFTTrainer(
        theirs,
        args=settings(
            SFTConfig, max_steps=config.steps, per_device_train_batch_size=config.batch,
            lr_scheduler_type="constant", train_sampling_strategy="sequential",
            completion_only_loss=broken != "their mask",
        ),
        train_dataset=Dataset.from_list([rows[row] for row in order]),
        processing_class=hugging_face.fast_tokenizer(),
        optimizers=(optimizer, None),
    )  # fmt: skip
    trainer.train()
    return start, ours, hugging_face.imported(trainer.model, start), [], []


def reward_twins(broken: str) -> Twins:
    config, start = reward_model.RewardModelConfig(epochs=4), model("sft")
    luck, steps = torch.Generator().manual_seed(0), config.steps(len(pairs()))
    groups = reward_model.groups_of_similar_length(pairs(), config.batch)
    order = [
        row
        for _ in range(config.epochs)
        for group in torch.randperm(len(groups), generator=luck).tolist()
        for row in groups[group].tolist()
    ]
    ours = reward_model.train_reward_model(
        start, told(broken), pairs(), config, generator=luck.manual_seed(0)
    ).reward_model
    theirs = hugging_face.load("sft", judges=True)
    body = [part for part in theirs.transformer.parameters() if part.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": body}, {"params": theirs.score.parameters()}],
        weight_decay=config.weight_decay,
        fused=True,
    )
    rates = [config.learning_rate, config.learning_rate * config.head_speed]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=steps, pct_start=2 / steps
    )
    rows = hugging_face.preference_rows(pairs())
    rows = [rows[row] for row in order]
    trainer = RewardTrainer(
        theirs,
        args=settings(
            RewardConfig, max_steps=steps, per_device_train_batch_size=config.batch,
            train_sampling_strategy="sequential",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=hugging_face.fast_tokenizer(),
        optimizers=(optimizer, schedule),
    )  # fmt: skip
    mistake(trainer, broken)
    trainer.train()
    return start, ours, hugging_face.imported(trainer.model, start), [], []


def dpo_twins(broken: str) -> Twins:
    config, start = dpo.DPOConfig(steps=6), model("sft")
    luck = torch.Generator().manual_seed(0)
    order = [
        row
        for _ in range(config.steps)
        for row in torch.randint(len(pairs()), (config.batch,), generator=luck).tolist()
    ]
    priced = replace(config, beta=config.beta * (2 if broken == "our coefficient" else 1))
    ours = dpo.train_dpo(
        start, told(broken).chosen, told(broken).rejected, priced, generator=luck.manual_seed(0)
    ).policy
    rows = [hugging_face.preference_rows(pairs())[row] for row in order]
    trainer = DPOTrainer(
        hugging_face.load("sft"),
        args=settings(
            DPOConfig, max_steps=config.steps, per_device_train_batch_size=config.batch,
            beta=config.beta * (2 if broken == "their coefficient" else 1),
            learning_rate=config.learning_rate, lr_scheduler_type="polynomial",
            lr_scheduler_kwargs={"power": 1.0, "lr_end": config.learning_rate / 10},
            train_sampling_strategy="sequential",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=hugging_face.fast_tokenizer(),
    )  # fmt: skip
    mistake(trainer, broken)
    trainer.train()
    return start, ours, hugging_face.imported(trainer.model, start), [], []


def heard(answers: Sequences, ears: list[str]) -> Tensor:
    ears.extend(WORDS.decode(row) for row in answers.responses.tolist())
    return score(model("reward_model"), answers)


def online_twins(broken: str, *, name: str) -> Twins:
    config, make, kind = (
        (GRPO, GRPOTrainer, GRPOConfig) if name == "grpo" else (RLOO, RLOOTrainer, RLOOConfig)
    )
    said: tuple[list[str], list[str]] = [], []
    dice, rounds = torch.Generator(), iter(range(config.iterations))

    def draw_prompts(count: int) -> list[list[int]]:
        number = next(rounds)
        dice.manual_seed(number)
        return lesson().tokens(asked()[number * count : (number + 1) * count])

    right = of_whole_answers if name == "rloo" else formulas.ppo_policy_loss

    def loss(logprobs: Tensor, old: Tensor, better: Tensor, mask: Tensor, **named: Any) -> Tensor:
        better = -better if broken == "our sign" else better
        ends = mask & ~mask.roll(-1, 1) if broken == "our mask" else torch.zeros_like(mask)
        return right(logprobs, old, better, mask & ~ends, **named)

    price = config.kl_coef * (3 if broken == "our coefficient" else 1)
    with patch.object(grpo, "ppo_policy_loss", loss):
        ours = grpo.train_grpo(
            model("sft"), partial(heard, ears=said[0]), replace(config, kl_coef=price),
            draw_prompts=draw_prompts, generator=dice,
        ).policy  # fmt: skip
    own: dict[str, Any] = dict(PUBLISHED) if name == "grpo" else {}
    own |= {"beta": 3 * config.kl_coef} if broken == "their coefficient" else {}
    trainer = online(make, kind, config, "sft", judge=partial(heard, ears=said[1]), **own)
    mistake(trainer, broken)
    trainer.train()
    return model("sft"), ours, hugging_face.imported(trainer.model, model("sft")), *said


TWINS: dict[str, Callable[[str], Twins]] = {
    "sft": sft_twins,
    "reward": reward_twins,
    "dpo": dpo_twins,
    "grpo": partial(online_twins, name="grpo"),
    "rloo": partial(online_twins, name="rloo"),
}
BROKEN_TWINS = [pair for pair in BREAKAGES if pair[0] != "sft" or pair[1].endswith("mask")]


def far(one: GPT, other: GPT) -> float:
    """How far apart two models' weights are, as points; a bias that no loss sees aside."""
    weights, others = one.state_dict(), other.state_dict()
    names = [name for name in weights if name != "scalar_head.bias"]
    return torch.cat([(weights[name] - others[name]).flatten() for name in names]).norm().item()


@pytest.mark.parametrize("name", TWINS)
def test_with_the_same_rows_and_draws_it_is_the_same_training(name: str) -> None:
    start, ours, theirs, *said = TWINS[name]("")
    assert far(ours, theirs) < 0.02 * far(ours, start)
    assert said[0] == said[1]
    assert len(said[0]) == (96 if name in ("grpo", "rloo") else 0)
    if name == "reward":
        choices = [
            score(one, pairs().chosen) > score(one, pairs().rejected) for one in (ours, theirs)
        ]
        assert torch.equal(*choices)
    else:
        exams = [
            lesson().examine(policy, model("sft"), model("reward_model"), answers=2)
            for policy in (ours, theirs)
        ]
        assert [a.response for a in exams[0]] == [a.response for a in exams[1]]


@pytest.mark.parametrize(("name", "broken"), BROKEN_TWINS)
def test_a_training_with_another_sign_mask_or_coefficient_is_another(
    name: str, broken: str
) -> None:
    start, ours, theirs, *_ = TWINS[name](broken)
    assert far(ours, theirs) > 0.1 * far(ours, start)
