"""The Markdown vocabulary, with the extensions and settings of mkdocs.yml, on a made-up run."""

import dataclasses
import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import markdown
import pytest
from mkdocs.config import load_config

from rlhf_explained import figures, measured, memo, parallel
from rlhf_explained.figures import cached
from rlhf_explained.names import POLICIES
from rlhf_explained.pipeline import Run, RunConfig, run_key
from rlhf_explained.site import faults
from rlhf_explained.site import markdown as ours
from rlhf_explained.site.markdown import samples
from rlhf_explained.site.markdown.formulas import FormulaError, mathml
from tests.made_up_run import made_up_run

ROOT = Path(__file__).resolve().parents[2]
DRAWING = '<svg viewBox="0 0 9 9"><path id="ppo-loop-1"/><use href="#ppo-loop-1"/></svg>'

Show = Callable[[str], str]


@functools.cache
def configured() -> tuple[list[str], dict]:
    config = load_config(str(ROOT / "mkdocs.yml"))
    return config.markdown_extensions, config.mdx_configs


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_up_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


@pytest.fixture
def show(page: Path, a_run: Run, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Render a page as MkDocs does."""
    monkeypatch.setattr(ours, "current_run", lambda: a_run)
    monkeypatch.setattr(cached, "svg", lambda name, run: DRAWING)

    def convert(text: str) -> str:
        page.write_text(text, encoding="utf-8")
        faults.rendering(page)
        extensions, settings = configured()
        return markdown.Markdown(extensions=extensions, extension_configs=settings).convert(text)

    return convert


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
        '=== "Tab"\n    It is {0}.',
        "- one\n- **{0}**",
        "```figure\nppo-loop\nIt is {0}.\n```",
        "```samples\npolicies: ppo\nprompts: 1\n\nIt is {0}.\n```",
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
def test_a_value_in_code_is_left_alone(written: str, show: Show) -> None:
    html = show(written.format("{{ value: ppo-helpful }}"))
    assert "measured" not in html


def test_an_unknown_value_is_a_fault_at_its_own_line(show: Show, page: Path, caplog) -> None:
    html = show(
        "Fine: {{ value: ppo-gold }}.\n\n{{value: ppo-glod}}\n\nAgain {{ value: ppo-glod }}."
    )
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{page}:3: unknown value 'ppo-glod'; did you mean ppo-gold")
    assert second.startswith(f"{page}:5: unknown value")
    assert html.count('class="fault"') == 2


# Figures


def test_a_value_whose_code_raises_is_a_fault_at_its_own_line(
    show: Show, page: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setitem(measured.of_run.VALUES, "kl-coef", lambda run: run.facts["no_such_fact"])
    assert 'class="fault"' in show("Text.\n\nIt is {{ value: kl-coef }}.\n")
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith(f"{page}:3: value 'kl-coef' cannot be computed: rlhf_explained/")
    assert message.endswith("KeyError: 'no_such_fact'; mend that line")


def test_a_figure_has_an_alternative_text_and_a_caption_in_markdown(show: Show, caplog) -> None:
    html = show("```figure\nppo-loop\nThe *loop* pays $r$; see [this](https://example.org).\n```")
    figure = ElementTree.fromstring(html)
    (svg,) = figure.iter("svg")
    (title,) = svg.iter("title")
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-labelledby"] == title.attrib["id"]
    assert title.text == figures.FIGURES["ppo-loop"].alt
    caption = html[html.index("<figcaption>") :]
    assert "<em>loop</em>" in caption
    assert "<math" in caption
    assert 'href="https://example.org"' in caption
    assert "[Code][rlhf_explained.figures.ppo.loop]" in caption  # a link once autorefs is there
    assert "Data" not in caption  # it is an illustration
    assert not caplog.records


def test_a_figure_of_the_run_quotes_it_and_links_its_data(show: Show, a_run: Run) -> None:
    html = show("```figure\nreward-model-training\n\n```")
    assert value("rm-accuracy", a_run) in html
    assert re.search(r"<summary[^>]*>Data</summary>", html)
    assert html.count("<table") == html.count("<a download ") == 2
    assert 'href="published:figures/reward-model-scores.csv"' in html  # a hook finds the way


def test_ids_are_unique_where_a_figure_stands_twice(show: Show) -> None:
    fence = "```figure\nppo-loop\nAgain.\n```\n\n"
    html = show(fence * 3)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 9
    assert all(target in ids for target in re.findall(r'href="#([^"]+)"', html))


@pytest.mark.parametrize(
    ("wrapped", "line"),
    [
        ("```figure\npoo-loop\nWords.\n```", 1),
        ("Words.\n\n??? note\n    ```figure\n    poo-loop\n    ```", 4),
        ("- item\n\n    ```figure\n    poo-loop\n    Words.\n    ```", 3),
        ("A poo-loop.\n\n~~~figure\npoo-loop\n~~~", 3),
    ],
)
def test_an_unknown_figure_is_a_fault(
    wrapped: str, line: int, show: Show, page: Path, caplog
) -> None:
    html = show(wrapped)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{page}:{line}: unknown figure 'poo-loop'; did you mean")
    assert "ppo-loop" in record.getMessage()
    assert html.count('class="fault"') == 1


@pytest.mark.parametrize(
    ("alt", "why"), [("", "has no alt text"), ("See {ppo-glod}.", "there is no 'ppo-glod'")]
)
def test_a_figure_needs_an_alternative_text(
    alt: str, why: str, show: Show, page: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    loop = dataclasses.replace(figures.FIGURES["ppo-loop"], alt=alt)
    monkeypatch.setitem(figures.FIGURES, "ppo-loop", loop)
    show("\n```figure\nppo-loop\nWords.\n```")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{page}:2: ")
    assert why in record.getMessage()


def test_a_fence_that_touches_text_is_a_fault(show: Show, page: Path, caplog) -> None:
    show("- item\n  words\n```figure\nppo-loop\n```\nmore")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{page}:4: ")
    assert "blank line" in record.getMessage()


def test_words_after_the_name_of_a_fence_are_a_fault(show: Show, page: Path, caplog) -> None:
    show("Words.\n\n```figure ppo-loop\nWords.\n```\n\n```samples title='x'\n```")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{page}:3: figure takes nothing on its first line: put 'ppo-loop'")
    assert second.startswith(f"{page}:7: samples takes nothing")


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
    lines = sorted(record.getMessage() for record in caplog.records)
    assert lines[0].startswith(f"{page}:3: the formula `\\frac{{a}}{{` does not parse")
    assert lines[1].startswith(f"{page}:6: the formula `\\foo` does not parse: Unsupported")
    assert html.count('class="fault"') == 2


def test_a_formula_in_a_docstring_is_found_in_the_package(tmp_path: Path, show: Show) -> None:
    page = tmp_path / "api.md"
    page.write_text("::: rlhf_explained.formulas")
    faults.rendering(page)
    source = ROOT / "rlhf_explained/formulas/kl.py"
    line = next(
        number
        for number, text in enumerate(source.read_text().splitlines(), 1)
        if "k_3 = e^" in text
    )
    assert faults.report("", re.escape("k_3 = e^")).startswith(f"{faults.shown(source)}:{line}: ")


@pytest.mark.parametrize(
    "tex",
    [
        r"\mathbb{E}_{x \sim \mathcal{D}}\left[\log \sigma(r_w - r_l)\right]",
        r"\begin{aligned} a &= b \\ c &= d \end{aligned}",
        r"\max_{\theta} \boxed{J}",
        r"\pi_\mathrm{ref} \,\|\, \hat A_t' \sum_{t=0}^{T}",
        r"\min\!\Big(\rho_t A_t,\ \mathrm{clip}(\rho_t, 1-\epsilon, 1+\epsilon) A_t\Big)",
    ],
)
def test_mathml_is_well_formed(tex: str) -> None:
    assert ElementTree.fromstring(mathml(tex, display=True)).tag == "math"


def test_a_bad_formula_says_why() -> None:
    with pytest.raises(FormulaError, match="Unsupported function name"):
        mathml(r"\foo", display=False)


# Samples


def fence(**options: str) -> str:
    return "\n".join(f"{key.replace('_', '-')}: {text}" for key, text in options.items())


def test_samples_of_prompts_are_the_first_of_each(a_run: Run) -> None:
    wanted = samples.parse(fence(policies="base, ppo-no-kl", prompts="6"))
    rows = samples.by_prompt(wanted, a_run)
    seen: list[str] = []
    for one in a_run.responses["base"]:
        if one["prompt"] not in seen:
            seen.append(one["prompt"])
    assert [prompt for prompt, _ in rows] == seen[:6]
    for prompt, drawn in rows:
        for policy, sample in zip(("base", "ppo_no_kl"), drawn, strict=True):
            given = [one for one in a_run.responses[policy] if one["prompt"] == prompt]
            assert sample.response is given[0]
            assert sample.of == len(given)


def test_commonest_samples_stand_for_the_others(tmp_path: Path) -> None:
    def said(prompt: str, category: str, response: str) -> dict[str, str]:
        return {"prompt": prompt, "kind": "sum", "category": category, "response": response}

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
    wanted = samples.parse(fence(policies="sft", commonest="2"))
    drawn = samples.by_prompt(wanted, Run(RunConfig(), "key", tmp_path))
    (a, (first,)), (b, (second,)) = drawn
    assert (a, first.response, first.alike, first.of) == ("a", answers[3], 3, 5)
    assert (b, second.response, second.alike, second.of) == ("b", answers[2], 1, 2)


def test_typical_samples_are_of_prompts_where_each_policy_does_its_usual_thing(
    tmp_path: Path,
) -> None:
    def given(*kinds: str) -> list[dict[str, str]]:
        """Three answers to each of three prompts."""
        prompts = [prompt for prompt in "abc" for _ in range(3)]
        return [
            {"prompt": prompt, "kind": "sum", "category": kind, "response": kind}
            for prompt, kind in zip(prompts, kinds, strict=True)
        ]

    r, h, f = "rambling", "helpful", "false"
    answers = {
        "sft": given(h, h, r, r, r, r, r, r, h),
        "ppo": given(h, h, h, f, f, f, h, h, f),
    }
    (tmp_path / "responses.json").write_text(json.dumps(answers))
    run = Run(RunConfig(), "key", tmp_path)
    for policies, prompt, alike in (("sft", "b", 3), ("ppo", "a", 3), ("sft, ppo", "c", 2)):
        ((found, drawn),) = samples.by_prompt(
            samples.parse(fence(policies=policies, typical="1")), run
        )
        assert (found, drawn[0].alike) == (prompt, alike)
    with pytest.raises(ValueError, match="typical: the evaluation has 1 such"):
        samples.by_prompt(samples.parse(fence(policies="sft, ppo", typical="2")), run)


def test_beside_a_sample_stands_how_many_are_like_it(show: Show, a_run: Run) -> None:
    html = show("```samples\npolicies: ppo\ncommonest: 3\n```")
    rows = samples.by_prompt(samples.parse(fence(policies="ppo", commonest="3")), a_run)
    for _, (sample,) in rows:
        if sample.of > 1:
            assert f", {sample.alike} of {sample.of}</span>" in html


def test_failures_are_the_first_that_are_not_helpful(a_run: Run) -> None:
    wanted = samples.parse(fence(policies="ppo", failures="10"))
    every = [one for one in a_run.responses["ppo"] if one["category"] != "helpful"]
    assert samples.failures(wanted, a_run) == every[:10]


def test_failures_of_highest_score_are_those(a_run: Run) -> None:
    wanted = samples.parse(fence(policies="ppo", highest_proxy_failures="5"))
    drawn = samples.failures(wanted, a_run)
    every = [one for one in a_run.responses["ppo"] if one["category"] != "helpful"]
    assert sorted(one["proxy"] for one in drawn) == sorted(one["proxy"] for one in every)[-5:]


def test_kinds_restrict_the_samples(a_run: Run) -> None:
    wanted = samples.parse(fence(policies="ppo", failures="5", kinds="joke, haiku"))
    assert {one["kind"] for one in samples.failures(wanted, a_run)} <= {"joke", "haiku"}


def test_a_table_of_samples_is_readable_without_colour_or_sight(show: Show) -> None:
    html = show("```samples\npolicies: sft, ppo\nprompts: 2\n\nTwo *of them*.\n```")
    table = ElementTree.fromstring(html).find("table")
    assert table is not None
    assert [head.text for head in table.findall("thead/tr/th")] == ["Prompt", "SFT", "RLHF (PPO)"]
    assert all(head.attrib["scope"] == "row" for head in table.findall("tbody/tr/th"))
    assert {mark.text for mark in table.iter("p") if "category" in mark.get("class", "")} <= set(
        samples.CATEGORY_WORDS.values()
    )
    words = "".join(table.find("caption").itertext())
    assert "Two of them" in words
    assert "Drawn by rule, not picked" in words
    assert "Held-out prompts" in words


def test_cards_stand_side_by_side(show: Show) -> None:
    html = show("```samples\npolicies: base, sft, ppo\nprompts: 1\nlayout: cards\n```")
    assert re.findall(r'class="card (stage-\w+)"', html) == ["stage-base", "stage-sft", "stage-ppo"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("policy: ppo\nprompts: 1", "did you mean policies"),
        ("policies: ppo, gpt\nprompts: 1", "'gpt' is not one of"),
        ("policies: ppo", "exactly one of"),
        ("policies: ppo\nprompts: 1\nfailures: 1", "exactly one of"),
        ("policies: ppo\nprompts: few", "not a whole number"),
        ("policies: ppo\nprompts: 0", "not a whole number"),
        ("policies: sft, ppo\nfailures: 3", "one policy"),
        ("policies: ppo\nprompts: 1\nlayout: pile", "neither table nor cards"),
        ("policies: ppo\nprompts: 1\nkinds: poem", "'poem' is not one of"),
        ("policies: ppo\nprompts: 5000", "the evaluation has 61"),
        ("just words", "not an option"),
    ],
)
def test_a_bad_samples_fence_is_a_fault(
    options: str, why: str, show: Show, page: Path, caplog
) -> None:
    html = show(f"Words.\n\n```samples\n{options}\n```")
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{page}:4: samples: ")
    assert why in record.getMessage()
    assert 'class="fault"' in html


def test_each_policy_has_a_name() -> None:
    assert tuple(samples.NAMES) == POLICIES


# Drawing


@pytest.fixture
def in_memo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Puts a made-up run where the real one is looked for; a few figures are all there are."""
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path))
    monkeypatch.setattr(cached, "_failed", {})
    few = ("before-after", "reward-model-training", "ppo-clip")
    monkeypatch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in few})

    def put(**changes: object) -> Run:
        key = run_key(RunConfig())
        folder = memo.entry("runs", key, lambda into: made_up_run(into, **changes) and None)
        return Run(RunConfig(), key, folder)

    return put


