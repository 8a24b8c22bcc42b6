"""The Markdown vocabulary, with the extensions and settings of mkdocs.yml, on a made-up run."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rlhf_explained import figures, measured, memo, parallel
from rlhf_explained.figures import cached
from rlhf_explained.names import CATEGORIES, POLICIES
from rlhf_explained.pipeline import Run, RunConfig, run_key
from rlhf_explained.site.markdown import commands, samples
from rlhf_explained.site.markdown.diagrams import columns
from tests.made_up_run import made_up_run
from tests.site.conftest import ROOT, Show


def value(name: str, a_run: Run) -> str:
    return measured.value(name, a_run).text


# Values


@pytest.mark.parametrize(
    "written",
    [
        "It is {0} now.",
        "# PPO reached {0} {{#reached}}",
        "| a | b |\n|---|---|\n| {0} | 1 |",
        "[that {0}](https://example.org)",
        '!!! note "So {0}"\n    Words.',
        '??? question "How many?"\n    It is {0}.',
        "- one\n- **{0}**",
        "```figure\nppo-loop\nIt is {0}.\n```",
        "```samples\npolicies: ppo\ncommonest: 1\n\nIt is {0}.\n```",
    ],
)
def test_a_value_is_expanded(written: str, show: Show, a_run: Run, caplog) -> None:
    html = show(written.format("{{ value: ppo-helpful }}"))
    assert f">{value('ppo-helpful', a_run)}</span>" in html
    assert "seed 0" in re.search(r'class="measured" title="([^"]*)"', html)[1]
    assert "value:" not in html
    assert not caplog.records


@pytest.mark.parametrize(
    "written",
    ["`{0}`", "```text\n{0}\n```", "```python\n{0}\n```", "    {0}", "<!-- {0} -->"],
)
def test_a_value_in_code_is_left_alone(written: str, show: Show, caplog) -> None:
    html = show(written.format("{{ value: ppo-helpful }}"))
    assert "measured" not in html
    assert not caplog.records


def test_the_same_fault_twice_is_told_at_both_lines(show: Show, page: Path, caplog) -> None:
    fine = "Fine: {{ value: ppo-gold }}.\n\n{{value: ppo-glod}}\n\nAgain {{ value: ppo-glod }}."
    assert show(fine).count('class="fault"') == 2
    for line, message in zip((3, 5), caplog.messages, strict=True):
        assert message.startswith(f"{page}:{line}: unknown value 'ppo-glod'; did you mean ppo-gold")


def test_a_value_whose_code_raises_is_a_fault_at_its_own_line(
    show: Show, page: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setitem(measured.of_run.VALUES, "kl-coef", lambda run: run.facts["no_such_fact"])
    assert 'class="fault"' in show("Text.\n\nIt is {{ value: kl-coef }}.\n")
    (message,) = caplog.messages
    assert message.startswith(f"{page}:3: value 'kl-coef' cannot be computed: rlhf_explained/")
    assert message.endswith("KeyError: 'no_such_fact'; mend that line")


# Figures


def test_a_figure_has_an_alternative_text_and_a_caption_in_markdown(show: Show, caplog) -> None:
    html = show("```figure\nppo-loop\nThe *loop* pays $r$; see [this](https://example.org).\n```")
    figure = ElementTree.fromstring(html)
    (svg,) = figure.iter("svg")
    (title,) = svg.iter("title")
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-labelledby"] == title.attrib["id"]
    assert title.text == figures.FIGURES["ppo-loop"].alt
    caption = html[html.index("<figcaption>") :]
    for part in ("<em>loop</em>", "<math", 'href="https://example.org"'):
        assert part in caption
    # a link once autorefs is there
    assert "[Code][rlhf_explained.figures.chapters.ppo.loop]" in caption
    assert "Data" in caption  # it draws a real round
    assert not caplog.records


def test_a_figure_of_the_run_quotes_it_and_links_its_data(show: Show, a_run: Run) -> None:
    html = show("```figure\nreward-model-training\n\n```")
    assert value("rm-accuracy", a_run) in html
    assert re.search(r"<summary[^>]*>Data</summary>", html)
    assert html.count("<table") == html.count("<a download") == 2
    assert 'href="/figures/reward-model-scores.csv"' in html  # MkDocs finds the way


def test_ids_are_unique_where_a_figure_stands_twice(show: Show) -> None:
    html = show("```figure\nppo-loop\nAgain.\n```\n\n" * 3)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 9
    assert all(target in ids for target in re.findall(r'href="#([^"]+)"', html))


@pytest.mark.parametrize(
    ("wrapped", "line"),
    [
        ("Words.\n\n??? note\n    ```figure\n    poo-loop\n    ```", 4),
        ("- item\n\n    ```figure\n    poo-loop\n    Words.\n    ```", 3),
        ("A poo-loop.\n\n~~~figure\npoo-loop\n~~~", 3),
    ],
)
def test_an_unknown_figure_is_a_fault(
    wrapped: str, line: int, show: Show, page: Path, caplog
) -> None:
    assert show(wrapped).count('class="fault"') == 1
    (message,) = caplog.messages
    assert message.startswith(f"{page}:{line}: unknown figure 'poo-loop'; did you mean ppo-loop")


def test_a_figure_needs_an_alternative_text(
    show: Show, page: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    loop = dataclasses.replace(figures.FIGURES["ppo-loop"], alt="")
    monkeypatch.setitem(figures.FIGURES, "ppo-loop", loop)
    show("\n```figure\nppo-loop\nWords.\n```")
    assert caplog.messages[0].startswith(f"{page}:2: figure 'ppo-loop' has no alt text")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- item\n  words\n```figure\nppo-loop\n```\nmore", 4),
        ("So.[^a]\n\n[^a]:\n    Words.\n\n    ```figure\n    ppo-loop\n    ```", 7),
    ],
)
def test_a_fence_among_text_is_a_fault(
    text: str, line: int, show: Show, page: Path, caplog
) -> None:
    show(text)
    assert caplog.messages[0].startswith(f"{page}:{line}: the fence of 'ppo-loop' stands in")
    assert "blank line" in caplog.messages[0]


# What only looks like Markdown: tests/faults/planted.py has more


@pytest.mark.parametrize(
    "right",
    [
        "````markdown\n```figure ppo-loop\n```\n- a\n  - b\n````",
        "- one\n  goes on\n\n    and on\n\n    ```text\n    x\n    ```\n\n- two\n    - three",
        "1. one\n\t- two",
        "> - one\n>     - two",
        "!!! note\n    > Words.\n\n    Words.",
        "<div markdown>\n  <p>\n\n  words</p>\n</div>",
        "<!-- a remark\n  over lines -->\n\nWords.",
        "| a | b |\n|---|---|\n| `x|y` | \\| |\n| | $a \\mid b$ |",
        "It costs \\$5 to \\$10, `$PATH`, 3:45, a `**`, \\*\\*kwargs, 2 ~ 3.",
        "So.[^a]\n\n[^a]: Why not?",
        "See [Ouyang et al.](bibliography.md#ouyang2022), [2022](bibliography.md#ouyang2022).",
        "## One\n\n### One",
        "1. one\ngoes on\n2. two\n\n    1. a\n    2. b\n\n3. three",
    ],
)
def test_what_is_right_is_not_refused(right: str, show: Show, caplog) -> None:
    show(right)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("wrong", "line", "what"),
    [
        ("{{ value : ppo-gold }}", 1, "is no macro: write `{{ value: NAME }}`"),
        ("{{ value: ppo gold }} and {{ value: }}", 1, "is no macro"),
        ("{{ value: ppo-kl }}\n\n{{ value: ppo-kl }} seconds", 3, "take 'seconds' out"),
        ("{{ value: ppo-gold }", 1, "these braces call nothing"),
        ("{ { value: ppo-gold } }", 1, "these braces call nothing"),
        (
            "| x | PPO | PPO, β = 0 |\n|---|---|---|\n| y | {{ value: ppo-no-kl-gold }} | 1 |",
            3,
            "ppo-gold",
        ),
        (
            "| x | PPO | PPO, β = 0 |\n|---|---|---|\n| y | 1 | {{ value: ppo-gold }} |",
            3,
            "ppo-no-kl-gold",
        ),
        (
            "A judge scores what it can see, no more.\n\nA judge scores what it can see, no more.",
            3,
            "this sentence stands here twice",
        ),
        ("Words.\n| a | b |\n|---|---|\n| 1 | 2 |", 2, "this is no table"),
        ("| a |\n|---|\n| 1 | 2 |", 3, "this row has 2 cells, the head of its table 1"),
        ("![a plot][no-such-image]", 1, "names no address"),
        ("One **word.", 1, "begins or ends nothing"),
        ("> [!NOTE]\n> Words.", 1, "a box begins with `!!! note`"),
        ("??? note\n\n    Words.\n\n  More.", 5, "indented by 2 blanks"),
        ("$$x \\eqref{eq:a}$$", 1, "finds no other formula"),
        ("1. one\n\n```text\nx\n```\n\n2. two", 7, "the list ended above this item"),
        ("## One\n\n#### Two", 3, "'Two' leaves a level out: give it 3 marks"),
        ("One of\nthe the words.", 2, "this word stands here twice"),
        ("a\u200bb", 1, "a character that nobody sees"),
    ],
)
def test_what_only_looks_right_is_a_fault(
    wrong: str, line: int, what: str, show: Show, page: Path, caplog
) -> None:
    assert 'class="fault"' in show(wrong)
    assert caplog.messages[0].startswith(f"{page}:{line}: ")
    assert what in caplog.messages[0]


def test_letters_joined_to_one_take_its_room() -> None:
    assert [len(columns(line)) for line in ("ab", "日本", "e\u0301", "👩‍💻|", "❤️")] == [
        2,
        4,
        1,
        3,
        1,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Type `make serev`.", "make serev"),
        ("$ make test PAEG=docs/index.md", "make test PAEG=docs/index.md"),
        ("`pytest tests/test_w* tests/test_wrold.py`", "tests/test_wrold.py"),
        ("`python -m rlhf_explained trian --json`", "python -m rlhf_explained trian --json"),
        ("`python -m rlhf_explained train --jsno`", "python -m rlhf_explained train --jsno"),
        ("`make test PAGE=docs/index.md`, `python -m rlhf_explained studies NAME`, `make`", ""),
    ],
)
def test_commands_that_do_not_exist_are_found(text: str, words: str) -> None:
    assert [found for found, _ in commands.faults(text, ROOT)] == ([words] if words else [])


def test_commands_in_the_top_folder_exist() -> None:
    for path in ROOT.glob("*.md"):
        assert list(commands.faults(path.read_text(encoding="utf-8"), ROOT)) == [], path


# Formulas


def test_formulas_become_mathml(show: Show, caplog) -> None:
    html = show("Inline $a<b$ costs \\$5.\n\n$$\n\\frac{a}{b}\n$$\n\n| $x$ |\n|---|\n| $y_{t}$ |")
    assert html.count("<math") == 4
    assert re.search(r'<div class="math" data-tex="[^"]+" tabindex="0"><math display="block"', html)
    assert "costs $5" in html
    assert html.count("\\frac") == html.count('data-tex="\\frac') == 1
    assert not caplog.records


def test_a_formula_that_does_not_parse_is_a_fault(show: Show, page: Path, caplog) -> None:
    html = show("Fine $a$.\n\nBad $\\frac{a}{$ here.\n\n$$\n\\foo\n$$")
    lines = sorted(caplog.messages)
    assert lines[0].startswith(f"{page}:3: the formula `\\frac{{a}}{{` does not parse")
    assert lines[1].startswith(f"{page}:6: the formula `\\foo` does not parse: Unsupported")
    assert html.count('class="fault"') == 2


# Samples


def said(prompt: str, category: str, response: str = "") -> dict[str, str]:
    return {"prompt": prompt, "kind": "sum", "category": category, "response": response}


def test_commonest_samples_stand_for_the_others(tmp_path: Path) -> None:
    answers = [
        said("a", "harmful", "go away"),
        said("a", "helpful", "no"),
        said("b", "rambling", "once"),
        said("a", "helpful", "yes"),
        said("a", "harmful", "go away"),
        said("a", "helpful", "yes"),
        said("b", "helpful", "yes"),
    ]
    (tmp_path / "responses.json").write_text(json.dumps({"sft": answers}))
    wanted = samples.parse("policies: sft\ncommonest: 2")
    drawn = samples.by_prompt(wanted, Run(RunConfig(), "key", tmp_path))
    (a, (first,)), (b, (second,)) = drawn
    assert (a, first.response, first.alike, first.of) == ("a", answers[3], 3, 5)
    assert (b, second.response, second.alike, second.of) == ("b", answers[2], 1, 2)


def test_typical_samples_are_of_prompts_where_each_policy_does_its_usual_thing(
    tmp_path: Path,
) -> None:
    r, h, f = "rambling", "helpful", "false"  # three answers to each of three prompts
    kinds = {"sft": (h, h, r, r, r, r, r, r, h), "ppo": (h, h, h, f, f, f, h, h, f)}
    answers = {
        policy: [said(prompt, kind) for prompt, kind in zip("aaabbbccc", given, strict=True)]
        for policy, given in kinds.items()
    }
    (tmp_path / "responses.json").write_text(json.dumps(answers))
    run = Run(RunConfig(), "key", tmp_path)
    for policies, prompt, alike in (("sft", "b", 3), ("ppo", "a", 3), ("sft, ppo", "c", 2)):
        wanted = samples.parse(f"policies: {policies}\ntypical: 1")
        ((found, drawn),) = samples.by_prompt(wanted, run)
        assert (found, drawn[0].alike) == (prompt, alike)
    with pytest.raises(ValueError, match="typical: the evaluation has 1 such"):
        samples.by_prompt(samples.parse("policies: sft, ppo\ntypical: 2"), run)


def test_each_kind_of_response_to_one_prompt_stands_with_its_share(
    tmp_path: Path, show: Show, a_run: Run
) -> None:
    scored = {"proxy": 1.0, "gold": 2.0}
    answers = [
        said("a", "helpful", "yes"),
        said("a", "rambling", "once"),
        said("a", "harmful", "no"),
        *(said("b", "rambling", text) for text in ("once", "twice", "twice")),
        said("b", "helpful", "yes"),
        said("b", "false", "perhaps"),
    ]
    content = {"sft": [one | scored for one in answers]}
    (tmp_path / "responses.json").write_text(json.dumps(content))
    wanted = samples.parse("policies: sft\neach-kind: 9")
    found = samples.each_kind(wanted, Run(RunConfig(), "key", tmp_path))
    kinds = [
        (one.response["category"], one.response["response"], one.alike, one.of) for one in found
    ]
    assert kinds == [
        ("rambling", "twice", 3, 5),
        ("helpful", "yes", 1, 5),
        ("false", "perhaps", 1, 5),
    ]
    table = ElementTree.fromstring(show("```samples\npolicies: sft\neach-kind: 2\n```")).find(
        "table"
    )
    assert table is not None
    heads = ["".join(head.itertext()) for head in table.findall("thead/tr/th")]
    assert heads[0] == "Share"
    assert heads[1].startswith("Response to “")
    assert len(table.findall("tbody/tr")) == 2


def test_failures_are_the_most_frequent_distinct_ones_that_are_not_helpful(
    tmp_path: Path,
) -> None:
    said = [("a", "x", "false")] * 2 + [("b", "x", "false")] * 3 + [("b", "y", "helpful")] * 9
    said += [("c", "z", "broken")] * 4 + [("d", "w", "broken")]
    keys = "prompt", "response", "category"
    answers = [{**dict(zip(keys, one, strict=True)), "kind": one[0]} for one in said]
    (tmp_path / "responses.json").write_text(json.dumps({"ppo": answers}))
    run = Run(RunConfig(), "key", tmp_path)
    found = samples.failures(samples.parse("policies: ppo\nfailures: 2"), run)
    drawn = [(one.response["prompt"], one.response["response"], one.alike, one.of) for one in found]
    assert drawn == [("b", "x", 5, 10), ("c", "z", 4, 10)]
    some = samples.failures(samples.parse("policies: ppo\nfailures: 9\nkinds: d"), run)
    assert [(one.alike, one.of) for one in some] == [(1, 1)]


def test_a_table_of_samples_is_readable_without_colour_or_sight(show: Show, a_run: Run) -> None:
    html = show("```samples\npolicies: sft, ppo\ncommonest: 2\n\nTwo *of them*.\n```")
    table = ElementTree.fromstring(html).find("table")
    assert table is not None
    assert [head.text for head in table.findall("thead/tr/th")] == ["Prompt", "SFT", "RLHF (PPO)"]
    assert all(head.attrib["scope"] == "row" for head in table.findall("tbody/tr/th"))
    marks = [mark.text or "" for mark in table.iter("p") if "category" in mark.get("class", "")]
    assert {mark[2:].replace("-", "_") for mark in marks} <= set(CATEGORIES)
    assert {mark[0] for mark in marks} <= {"✓", "✗"}
    words = "".join(table.find("caption").itertext())
    for part in ("Two of them", "were not hand-picked", "questions were held out"):
        assert part in words
    for _, drawn in samples.by_prompt(samples.parse("policies: sft, ppo\ncommonest: 2"), a_run):
        for sample in drawn:
            assert sample.of == 1 or f", {sample.alike} of {sample.of}</span>" in html


def test_fewer_failures_than_asked_for_are_all(show: Show, a_run: Run) -> None:
    every = {one["response"] for one in a_run.responses["ppo"] if one["category"] != "helpful"}
    html = show("```samples\npolicies: ppo\nfailures: 9999\n```")
    assert re.search(rf"all {len(every)} distinct responses? of RLHF .PPO. that are not", html)


def test_cards_stand_side_by_side(show: Show) -> None:
    html = show("```samples\npolicies: base, ppo-no-kl, ppo\ncommonest: 1\nlayout: cards\n```")
    assert re.findall(r'class="card stage-(\w+)"', html) == ["base", "nokl", "ppo"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("policy: ppo\ncommonest: 1", "did you mean policies"),
        ("policies: ppo, gpt\ncommonest: 1", "'gpt' is not one of"),
        ("policies: ppo", "exactly one of"),
        ("policies: ppo\ncommonest: 1\nfailures: 1", "exactly one of"),
        ("policies: ppo\ncommonest: 1\ncommonest: 2", "commonest is given twice"),
        ("policies: ppo\ncommonest: few", "not a whole number"),
        ("policies: ppo\ncommonest: ²", "not a whole number"),
        ("policies: ppo\ncommonest: 0", "not a whole number"),
        ("policies: sft, ppo\nfailures: 3", "one policy"),
        ("policies: ppo\ncommonest: 1\nlayout: pile", "neither table nor cards"),
        ("policies: ppo\ncommonest: 1\nkinds: poem", "'poem' is not one of"),
        ("policies: ppo\ncommonest: 5000", "the evaluation has 61"),
        ("just words", "not an option"),
    ],
)
def test_a_bad_samples_fence_is_a_fault(
    options: str, why: str, show: Show, page: Path, caplog
) -> None:
    assert 'class="fault"' in show(f"Words.\n\n```samples\n{options}\n```")
    (message,) = caplog.messages
    assert message.startswith(f"{page}:4: samples: ")
    assert why in message


def test_each_policy_has_a_name() -> None:
    assert tuple(samples.NAMES) == POLICIES


# Drawing


def test_a_drawing_that_fails_names_its_line_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    monkeypatch.setattr(cached, "_failed", {})
    few = ("before-after", "reward-model-training", "ppo-clip")
    monkeypatch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in few})
    key = run_key(RunConfig())
    spoilt = memo.entry("runs", key, lambda into: made_up_run(into, reward_model={}) and None)
    run = Run(RunConfig(), key, spoilt)
    parallel.together(cached.jobs(run))
    monkeypatch.setattr(subprocess, "run", None)  # from here on nothing is drawn
    with pytest.raises(cached.DrawingError, match=r"figures/chapters/\w+\.py:\d+: KeyError"):
        cached.svg("reward-model-training", run)
    assert cached.svg("before-after", run).startswith("<svg")
    assert cached.svg("ppo-clip", run).startswith("<svg")
