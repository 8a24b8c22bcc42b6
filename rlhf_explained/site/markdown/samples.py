"""The `samples` fence: responses drawn by rule, never picked, as a table or as cards."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree.ElementTree import Element, SubElement

from markdown.util import AtomicString

from rlhf_explained.names import POLICIES
from rlhf_explained.pipeline import Run

NAMES = {
    "base": "Pretrained (base)",
    "sft": "SFT",
    "ppo": "RLHF (PPO)",
    "ppo_no_kl": "PPO without KL penalty",
}
STAGES = {"base": "base", "sft": "sft", "ppo": "ppo", "ppo_no_kl": "nokl"}
RULES = ("typical", "commonest", "prompts", "failures", "highest-proxy-failures")
OF_PROMPTS = ("typical", "commonest", "prompts")
OPTIONS = ("policies", "kinds", "layout", *RULES)
CATEGORY_WORDS = {
    "helpful": "✓ helpful",
    "harmful": "✗ harmful",
    "off_topic": "✗ off-topic",
    "rambling": "✗ rambling",
    "false": "✗ false",
    "broken": "✗ broken",
}

Response = Mapping[str, Any]


@dataclass(frozen=True)
class Samples:
    """What a fence asks for.

    Attributes:
        policies: Whose responses.
        rule: Which of their responses, see `RULES`.
        count: How many prompts or responses.
        kinds: Kinds of prompt to stay with; empty for all.
        layout: One row for each prompt, or one card for each policy.
        caption: Inline Markdown.
    """

    policies: tuple[str, ...]
    rule: str
    count: int
    kinds: tuple[str, ...]
    layout: Literal["table", "cards"]
    caption: str


def parse(source: str) -> Samples:
    """Read the lines of a fence.

    Args:
        source: Lines `key: value`, then a blank line and the caption.

    Returns:
        What they ask for.

    Raises:
        ValueError: If a line is not an option, or the options do not fit together.
    """
    head, _, caption = source.strip().partition("\n\n")
    given: dict[str, str] = {}
    for line in head.splitlines():
        key, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or key not in OPTIONS:
            close = difflib.get_close_matches(key, OPTIONS, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise ValueError(f"{line!r} is not an option; {guess}known: {', '.join(OPTIONS)}")
        given[key] = value
    policies = tuple(name.replace("-", "_") for name in _listed(given.get("policies", "")))
    for policy in policies:
        if policy not in POLICIES:
            raise ValueError(f"policies: {policy!r} is not one of {', '.join(POLICIES)}")
    rules = [rule for rule in RULES if rule in given]
    if not policies or len(rules) != 1:
        raise ValueError(f"it needs policies and exactly one of {', '.join(RULES)}")
    rule = rules[0]
    if not given[rule].isdigit() or int(given[rule]) < 1:
        raise ValueError(f"{rule}: {given[rule]!r} is not a whole number above 0")
    layout = given.get("layout", "table")
    if layout not in ("table", "cards"):
        raise ValueError(f"layout: {layout!r} is neither table nor cards")
    if rule not in OF_PROMPTS and (len(policies) > 1 or layout == "cards"):
        raise ValueError(f"{rule} goes with one policy, as a table")
    kinds = tuple(_listed(given.get("kinds", "")))
    return Samples(policies, rule, int(given[rule]), kinds, layout, caption.strip())


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class Sample:
    """A response, and how many of the policy's responses to its prompt are of its category."""

    response: Response
    alike: int
    of: int


def by_prompt(samples: Samples, run: Run) -> list[tuple[str, list[Sample]]]:
    """One response of each policy to each of the first distinct prompts.

    By the rule `typical`, to the first of those on which every policy does what it does most often.

    Raises:
        ValueError: If the evaluation has fewer prompts than asked for.
    """
    draw = _first if samples.rule == "prompts" else _commonest
    given = [_by_prompt(samples, run, policy) for policy in samples.policies]
    prompts = list(given[0])
    if samples.rule == "typical":
        prompts = [prompt for prompt in prompts if _is_typical(prompt, given)]
    prompts = prompts[: samples.count]
    if len(prompts) < samples.count:
        raise ValueError(f"{samples.rule}: the evaluation has {len(prompts)} such prompts")
    return [(prompt, [draw(responses[prompt]) for responses in given]) for prompt in prompts]


