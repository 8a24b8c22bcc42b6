"""Floor 5: the run with a reader's own preferences in place of the labeler's.

A file holds one comparison a line, as JSON: a prompt, the answer that was chosen, and the one that
was rejected. From stage 2 on everything is done as in the run of the seed: a reward model learns
from these comparisons, PPO practises with it, and every policy is evaluated.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import save_file

from rlhf_explained import memo, pipeline, training
from rlhf_explained.disk import shown
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import Progress, Run, RunConfig
from rlhf_explained.rollout import score
from rlhf_explained.stages.evaluation import by_question, clustered
from rlhf_explained.stages.pretrain import PretrainResult
from rlhf_explained.stages.reward_model import Preferences
from rlhf_explained.stages.sft import SFTResult
from rlhf_explained.studies.reward_data import worth
from rlhf_explained.world.corpus import ASIDE, CLOSER, OPENER
from rlhf_explained.world.labeler import categorise, gold_reward
from rlhf_explained.world.questions import questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

FIELDS = ("prompt", "chosen", "rejected")
HELD_OUT = 5
"""One comparison of so many, and at most `MOST_HELD_OUT`, is not learned from."""
MOST_HELD_OUT = 1000

_ASKED = {question.text: question for question in questions()}
TRAITS: dict[str, Callable[[str, str], float]] = {
    "words": lambda prompt, answer: len(answer.split()),
    "opens politely": lambda prompt, answer: answer.startswith(OPENER),
    "closes politely": lambda prompt, answer: answer.endswith(CLOSER),
    "adds a fact": lambda prompt, answer: ASIDE in answer,
    **{
        category.replace("_", "-"): lambda prompt, answer, category=category: (
            prompt in _ASKED and categorise(_ASKED[prompt], answer) == category
        )
        for category in CATEGORIES
    },
}
"""What an answer has more or less of than another one, by prompt and answer."""


@dataclass(frozen=True)
class Comparison:
    """What somebody chose.

    Attributes:
        prompt: What was asked.
        chosen: The answer that they preferred.
        rejected: The other one.
    """

    prompt: str
    chosen: str
    rejected: str


def read(file: Path) -> list[Comparison]:
    """Read comparisons from a file of JSON lines.

    Blank lines, a byte order mark and the line ends of Windows do not matter.

    Args:
        file: In UTF-8.

    Returns:
        At least two comparisons, in order, their words separated by single blanks.

    Raises:
        ValueError: If there is no such file, or a line is not a comparison that the model can read.
            The message names the file, the line and the field.
    """
    if not file.is_file():
        what = "is no file" if file.exists() else "does not exist"
        raise ValueError(f"{shown(file)} {what}: name a file with a comparison on each line")
    found: list[Comparison] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                found += [_comparison(text)] if text else []
            except UnicodeDecodeError:
                why = "this is not UTF-8: save the file as UTF-8"
                raise ValueError(f"{shown(file)}:{number}: {why}") from None
            except ValueError as error:
                raise ValueError(f"{shown(file)}:{number}: {error}") from None
    if len(found) < 2:
        count = f"the file holds {len(found) or 'no'} comparison{'s' * (not found)}"
        why = "at least two are needed, one to learn from and one to be held out"
        raise ValueError(f"{shown(file)}:1: {count}: {why}")
    return found


def _comparison(line: str) -> Comparison:
    """Read one line; what is wrong with it is a ValueError without the place."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(row, dict):
        fields = ", ".join(f'"{name}": "…"' for name in FIELDS)
        raise ValueError(f"this is no object: write {{{fields}}}")
    texts = {name: _text(name, row) for name in FIELDS}
    if texts["chosen"] == texts["rejected"]:
        raise ValueError("rejected: this is the chosen answer: nothing was preferred to it")
    return Comparison(**texts)


@cache
def _words() -> frozenset[str]:
    """All that the model can read; nobody writes its signs for padding and for the end."""
    return frozenset(world_tokenizer().words[2:])


def _text(name: str, row: dict[str, Any]) -> str:
    """One field, as words that the model knows and has room for."""
    if name not in row:
        raise ValueError(f"{name}: this field is missing")
    if not isinstance(row[name], str):
        raise ValueError(f"{name}: {json.dumps(row[name])[:40]} is not a text")
    words, known = row[name].split(), _words()
    if not words and name == "prompt":
        raise ValueError("prompt: this is empty")
    for word in words:
        if word not in known:
            guess = difflib.get_close_matches(word.lower(), sorted(known), n=1)
            cure = f"did you mean {guess[0]!r}?" if guess else "the vocabulary is closed"
            raise ValueError(f"{name}: the model has no word {word!r}; {cure}")
    context = GPTConfig(len(known)).context
    room = context - RESPONSE_LIMIT if name == "prompt" else RESPONSE_LIMIT - 1
    if len(words) > room:
        raise ValueError(f"{name}: {len(words)} words are too many: there is room for {room}")
    return " ".join(words)


