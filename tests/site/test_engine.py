"""The engine of the live parts, `explore/js/engine.js`, beside the Python that it mirrors.

It runs in Chromium, on the run's models as the site publishes them. Answers that it draws differ
between browsers in rare cases, so tests compare what is computed about given answers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser

from rlhf_explained.explore import rounding
from rlhf_explained.explore.world import world
from rlhf_explained.formulas import bradley_terry_loss, token_logprobs
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.pipeline import Run
from rlhf_explained.rollout import Rollout, Sequences, pack, response_logits, score
from rlhf_explained.rollout import sequence_logprobs as logprobs_of
from rlhf_explained.site.shown_run import current_run
from rlhf_explained.stages.grpo import GRPOConfig, advantages
from rlhf_explained.world.labeler import categorise, gold_reward
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import world_tokenizer
from tests.site.conftest import ROOT, patient

ENGINE = ROOT / "rlhf_explained" / "explore" / "js" / "engine.js"
MODELS = tuple(rounding.BEFORE)
TOOLS = """
const drain = work => { for (;;) { const { done, value } = work.next(); if (done) return value } }
const { data } = explore, world = new explore.World(data.world), states = {}
for (const [name, before] of BEFORE) states[name] = explore.unpacked(data[name], states[before])
const { heads } = data.world
const model = (name, twin, frozen) => {
  return new explore.Model(states[name], { heads, room: 2048, twin, frozen })
}
const answered = (tree, prompt, tokens) => {
  const start = tree.follow(prompt).at(-1)
  return { start, tokens, nodes: tree.follow(tokens, start), ended: tokens.at(-1) === 1 }
}
const every = tree => Array.from({ length: tree.size }, (_, node) => node)
"""

Evaluate = Callable[..., Any]


@cache
def rounded(name: str) -> GPT:
    """A model of the run with the numbers that a browser has."""
    run = current_run()
    shape = json.loads((run.folder / "report.json").read_text(encoding="utf-8"))["shape"]
    model = GPT(GPTConfig(**shape), generator=torch.Generator())
    state = rounding.rounded(run, name)
    model.load_state_dict({part: torch.from_numpy(numbers) for part, numbers in state.items()})
    return model


@cache
def recorded(count: int, *policies: str) -> list[tuple[list[int], list[int]]]:
    """Prompts and answers of the run in tokens, without `<eos>`: so many of each policy."""
    encode = world_tokenizer().encode
    return [
        (encode(one["prompt"]), encode(one["response"]))
        for policy in policies or ("base", "sft", "ppo", "ppo_no_kl")
        for one in current_run().responses[policy][:count]
    ]


@pytest.fixture(scope="module")
def shown() -> Run:
    """The run of the site."""
    return current_run()


@pytest.fixture(scope="module")
def evaluate(browser: Browser, shown: Run) -> Iterator[Evaluate]:
    """Evaluate JavaScript in a page that has the engine, all models, and the tools above."""
    page = patient(browser.new_page())
    told = [f"explore.data.{name} = {rounding.packed(shown, name)}" for name in MODELS]
    told += [f"explore.data.world = {json.dumps(world(shown))}"]
    before = f"const BEFORE = {json.dumps(list(rounding.BEFORE.items()))}"
    page.add_script_tag(content="window.explore = { data: {}, kinds: {} }")
    for script in (*told, ENGINE.read_text(encoding="utf-8"), before + TOOLS):
        page.add_script_tag(content=script)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page.evaluate
    page.close()
    assert wrong == []


@pytest.mark.parametrize("name", MODELS)
def test_a_browser_unpacks_the_very_numbers(name: str, evaluate: Evaluate, shown: Run) -> None:
    told = evaluate(
        """name => Object.entries(states[name]).map(([part, numbers]) => {
          let bytes = ""
          for (const byte of new Uint8Array(numbers.buffer)) bytes += String.fromCharCode(byte)
          return [part, btoa(bytes)]
        })""",
        name,
    )
    state = rounding.rounded(shown, name)
    assert {part for part, _ in told} == set(state)
    for part, numbers in told:
        assert np.array_equal(np.frombuffer(base64.b64decode(numbers), "<f4"), state[part].ravel())


@pytest.mark.parametrize("name", MODELS)
def test_rounding_moves_a_model_by_a_millionth_of_a_nat(name: str, shown: Run) -> None:
    exact, model = shown.policy(name), rounded(name)
    divergence, scores = [], []
    with torch.no_grad():
        for prompt, answer in recorded(40):
            row = pack([prompt], [answer])
            one, other = (response_logits(m, row).log_softmax(-1).double() for m in (exact, model))
            divergence.append((one.exp() * (one - other)).sum(-1).mean().item())
            scores.append((score(exact, row) - score(model, row)).abs().item())
    assert 0 < float(np.mean(divergence)) <= 1e-6
    assert max(scores) <= 0.03


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_words_and_scores_are_as_likely_and_as_high(
    name: str, frozen: bool, evaluate: Evaluate
) -> None:
    """Logits, log-probabilities and scores, of a tree that grows in between."""
    rows = [[*prompt, *answer, 1] for prompt, answer in recorded(6)]
    told = evaluate(
        """([name, rows, frozen]) => {
          const one = model(name, null, frozen), tree = new explore.Tree(2048), logits = []
          const nodes = rows.map(row => {
            const some = tree.follow(row)
            drain(one.read(tree, some.slice(0, 1)))
            return some
          })
          const words = (numbers, n) => {
            return numbers.subarray(n * one.vocabulary, (n + 1) * one.vocabulary)
          }
          for (const n of every(tree).slice(1)) { // of the last nodes it keeps the logits
            drain(one.read(tree, [n]))
            logits[n] = [...words(one.logits, 0)]
          }
          return nodes.map(row => row.slice(1).map(n => {
            return [one.scalar[n], ...words(one.logprobs, n), ...logits[n]]
          }))
        }""",
        [name, rows, frozen],
    )
    with torch.no_grad():
        for row, numbers in zip(rows, told, strict=True):
            hidden = rounded(name).hidden(torch.tensor([row]))
            scalar, logits = rounded(name).scalar(hidden), rounded(name).logits(hidden)
            expected = torch.cat([scalar[..., None], logits.log_softmax(-1), logits], -1)[0]
            assert (torch.tensor(numbers) - expected[1:]).abs().max() <= 1e-4


def test_log_ratios_are_as_large(evaluate: Evaluate) -> None:
    for name in ("base", "ppo", "ppo_no_kl"):
        given = recorded(30, name)
        told = evaluate(
            """([name, rows]) => {
              const tree = new explore.Tree(2048), one = model(name), sft = model("sft")
              const answers = rows.map(([prompt, answer]) => answered(tree, prompt, [...answer, 1]))
              for (const each of [one, sft]) drain(each.read(tree, every(tree)))
              return answers.map(answer => explore.logRatio(one, sft, answer))
            }""",
            [name, given],
        )
        rows = pack(*zip(*given, strict=True))
        with torch.no_grad():
            expected = logprobs_of(rounded(name), rows) - logprobs_of(rounded("sft"), rows)
        assert (torch.tensor(told) - expected).abs().max() <= 1e-4 * 34  # of each word


TWIN = ("blocks.1.mlp_out.bias", "final_norm.weight", "final_norm.bias")


@pytest.mark.parametrize("twin", [False, True])
def test_gradients_are_as_large_and_point_the_same_way(twin: bool, evaluate: Evaluate) -> None:
    """Of a sum of log-probabilities and scores, each with a weight of its own."""
    given = recorded(5)
    told = evaluate(
        """([rows, twin]) => {
          const tree = new explore.Tree(2048), sft = model("sft")
          const one = twin ? model("sft", sft) : sft
          const answers = rows.map(([prompt, answer]) => answered(tree, prompt, [...answer, 1]))
          drain(one.read(tree, every(tree)))
          const outer = (node, row) => {
            let scalar = 0
            answers.forEach((answer, i) => explore.before(answer).forEach((at, place) => {
              if (at !== node) return
              const weight = Math.cos(i + place)
              scalar += Math.sin(i + place)
              row[answer.tokens[place]] += weight
              for (let word = 0; word < row.length; word++) {
                row[word] -= weight * Math.exp(one.logprobs[node * row.length + word])
              }
            }))
            return scalar
          }
          drain(one.backward(tree, every(tree), outer))
          return Object.fromEntries(one.trained.map(name => [name, [...one.gradient[name]]]))
        }""",
        [given, twin],
    )
    model = rounded("sft")
    model.zero_grad()
    for i, (prompt, answer) in enumerate(given):
        hidden = model.hidden(torch.tensor([[*prompt, *answer, 1]]))[:, len(prompt) - 1 : -1]
        chosen = token_logprobs(model.logits(hidden), torch.tensor([[*answer, 1]]))[0]
        places = i + torch.arange(len(chosen))
        (places.cos() @ chosen + places.sin() @ model.scalar(hidden)[0]).backward()
    own = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
    assert set(told) == (set(TWIN) if twin else set(own))
    for name, numbers in told.items():
        close(torch.tensor(numbers), own[name].flatten())


def close(told: torch.Tensor, expected: torch.Tensor) -> None:
    """A ten-thousandth of the size, of each number's and of the whole."""
    assert expected.abs().max() > 0
    assert (told - expected).norm() <= 1e-4 * expected.norm()
    assert (told - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("twin", [False, True])
def test_a_round_of_rloo_is_the_stages(twin: bool, evaluate: Evaluate) -> None:
    """The answers are drawn in the browser; what is learned from them is computed here, too."""
    prompts = [world_tokenizer().encode(question.text) for question in questions()[::40]]
    told = evaluate(
        """([prompts, twin]) => {
          const tree = new explore.Tree(2048), sft = model("sft"), judge = model("reward_model")
          const one = twin ? model("ppo", sft) : model("ppo")
          function* scores(answers) {
            const ends = answers.map(answer => answer.nodes.at(-1))
            yield* judge.read(tree, ends)
            return ends.map(node => judge.scalar[node])
          }
          const round = drain(explore.rloo({
            model: one, reference: sft, judge: scores, tree, prompts, group: 4,
            random: explore.randomness(3), kl: 0.3, rate: 0,
          }))
          const gradient = one.trained.map(name => [name, [...one.gradient[name]]])
          const answers = round.answers.map(answer => answer.tokens)
          return { ...round, answers, gradient: Object.fromEntries(gradient) }
        }""",
        [prompts, twin],
    )
    model = twin_of("sft", "ppo") if twin else rounded("ppo")
    each = [prompt for prompt in prompts for _ in range(4)]
    assert all(tokens[-1] == 1 for tokens in told["answers"]), "none was cut off"
    rows = pack(each, [tokens[:-1] for tokens in told["answers"]])
    assert score(rounded("reward_model"), rows).mean().item() == pytest.approx(
        told["score"], abs=1e-4
    )
    model.zero_grad()
    loss, kl = policy_loss(model, rows)
    loss.backward()
    assert kl == pytest.approx(told["kl"], abs=1e-3)
    parts = dict(model.named_parameters())
    for name in TWIN if twin else told["gradient"]:
        if not name.startswith("scalar_head"):  # which no word depends on
            close(torch.tensor(told["gradient"][name]), parts[name].grad.flatten())


def twin_of(body: str, head: str) -> GPT:
    """One model with the other one's three vectors."""
    shape = rounded(body).config
    model = GPT(shape, generator=torch.Generator())
    own = {name: rounded(head).state_dict()[name] for name in TWIN}
    model.load_state_dict({**rounded(body).state_dict(), **own})
    return model


def policy_loss(model: GPT, rows: Sequences) -> tuple[torch.Tensor, float]:
    """The stage's loss in its first step, where all ratios are 1, and the mean log-ratio."""
    logprobs = token_logprobs(response_logits(model, rows), rows.responses)
    with torch.no_grad():
        reference = token_logprobs(response_logits(rounded("sft"), rows), rows.responses)
        scores = score(rounded("reward_model"), rows)
    rollout = Rollout(rows, logprobs.detach(), reference, scores)
    config = GRPOConfig(group_size=4, kl_coef=0.3, kl_in="reward", divide_by_std=False)
    better, mask = advantages(rollout, config), rows.response_mask
    return -(better * logprobs)[mask].mean(), rollout.log_ratios.mean().item()


def test_steps_are_those_of_adam(evaluate: Evaluate) -> None:
    told = evaluate(
        """() => {
          const one = model("sft", model("sft")), random = explore.randomness(5)
          one.gradient = {}
          const gradients = []
          for (let step = 0; step < 4; step++) {
            for (const name of one.trained) {
              one.gradient[name] = Float32Array.from({ length: 64 }, () => random() - 0.5)
            }
            gradients.push(one.trained.map(name => [...one.gradient[name]]))
            one.step(0.01)
          }
          return [gradients, one.trained.map(name => [...one.w[name]])]
        }"""
    )
    gradients, expected = told
    state = rounded("sft").state_dict()
    parts = [torch.nn.Parameter(state[name].clone()) for name in TWIN]
    optimizer = torch.optim.AdamW(parts, 0.01, weight_decay=0.0)
    for step in gradients:
        for part, gradient in zip(parts, step, strict=True):
            part.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
    for part, numbers in zip(parts, expected, strict=True):
        assert (part - torch.tensor(numbers)).abs().max() <= 1e-6


def test_drawn_words_are_as_frequent_as_they_are_likely(evaluate: Evaluate) -> None:
    prompt = world_tokenizer().encode("how do i make tea ?")
    count, seen = 20_000, torch.zeros(len(world_tokenizer()), dtype=torch.double)
    for seed in range(10):
        first = evaluate(
            """([prompt, seed, count]) => {
              const tree = new explore.Tree(2048), random = explore.randomness(seed), limit = 1
              const some = explore.sample(model("base"), tree, [prompt], count, random, { limit })
              return drain(some).map(answer => answer.tokens[0])
            }""",
            [prompt, seed, count // 10],
        )
        seen += torch.bincount(torch.tensor(first), minlength=len(seen))
    with torch.no_grad():
        likely = rounded("base")(torch.tensor([prompt]))[0, -1].double().softmax(-1)
    errors = (count * likely * (1 - likely)).sqrt()
    common = likely > 0.002
    assert common.sum() >= 5
    assert ((seen - count * likely)[common].abs() <= 4 * errors[common]).all()
    assert (
        abs(seen[~common].sum() - count * likely[~common].sum())
        <= 4 * (count * likely[~common].sum()).sqrt() + 1
    )


def test_without_temperature_the_likeliest_words_are_drawn(evaluate: Evaluate) -> None:
    from rlhf_explained.rollout import generate

    prompts = [world_tokenizer().encode(question.text) for question in questions()[::30]]
    told = evaluate(
        """prompts => {
          const tree = new explore.Tree(2048), random = explore.randomness(1)
          const answers = explore.sample(model("ppo"), tree, prompts, 1, random, { temperature: 0 })
          return drain(answers).map(answer => answer.tokens)
        }""",
        prompts,
    )
    rows = generate(rounded("ppo"), prompts, limit=34, generator=torch.Generator(), temperature=0.0)
    expected = rows.responses.tolist()
    assert told == [row[: len(tokens)] for row, tokens in zip(expected, told, strict=True)]
    assert [len(tokens) for tokens in told] == rows.lengths.tolist()


def test_the_labelers_rules_are_the_same(evaluate: Evaluate, shown: Run) -> None:
    asked = {question.text: question for question in questions()}
    given = [(one["prompt"], one["response"]) for some in shown.responses.values() for one in some]
    given += [(prompt, f"{text} .") for prompt, text in given[::7]] + [(given[0][0], "")]
    told = evaluate(
        """given => given.map(([prompt, response]) => {
          const question = world.asked.get(prompt)
          return [world.categorise(question, response), world.gold(question, response)]
        })""",
        given,
    )
    expected = [(categorise(asked[p], r), gold_reward(asked[p], r)) for p, r in given]
    assert len({category for category, _ in expected}) == 6
    assert [category for category, _ in told] == [category for category, _ in expected]
    assert [gold for _, gold in told] == pytest.approx([gold for _, gold in expected], abs=1e-9)


def test_a_judge_from_choices_has_the_least_loss(evaluate: Evaluate) -> None:
    differences = torch.randn(20, 16, generator=torch.Generator().manual_seed(1)).double()
    told = evaluate("d => [...explore.bradleyTerry(d, 16, 0.2)]", differences.tolist())
    found = torch.tensor(told, dtype=torch.double, requires_grad=True)
    margins = differences @ found
    loss = bradley_terry_loss(margins, torch.zeros_like(margins)) + 0.1 * found.square().sum()
    loss.backward()
    assert found.grad is not None
    assert found.grad.abs().max() <= 1e-6
    assert found.abs().max() > 0.1