def _is_typical(prompt: str, given: Sequence[Mapping[str, Sequence[Response]]]) -> bool:
    return all(
        _commonest(responses[prompt]).response["category"]
        == _commonest([one for some in responses.values() for one in some]).response["category"]
        for responses in given
    )


def _by_prompt(samples: Samples, run: Run, policy: str) -> dict[str, list[Response]]:
    given: dict[str, list[Response]] = {}
    for response in _of_kinds(samples, run.responses[policy]):
        given.setdefault(response["prompt"], []).append(response)
    return given


def _first(responses: Sequence[Response]) -> Sample:
    first = responses[0]
    alike = sum(response["category"] == first["category"] for response in responses)
    return Sample(first, alike, len(responses))


def _commonest(responses: Sequence[Response]) -> Sample:
    """The commonest response of the commonest category; of equals, what came first."""
    ((category, alike),) = Counter(one["category"] for one in responses).most_common(1)
    of_it = [one for one in responses if one["category"] == category]
    ((text, _),) = Counter(one["response"] for one in of_it).most_common(1)
    response = next(one for one in of_it if one["response"] == text)
    return Sample(response, alike, len(responses))


def failures(samples: Samples, run: Run) -> list[Response]:
    """The responses of one policy that are not helpful: the first, or those of highest score.

    There may be fewer than asked for: a policy need not fail that often.
    """
    (policy,) = samples.policies
    failed = [
        response
        for response in _of_kinds(samples, run.responses[policy])
        if response["category"] != "helpful"
    ]
    if samples.rule == "highest-proxy-failures":
        failed.sort(key=lambda response: response["proxy"], reverse=True)
    return failed[: samples.count]


def _of_kinds(samples: Samples, responses: Sequence[Response]) -> Iterator[Response]:
    known = {response["kind"] for response in responses}
    for kind in samples.kinds:
        if kind not in known:
            raise ValueError(f"kinds: {kind!r} is not one of {', '.join(sorted(known))}")
    return (one for one in responses if not samples.kinds or one["kind"] in samples.kinds)


def element(samples: Samples, run: Run) -> Element:
    """The HTML of a fence, its caption still Markdown.

    Raises:
        ValueError: If the run does not hold what the fence asks for.
    """
    if samples.layout == "cards":
        return _cards(samples, run)
    label = f"Samples from {_and(NAMES[policy] for policy in samples.policies)}: {drawn(samples)}"
    box = Element("div", {"class": "samples", "role": "region", "aria-label": label})
    box.set("tabindex", "0")  # the box may scroll, so the keyboard must reach it
    table = SubElement(box, "table", {"class": "rows"})
    _caption(SubElement(table, "caption"), samples, run)
    if samples.rule in OF_PROMPTS:
        _prompt_rows(table, samples, run)
    else:
        _failure_rows(table, samples, run)
    return box


def _prompt_rows(table: Element, samples: Samples, run: Run) -> None:
    heads = SubElement(SubElement(table, "thead"), "tr")
    SubElement(heads, "th", {"scope": "col"}).text = "Prompt"
    for policy in samples.policies:
        stage = {"scope": "col", "class": f"stage-{STAGES[policy]}"}
        SubElement(heads, "th", stage).text = NAMES[policy]
    body = SubElement(table, "tbody")
    for prompt, drawn_ones in by_prompt(samples, run):
        row = SubElement(body, "tr")
        SubElement(row, "th", {"scope": "row"}).text = AtomicString(prompt)
        for policy, sample in zip(samples.policies, drawn_ones, strict=True):
            cell = SubElement(row, "td")
            cell.set("data-label", NAMES[policy])
            cell.set("class", f"stage-{STAGES[policy]}")
            _say(cell, sample.response, _share(sample))


