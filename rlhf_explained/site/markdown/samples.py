"""The `samples` fence: responses drawn by rule, never picked, as a table or as cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from markdown.util import AtomicString

from rlhf_explained.measured.text import listed
from rlhf_explained.names import POLICIES
from rlhf_explained.pipeline import Run
from rlhf_explained.site.faults import nearest

NAMES = {
    "base": "Pretrained (base)",
    "sft": "SFT",
    "ppo": "RLHF (PPO)",
    "ppo_no_kl": "PPO without KL penalty",
}
OF_PROMPTS = ("typical", "commonest")
RULES = (*OF_PROMPTS, "each-kind", "failures")
OPTIONS = ("policies", "kinds", "layout", *RULES)

Response = Mapping[str, Any]


@dataclass(frozen=True)
class Samples:
    """What a fence asks for.

    Attributes:
        policies: Whose responses.
        rule: Which of their responses, see `RULES`.
        count: How many prompts or responses.
        kinds: Kinds of prompt to stay with; empty for all.
        layout: `table`: one row for each prompt; or `cards`: one for each policy.
        caption: Inline Markdown.
    """

    policies: tuple[str, ...]
    rule: str
    count: int
    kinds: tuple[str, ...] = ()
    layout: str = "table"
    caption: str = ""


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
            raise ValueError(f"{line!r} is not an option; {nearest(key, OPTIONS)}")
        if key in given:
            raise ValueError(f"{key} is given twice: leave one")
        given[key] = value
    policies = tuple(name.replace("-", "_") for name in _split(given.get("policies", "")))
    for policy in policies:
        if policy not in POLICIES:
            raise ValueError(f"policies: {policy!r} is not one of {', '.join(POLICIES)}")
    rules = [rule for rule in RULES if rule in given]
    if not policies or len(rules) != 1:
        raise ValueError(f"it needs policies and exactly one of {', '.join(RULES)}")
    rule, count = rules[0], given[rules[0]]
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{rule}: {count!r} is not a whole number above 0")
    layout = given.get("layout", "table")
    if layout not in ("table", "cards"):
        raise ValueError(f"layout: {layout!r} is neither table nor cards")
    if rule not in OF_PROMPTS and (len(policies) > 1 or layout == "cards"):
        raise ValueError(f"{rule} goes with one policy, as a table")
    kinds = _split(given.get("kinds", ""))
    return Samples(policies, rule, int(count), kinds, layout, caption.strip())


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Sample:
    """A response, and how many of the responses that it was drawn from are like it."""

    response: Response
    alike: int
    of: int


def by_prompt(samples: Samples, run: Run) -> list[tuple[str, list[Sample]]]:
    """The commonest response of each policy to each of the first distinct prompts.

    By the rule `typical`, to the first of those on which every policy does what it does most often.

    Raises:
        ValueError: If the evaluation has fewer prompts than asked for.
    """
    given: list[dict[str, list[Response]]] = []
    for policy in samples.policies:
        given.append({})
        for response in _of_kinds(samples, run.responses[policy]):
            given[-1].setdefault(response["prompt"], []).append(response)
    prompts = list(given[0])
    if samples.rule == "typical":
        prompts = [prompt for prompt in prompts if _is_typical(prompt, given)]
    prompts = prompts[: samples.count]
    if len(prompts) < samples.count:
        raise ValueError(f"{samples.rule}: the evaluation has {len(prompts)} such prompts")
    return [(prompt, [_commonest(responses[prompt]) for responses in given]) for prompt in prompts]


def _is_typical(prompt: str, given: Sequence[Mapping[str, Sequence[Response]]]) -> bool:
    return all(
        _commonest(responses[prompt]).response["category"]
        == _commonest([one for some in responses.values() for one in some]).response["category"]
        for responses in given
    )


def _commonest(responses: Sequence[Response]) -> Sample:
    """The commonest response of the commonest category; of equals, what came first."""
    ((category, alike),) = Counter(one["category"] for one in responses).most_common(1)
    of_it = [one for one in responses if one["category"] == category]
    ((text, _),) = Counter(one["response"] for one in of_it).most_common(1)
    response = next(one for one in of_it if one["response"] == text)
    return Sample(response, alike, len(responses))


def each_kind(samples: Samples, run: Run) -> list[Sample]:
    """The commonest response of each category to one prompt, the commonest categories first.

    It is the prompt whose responses are of the most categories, the first of several; a prompt with
    helpful and false responses goes before one that lacks either.
    """
    given: dict[str, list[Response]] = {}
    for response in _of_kinds(samples, run.responses[samples.policies[0]]):
        given.setdefault(response["prompt"], []).append(response)

    def variety(prompt: str) -> tuple[bool, int]:
        categories = {one["category"] for one in given[prompt]}
        return categories >= {"helpful", "false"}, len(categories)

    every = given[max(given, key=variety)]
    drawn_ones = []
    for category, _ in Counter(one["category"] for one in every).most_common(samples.count):
        sample = _commonest([one for one in every if one["category"] == category])
        drawn_ones.append(Sample(sample.response, sample.alike, len(every)))
    return drawn_ones


def failures(samples: Samples, run: Run) -> list[Sample]:
    """The most frequent distinct responses of one policy that are not helpful, with their counts.

    Each stands with the prompt to which it is given most often; of equals, what came first. There
    may be fewer than asked for: a policy need not fail in so many ways.
    """
    responses = _of_kinds(samples, run.responses[samples.policies[0]])
    failed = [response for response in responses if response["category"] != "helpful"]
    return [
        Sample(
            _commonest_prompt([one for one in failed if one["response"] == text]),
            alike,
            len(failed),
        )
        for text, alike in Counter(one["response"] for one in failed).most_common(samples.count)
    ]


def _commonest_prompt(alike: Sequence[Response]) -> Response:
    ((prompt, _),) = Counter(one["prompt"] for one in alike).most_common(1)
    return next(one for one in alike if one["prompt"] == prompt)


def _of_kinds(samples: Samples, responses: Sequence[Response]) -> list[Response]:
    known = {response["kind"] for response in responses}
    for kind in samples.kinds:
        if kind not in known:
            raise ValueError(f"kinds: {kind!r} is not one of {', '.join(sorted(known))}")
    return [one for one in responses if not samples.kinds or one["kind"] in samples.kinds]


def element(samples: Samples, run: Run) -> Element:
    """The HTML of a fence, its caption still Markdown.

    Raises:
        ValueError: If the run does not hold what the fence asks for.
    """
    rule = drawn(samples, run)
    if samples.layout == "cards":
        return _cards(samples, run, rule)
    label = f"Samples from {listed([NAMES[policy] for policy in samples.policies])}. {rule}"
    box = Element("div", {"class": "samples", "role": "region", "aria-label": label})
    box.set("tabindex", "0")  # the box may scroll, so the keyboard must reach it
    table = SubElement(box, "table", {"class": "rows"})
    _caption(SubElement(table, "caption"), samples, run, rule)
    fill = _prompt_rows if samples.rule in OF_PROMPTS else _scored_rows
    fill(SubElement(SubElement(table, "thead"), "tr"), SubElement(table, "tbody"), samples, run)
    return box


def _prompt_rows(heads: Element, body: Element, samples: Samples, run: Run) -> None:
    SubElement(heads, "th", {"scope": "col"}).text = "Prompt"
    for policy in samples.policies:
        SubElement(heads, "th", {"scope": "col", "class": _stage(policy)}).text = NAMES[policy]
    for prompt, drawn_ones in by_prompt(samples, run):
        row = SubElement(body, "tr")
        SubElement(row, "th", {"scope": "row"}).text = AtomicString(prompt)
        for policy, sample in zip(samples.policies, drawn_ones, strict=True):
            look = {"data-label": NAMES[policy], "class": _stage(policy)}
            _say(SubElement(row, "td", look), sample.response, _share(sample))


def _scored_rows(heads: Element, body: Element, samples: Samples, run: Run) -> None:
    numbers = {"Reward model": "proxy", "Gold": "gold"}
    if samples.rule == "each-kind":
        first, shown = "Share", each_kind(samples, run)
        response = f"Response to “{shown[0].response['prompt']}”"
    else:
        first, response = "Prompt", "Response"
        shown = failures(samples, run)
    for head in (first, response, *numbers):
        look = {"class": "number"} if head in numbers else {}
        SubElement(heads, "th", {"scope": "col", **look}).text = AtomicString(head)
    for sample in shown:
        row, one = SubElement(body, "tr"), sample.response
        name = f"{sample.alike} of {sample.of}" if first == "Share" else one["prompt"]
        SubElement(row, "th", {"scope": "row"}).text = AtomicString(name)
        share = "" if first == "Share" else _share(sample)
        _say(SubElement(row, "td", {"data-label": "Response"}), one, share)
        for head, quantity in numbers.items():
            cell = SubElement(row, "td", {"class": "number", "data-label": head})
            cell.text = AtomicString(f"{one[quantity]:+.2f}".replace("-", "−"))


def _cards(samples: Samples, run: Run, rule: str) -> Element:
    figure = Element("figure", {"class": "answers"})
    for prompt, drawn_ones in by_prompt(samples, run):
        asked = SubElement(figure, "p", {"class": "prompt"})
        SubElement(asked, "span", {"class": "label"}).text = "Prompt"
        SubElement(asked, "span").text = AtomicString(prompt)
        cards = SubElement(figure, "div", {"class": "cards"})
        for policy, sample in zip(samples.policies, drawn_ones, strict=True):
            card = SubElement(cards, "div", {"class": f"card {_stage(policy)}"})
            SubElement(card, "p", {"class": "label"}).text = NAMES[policy]
            _say(card, sample.response, _share(sample))
    _caption(SubElement(figure, "figcaption"), samples, run, rule)
    return figure


def _stage(policy: str) -> str:
    """The class that colours what belongs to a policy."""
    return f"stage-{policy.removeprefix('ppo_').replace('_', '')}"


def _share(sample: Sample) -> str:
    return f", {sample.alike} of {sample.of}" if sample.of > 1 else ""


def _say(parent: Element, response: Response, share: str = "") -> None:
    words = SubElement(parent, "p", {"class": "response"})
    words.text = AtomicString(response["response"].strip() or "(nothing)")
    category = response["category"].replace("_", "-")
    mark = SubElement(parent, "p", {"class": f"category {category}"})
    mark.text = f"{'✓' if category == 'helpful' else '✗'} {category}"
    if share:
        SubElement(mark, "span").text = share


def _caption(parent: Element, samples: Samples, run: Run, rule: str) -> None:
    """The fence's words, and below them by which rule the samples were drawn, from which run."""
    if samples.caption:
        SubElement(parent, "p").text = samples.caption
    counted = "the model’s answers to that question are of that kind"
    if samples.rule == "failures":
        counted = "the model’s unhelpful answers are this one"
    words = f"These answers were not hand-picked. {rule}. Each count shows how many of {counted}."
    words += " The questions were held out: no text written for the later stages contains them."
    words += " All randomness of the run comes from seed"
    small = SubElement(parent, "p", {"class": "rule"})
    small.text = AtomicString(f"{words} {run.config.seed}.")