def divided(comparisons: Sequence[Comparison]) -> tuple[list[Comparison], list[Comparison]]:
    """Hold a part of the comparisons out, with all that were made on the same prompts.

    Args:
        comparisons: At least two.

    Returns:
        Those to learn from, and about a fifth that are held out, 1,000 at most. If all are on one
        prompt, this prompt is on either side.
    """
    wanted = min(max(1, len(comparisons) // HELD_OUT), MOST_HELD_OUT)
    by_prompt: dict[str, list[Comparison]] = {}
    for one in comparisons:
        by_prompt.setdefault(one.prompt, []).append(one)
    if len(by_prompt) == 1:
        return [*comparisons[wanted:]], [*comparisons[:wanted]]
    in_turn = sorted(by_prompt, key=lambda prompt: hashlib.sha256(prompt.encode()).digest())
    held: set[str] = set()
    heldout: list[Comparison] = []
    for prompt in in_turn[:-1]:
        if len(heldout) < wanted:
            held.add(prompt)
            heldout += by_prompt[prompt]
    return [one for one in comparisons if one.prompt not in held], heldout[:MOST_HELD_OUT]


def run(
    comparisons: Sequence[Comparison],
    config: RunConfig | None = None,
    *,
    progress: Progress = lambda stage, step, steps, loss: None,
) -> Run:
    """Train stages 2 and 3 on a reader's comparisons, or recall what was trained on the same.

    Args:
        comparisons: As `read` returns them.
        config: Which run's base model and SFT policy to start from; the site's by default.
        progress: Called after each step of each stage.

    Returns:
        The run. It has `preferences`.

    Raises:
        DiskError: If it has to be trained and the memo cannot be written.
    """
    config = config or RunConfig()
    key = memo.key(
        run=pipeline.run_key(config),
        source=pipeline.source_digest(Path(__file__)),
        comparisons=[asdict(one) for one in comparisons],
    )
    folder = memo.entry("runs", key, lambda into: train(comparisons, config, into, progress))
    return Run(config, key, folder)


class Taught(training.Lesson):
    """A lesson whose labeler is the reader.

    Args:
        comparisons: What they chose.
        start: A remembered run of the same seed, which has the first two stages; or None.
        **settings: Of the lesson.
    """

    def __init__(
        self, comparisons: Sequence[Comparison], start: Run | None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.sides, self.start = divided(comparisons), start
        self.comparison = replace(
            self.comparison,
            pairs=len(self.sides[0]),
            heldout_pairs=len(self.sides[1]),
            epochs=worth(len(self.sides[0])),  # the fewer there are, the more often
        )

    def pretrain(self) -> PretrainResult:
        """Stage 0, or what it gave before."""
        if not self.start:
            return super().pretrain()
        return PretrainResult(self.start.policy("base"), self.start.history["pretrain"])

    def fine_tune(
        self, base: GPT, demonstrations: Sequence[tuple[str, str]] | None = None
    ) -> SFTResult:
        """Stage 1, or what it gave before."""
        if not self.start:
            return super().fine_tune(base, demonstrations)
        return SFTResult(self.start.policy("sft"), self.start.history["sft"])

    def compare(self, sft: GPT) -> tuple[Preferences, Preferences]:
        """Stage 2, first half: the reader's comparisons, whatever the policy would say."""
        learned, heldout = map(self.preferences, self.sides)
        return learned, heldout

    def preferences(self, comparisons: Sequence[Comparison]) -> Preferences:
        """Comparisons as stage 2 takes them. How sure the reader was is not known."""
        chosen, rejected = (
            self.packed([(one.prompt, getattr(one, side)) for one in comparisons])
            for side in ("chosen", "rejected")
        )
        gold = (
            [_gold(one.prompt, getattr(one, side)) for one in comparisons]
            for side in ("chosen", "rejected")
        )
        return Preferences(chosen, rejected, *map(torch.tensor, gold), ceiling=math.nan)


def _gold(prompt: str, answer: str) -> float:
    """The labeler's reward; NaN for what the world does not ask."""
    return gold_reward(_ASKED[prompt], answer) if prompt in _ASKED else math.nan


def train(
    comparisons: Sequence[Comparison], config: RunConfig, folder: Path, progress: Progress
) -> None:
    """Train all stages with these comparisons in place of the labeler's, and write the run down.

    Args:
        comparisons: At least two.
        config: Which run's randomness. If that run is remembered, its base model and its SFT policy
            are taken from there.
        folder: Where to; it must exist.
        progress: Called after each step of each stage.
    """
    before = memo.find("runs", pipeline.run_key(config))
    start = Run(config, "", before) if before else None
    with training.one_thread():
        lesson = Taught(
            comparisons, start, seed=config.seed, effort=config.effort, progress=progress
        )
        outcome = training.go_through(lesson)
        report = training.measured(lesson, outcome) | training.in_words(lesson, outcome)
        reward_model = outcome.rewarded.reward_model
        report["preferences"] = keyed_on(lesson, outcome)
    report["reward_model"]["accuracy_ceiling"] = None
    answers = outcome.answers
    written = {
        "report": report,
        "responses": {
            name: [asdict(answer) for answer in given[1.0]] for name, given in answers.items()
        },
        "by_question": {
            name: {str(temperature): by_question(exam) for temperature, exam in given.items()}
            for name, given in answers.items()
        },
        "data": training.data(lesson, outcome),
    }
    for name, content in written.items():
        # gold of what the world does not ask is NaN, which JSON has not
        known = json.loads(json.dumps(content), parse_constant=lambda _: None)
        (folder / f"{name}.json").write_text(json.dumps(known), encoding="utf-8")
    models = {**outcome.policies, "reward_model": reward_model, "critic": outcome.ppo.critic}
    for name, model in models.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")


@torch.no_grad()
def keyed_on(lesson: Taught, outcome: training.Outcome) -> dict[str, Any]:
    """What the reader and their reward model prefer, and what the policy made of it.

    Args:
        lesson: With the reader's comparisons.
        outcome: What came out of it.

    Returns:
        `comparisons` and `heldout`, their numbers; `prompts`; `exam_prompts`, those of them that
        the evaluation asks too; `accuracy`, on held-out comparisons, and `accuracy_stderr`,
        clustered by prompt; `agreement`, in how many of the comparisons to which the labeler's
        reward is known the labeler would choose alike (None if there are none). `traits`: of each,
        the number of comparisons whose sides differ in it, `reader` and `reward_model`, in which
        share of them the side with more of it is preferred, and `sft` and `ppo`, its mean in their
        answers.
    """
    learned, heldout = lesson.sides
    both = [*learned, *heldout]
    sides = [
        torch.cat(
            [
                score(outcome.rewarded.reward_model, getattr(pairs, side).rows(rows))
                for pairs in (outcome.preferences, outcome.heldout)
                for rows in torch.arange(len(pairs)).split(1000)
            ]
        ).tolist()
        for side in ("chosen", "rejected")
    ]
    leads = [chosen - rejected for chosen, rejected in zip(*sides, strict=True)]
    right = [float(lead > 0) for lead in leads]
    accuracy, error = clustered(
        [(one.prompt, hit) for one, hit in zip(heldout, right[len(learned) :], strict=True)]
    )
    golds = [(_gold(one.prompt, one.chosen), _gold(one.prompt, one.rejected)) for one in both]
    agreed = [
        chosen > rejected
        for chosen, rejected in golds
        if chosen != rejected and chosen == chosen  # noqa: PLR0124 - NaN equals nothing
    ]
    prompts = {one.prompt for one in both}
    return {
        "comparisons": len(learned),
        "heldout": len(heldout),
        "prompts": len(prompts),
        "exam_prompts": sum(prompt in _ASKED and _ASKED[prompt].held_out for prompt in prompts),
        "accuracy": accuracy,
        "accuracy_stderr": error,
        "agreement": fmean(agreed) if agreed else None,
        "traits": {name: _trait(trait, both, leads, outcome) for name, trait in TRAITS.items()},
    }


def _trait(
    trait: Callable[[str, str], float],
    comparisons: Sequence[Comparison],
    leads: Sequence[float],
    outcome: training.Outcome,
) -> dict[str, float | int | None]:
    """How a trait decides, and how much of it answers have."""
    differ = []
    for one, lead in zip(comparisons, leads, strict=True):
        more = trait(one.prompt, one.chosen) - trait(one.prompt, one.rejected)
        differ += [(more > 0, more * lead > 0)] if more else []
    preferred = [fmean(which) for which in zip(*differ, strict=True)] or [None, None]
    return {
        "differ": len(differ),
        "reader": preferred[0],
        "reward_model": preferred[1],
        **{
            policy: fmean(
                trait(each.prompt, each.response) for each in outcome.answers[policy][1.0]
            )
            for policy in ("sft", "ppo")
        },
    }