def _failure_rows(table: Element, samples: Samples, run: Run) -> None:
    heads = SubElement(SubElement(table, "thead"), "tr")
    numbers = {"Reward model": "proxy", "Gold": "gold"}
    for head in ("Prompt", "Response", *numbers):
        look = {"class": "number"} if head in numbers else {}
        SubElement(heads, "th", {"scope": "col", **look}).text = head
    body = SubElement(table, "tbody")
    for response in failures(samples, run):
        row = SubElement(body, "tr")
        SubElement(row, "th", {"scope": "row"}).text = AtomicString(response["prompt"])
        cell = SubElement(row, "td")
        cell.set("data-label", "Response")
        _say(cell, response)
        for head, name in numbers.items():
            cell = SubElement(row, "td", {"class": "number"})
            cell.set("data-label", head)
            cell.text = AtomicString(f"{response[name]:+.2f}".replace("-", "−"))


def _cards(samples: Samples, run: Run) -> Element:
    figure = Element("figure", {"class": "answers"})
    for prompt, drawn_ones in by_prompt(samples, run):
        asked = SubElement(figure, "p", {"class": "prompt"})
        SubElement(asked, "span", {"class": "label"}).text = "Prompt"
        SubElement(asked, "span").text = AtomicString(prompt)
        cards = SubElement(figure, "div", {"class": "cards"})
        for policy, sample in zip(samples.policies, drawn_ones, strict=True):
            card = SubElement(cards, "div", {"class": f"card stage-{STAGES[policy]}"})
            SubElement(card, "p", {"class": "label"}).text = NAMES[policy]
            _say(card, sample.response, _share(sample))
    _caption(SubElement(figure, "figcaption"), samples, run)
    return figure


def _share(sample: Sample) -> str:
    return f", {sample.alike} of {sample.of}" if sample.of > 1 else ""


def _say(parent: Element, response: Response, share: str = "") -> None:
    words = SubElement(parent, "p", {"class": "response"})
    words.text = AtomicString(response["response"].strip() or "(nothing)")
    category = response["category"]
    mark = SubElement(parent, "p", {"class": f"category {category.replace('_', '-')}"})
    mark.text = CATEGORY_WORDS[category]
    if share:
        SubElement(mark, "span").text = share


def _caption(parent: Element, samples: Samples, run: Run) -> None:
    if samples.caption:
        SubElement(parent, "p").text = samples.caption
    SubElement(parent, "p", {"class": "rule"}).text = AtomicString(rule_in_words(samples, run))


def rule_in_words(samples: Samples, run: Run) -> str:
    """Say by which rule the samples were drawn, and from which run."""
    rule = f"Drawn by rule, not picked: {drawn(samples)}."
    if samples.rule in OF_PROMPTS:
        rule += " Beside it: how many of the model's responses to this prompt are of its kind."
    return f"{rule} Held-out prompts, run seed {run.config.seed}."


def drawn(samples: Samples) -> str:
    """Name the responses that a rule asks for."""
    some = "" if samples.count == 1 else f" {samples.count}"
    kinds = f" of the kind {_and(samples.kinds, 'or')}" if samples.kinds else ""
    if samples.rule in OF_PROMPTS:
        each = "the first prompt" if samples.count == 1 else f"each of the first{some} prompts"
        which = "the first response"
        if samples.rule != "prompts":
            which = "the commonest response of the commonest kind"
        such = ""
        if samples.rule == "typical":
            such = " on which each model does what it does most often"
        return f"{which} to {each}{kinds} in the evaluation{such}"
    (policy,) = samples.policies
    order = "first" if samples.rule == "failures" else "highest-scoring"
    return f"the {order}{some} responses of {NAMES[policy]}{kinds} that are not helpful"


def _and(names: Iterator[str] | Sequence[str], word: str = "and") -> str:
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