def drawn(samples: Samples, run: Run) -> str:
    """Say how the responses were chosen; if there are fewer than asked for, all are named."""
    kinds = f"{' or '.join(samples.kinds)} " if samples.kinds else ""
    several = len(samples.policies) > 1
    whose = "each model’s" if several else "the model’s"
    if samples.rule in OF_PROMPTS:
        one = samples.count == 1
        first = f"first {kinds}question" if one else f"first {samples.count} {kinds}questions"
        if samples.rule == "typical":
            every = "every model gives its" if several else "the model gives its"
            return (
                f"We took the {first} to which {every} typical kind of answer, "
                f"and show {whose} most frequent answer of that kind"
            )
        return (
            f"We took the {first}, found {whose} most frequent kind of answer to "
            f"{'it' if one else 'each'}, and show "
            "the most frequent answer of that kind"
        )
    if samples.rule == "each-kind":
        some = f"the {samples.count} commonest kinds" if samples.count < 6 else "each kind"
        return (
            f"We took the first {kinds}question with the most kinds of answers, if possible both "
            f"helpful and false ones, and show the most frequent answer of {some}"
        )
    count = len(failures(samples, run))
    some = f"all {count}" if count < samples.count else f"the {count} most frequent"
    responses = f"distinct response{'s' * (count != 1)} of {NAMES[samples.policies[0]]}"
    asked = f" to {kinds}questions" if kinds else ""
    return f"We show {some} {responses}{asked} that are not helpful"