def test_all_figures_are_drawn_at_once_in_other_processes(in_memo: Callable[..., Run]) -> None:
    run = in_memo()
    parallel.together(cached.jobs(run))
    first = cached.svg("ppo-clip", run)
    kept = {path.name: path for path in (memo.root() / "figures").glob("*/*.svg")}
    assert set(kept) == {f"{name}.svg" for name in figures.FIGURES}

    kept["ppo-clip.svg"].write_text(first[:-20])  # damaged, so it is drawn again
    assert cached.svg("ppo-clip", run) == first == kept["ppo-clip.svg"].read_text()


def test_a_drawing_that_fails_names_its_line_and_spoils_no_other(
    in_memo: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = in_memo(reward_model={})
    place = r"rlhf_explained/figures/reward_model\.py:\d+: KeyError"
    parallel.together(cached.jobs(run))
    monkeypatch.setattr(subprocess, "run", None)  # from here on nothing is drawn
    with pytest.raises(cached.DrawingError, match=place):
        cached.svg("reward-model-training", run)
    assert cached.svg("before-after", run).startswith("<svg")
    assert cached.svg("ppo-clip", run).startswith("<svg")


def test_the_extension_imports_neither_torch_nor_matplotlib() -> None:
    code = "import sys, {}; sys.exit(bool({{'matplotlib', 'torch'}} & set(sys.modules)))"
    for module, heavy in (("rlhf_explained.site.markdown", 0), ("rlhf_explained.formulas", 1)):
        done = subprocess.run([sys.executable, "-c", code.format(module)], cwd=ROOT)
        assert done.returncode == heavy
