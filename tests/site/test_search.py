"""The search box, asked what a learner would ask, on a server and in a folder."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from rlhf_explained.site.publish import search
from tests.site.conftest import DESK, PHONE, SITE, Visit

# What is over-optimised may stand on a page of its own.
OVER = ("guide/over-optimisation/", "guide/ppo/")
HAND = "guide/ppo-by-hand/"
METHODS, WITHOUT_PPO = "guide/methods/", "guide/dpo-grpo-best-of-n/"
RM_DATA = "notebooks/02b_what_a_judge_is_worth/"
FROM_ZERO, LOOKS_WRONG = (
    "notebooks/03_ppo_for_language_models/",
    "notebooks/03b_when_ppo_looks_wrong/",
)
DPO = "notebooks/04_dpo/"
GRPO = "notebooks/04b_when_grpo_looks_wrong/"
RULES, YOURS = "guide/verifiable-rewards/", "guide/your-own-project/"
TRL = "notebooks/05_practical_rlhf_with_trl/"
NAMES = "notebooks/05b_trl_names_and_traps/"
PAST = "notebooks/05c_past_this_machine/"
SFT, RM, PPO = "guide/sft/", "guide/reward-model/", "guide/ppo/"
CRITIC = "repair-1-a-baseline-and-a-critic"
GAE = "repair-2-gae-an-advantage-for-each-token"
CLIPPING = "repair-3-the-clip"

# The question, the page that must come first, and the section that Enter must open, if one is meant
QUESTIONS: list[tuple[str, str | tuple[str, ...], str]] = [
    ("what is rlhf", "", ""),
    ("rlhf", "", ""),
    ("chatgpt", "", ""),
    ("alignment problem", "guide/alignment-problem/", ""),
    ("next token prediction", "guide/alignment-problem/", ""),
    ("three stages", "guide/pipeline/", ""),
    ("rlhf pipeline", "guide/pipeline/", ""),
    ("how long does training take", "guide/pipeline/", "what-each-stage-cost"),
    ("what is sft", SFT, ""),
    ("supervised finetuning", SFT, ""),
    ("demonstrations", SFT, ""),
    ("loss floor entropy", SFT, "the-floor-under-the-loss"),
    ("loss mask prompt", SFT, ""),
    ("what is a reward model", RM, ""),
    ("bradley terry", RM, "from-a-choice-to-a-probability"),
    ("Bradley–Terry", RM, "from-a-choice-to-a-probability"),
    ("preference data", RM, ""),
    ("reward model accuracy ceiling", RM, "the-ceiling-no-judge-can-be-perfect"),
    ("iterated rlhf", "guide/over-optimisation/", "do-new-comparisons-help"),
    ("ppo", PPO, ""),
    ("why ppo", PPO, ""),
    ("ppo clipping", HAND, CLIPPING),
    ("ppo loss code", HAND, ""),
    ("gae", HAND, GAE),
    ("generalized advantage estimation", HAND, GAE),
    ("advantage", HAND, GAE),
    ("critic", HAND, CRITIC),
    ("baseline reinforce", HAND, CRITIC),
    ("why kl penalty", PPO, "the-kl-penalty"),
    ("trl", TRL, ""),
    ("hugging face", TRL, ""),
    ("trl ppo removed", TRL, "where-is-ppo"),
    ("frac_reward_zero_std", NAMES, "which-metric-means-what"),
    ("trl beta default", NAMES, ""),
    ("lora", PAST, "adapters-in-place-of-weights"),
    ("gpu memory", PAST, "how-much-memory"),
    ("multi gpu training", PAST, ""),
    ("vllm", PAST, "what-other-libraries-take-over"),
    ("kl penalty", PPO, "the-kl-penalty"),
    ("kl divergence negative", LOOKS_WRONG, "why-is-my-kl-negative"),
    ("answers do not end", LOOKS_WRONG, "after-sft-the-answers-do-not-end"),
    ("pad token eos", (TRL, LOOKS_WRONG), ""),
    ("same answer different score", LOOKS_WRONG, "one-answer-several-scores"),
    ("why is my kl negative?", LOOKS_WRONG, "why-is-my-kl-negative"),
    ("beta too small", PPO, ""),
    ("reward hacking", OVER, ""),
    ("overoptimization", OVER, ""),
    ("over-optimisation", OVER, ""),
    ("goodhart", OVER, ""),
    ("early stopping", OVER, ""),
    ("response length", OVER, ""),
    ("why rlhf works", "guide/why-rlhf-works/", ""),
    ("why is judging easier than writing", "guide/why-rlhf-works/", ""),
    ("history of rlhf", "guide/history/", ""),
    ("who invented rlhf", "guide/history/", ""),
    ("instructgpt", "guide/history/", ""),
    ("summary", "guide/summary/", ""),
    ("quiz", "guide/quiz/", ""),
    ("test yourself", "guide/quiz/", ""),
    ("download notebook", "notebooks/01_what_is_rlhf/", ""),
    ("glossary", "reference/glossary/", ""),
    ("temperature", "reference/glossary/", "temperature"),
    ("dpo", WITHOUT_PPO, "learn-from-the-comparisons-alone"),
    ("grpo", WITHOUT_PPO, "grade-against-your-own-drafts"),
    ("best of n", WITHOUT_PPO, ""),
    ("dpo vs ppo", METHODS, ""),
    ("grpo vs ppo", METHODS, ""),
    ("derive dpo", DPO, ""),
    ("dpo loss 0.693", DPO, "why-the-loss-starts-at-06931-and-when-it-stays-there"),
    ("chosen reward decreases", DPO, "why-the-chosen-answers-reward-falls"),
    ("which way round is the kl", DPO, "which-way-round-and-the-kl"),
    ("ipo loss", DPO, "ipo-and-kto-two-other-losses"),
    ("preference label noise", RM_DATA, "label-noise-costs-data"),
    ("ranking k answers", RM_DATA, "ranking-k-answers"),
    ("reward not increasing", LOOKS_WRONG, "my-reward-does-not-rise-broken-or-noisy"),
    ("same seed different results", LOOKS_WRONG, "same-seed-different-numbers"),
    ("ablation", FROM_ZERO, "take-one-part-away"),
    ("ppo notebook", FROM_ZERO, ""),
    ("ipo", DPO, "ipo-and-kto-two-other-losses"),
    ("grpo loss is 0 and then rises", GRPO, "why-is-the-loss-0-and-why-does-it-rise"),
    ("reward varies but loss and gradient are 0", GRPO, "the-reward-varies-and-nothing-is-learned"),
    ("clip_ratio always 0", GRPO, "why-is-the-clip-ratio-always-0"),
    ("all answers cut at the limit", GRPO, "all-answers-are-cut-off"),
    ("group size answers per prompt", GRPO, "how-many-answers-to-each-prompt"),
    ("does the loss average make answers longer", GRPO, "does-the-average-make-answers-longer"),
    (
        "groups without spread pull to the reference",
        GRPO,
        "the-reward-varies-and-nothing-is-learned",
    ),
    ("temperature top_k whose log-probabilities", GRPO, "whose-log-probabilities"),
    ("sampler and trainer disagree", GRPO, "the-sampler-and-the-trainer-disagree"),
    ("entropy falls to 0", GRPO, "the-entropy-falls"),
    ("rlvr", RULES, ""),
    ("does rl only sharpen pass@k", RULES, "does-practice-find-anything-new"),
    ("format reward rises accuracy falls", RULES, "the-form-alone"),
    ("several rewards on different scales", RULES, "content-and-form-together"),
    ("must sft come first", RULES, "is-imitation-needed-first"),
    ("verifiable rewards", RULES, ""),
    ("win rate", OVER, "who-wins-and-who-says-so"),
    ("llm as a judge", YOURS, "how-do-you-know-that-it-got-better"),
    ("rejection sampling", METHODS, "first-the-trivial-things"),
    ("data format jsonl", TRL, "a-file-of-your-own-preferences"),
    ("deepspeed", PAST, "what-other-libraries-take-over"),
    ("qlora", PAST, "adapters-in-place-of-weights"),
    ("kv cache", PAST, "how-much-memory"),
    ("teach it your taste", "teach-it/", ""),
    ("which method when", (METHODS, YOURS), ""),
    ("first run checklist", YOURS, "a-checklist-for-the-first-run"),
    ("implicit reward", "reference/glossary/", "implicit-reward"),
    ("constitutional ai", "reference/glossary/", "constitutional-ai"),
    ("alignment tax", "reference/glossary/", "alignment-tax"),
    ("christiano 2017", "reference/bibliography/", "christiano2017"),
    ("kl_k3", "reference/api/formulas/kl/", ""),
    ("ppo_policy_loss", "reference/api/formulas/ppo_losses/", ""),
]

ANSWERS = """() => [...document.querySelectorAll(".md-search-result__item")].map(item =>
  [...item.querySelectorAll("a[href]")]  // Enter opens the one of the highest score
    .map(a => [+a.querySelector("[data-md-score]").dataset.mdScore, a.href])
    .sort(([a], [b]) => b - a)[0][1])"""


def ask(page: Page, question: str) -> list[str]:
    """Ask the search box; the answers are addresses within the site, best first."""
    page.evaluate("document.querySelector('.md-search-result__list').replaceChildren()")
    box = page.locator("input.md-search__input")
    box.fill(question)
    box.press("End")  # the theme listens to keys
    page.wait_for_selector(".md-search-result__item", state="attached")
    root = re.sub(r"(index\.html)?(#.*)?$", "", page.url)
    return [link.removeprefix(root).replace("index.html", "") for link in page.evaluate(ANSWERS)]


@pytest.mark.parametrize("folder", [False, True], ids=["online", "folder"])
def test_the_right_page_comes_first(folder: bool, visit: Visit) -> None:
    wrong = []
    with visit("", folder=folder) as page:
        page.locator("input.md-search__input").click()
        for question, pages, section in QUESTIONS:
            answers = ask(page, question)
            first, _, anchor = answers[0].partition("#")
            allowed = pages if isinstance(pages, tuple) else (pages,)
            if first not in allowed or section not in ("", anchor):
                wrong.append(f"{question}: {answers[:3]}")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("folder", [False, True], ids=["online", "folder"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_an_answer_is_shown_marked_and_opened_by_keyboard(
    size: dict[str, int], folder: bool, visit: Visit
) -> None:
    with visit("guide/sft/", folder=folder, viewport=size) as page:
        page.keyboard.press("/")
        page.keyboard.type("why kl penalty", delay=10)
        first = page.locator(".md-search-result__item").first
        first.get_by_text("KL penalty").first.wait_for()
        assert first.locator("h1").inner_text() == "Stage 3: PPO fine-tuning"
        assert {mark.lower() for mark in first.locator("mark").all_inner_texts()} >= {"penalty"}
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/guide/ppo/{'index.html' * folder}#the-kl-penalty")
        assert page.locator("#the-kl-penalty").is_visible()


def test_questions_lose_words_that_say_nothing_unless_nothing_is_left(visit: Visit) -> None:
    with visit("") as page:
        page.locator("input.md-search__input").click()
        assert ask(page, "what is a reward model?") == ask(page, "reward model")
        assert ask(page, "is"), "found by how words begin"


# What is added to the theme's search


def test_terms_are_added_and_folders_named(tmp_path: Path) -> None:
    docs = [{"location": place} for place in ("", "#here", "guide/x/", "guide/x/#there")]
    path = tmp_path / "search/search_index.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"config": {}, "docs": docs}))
    terms = {"": {"page": "start"}, "guide/x/": {"there": "a, b", "gone": "c"}, "away/": {}}
    assert search.finish(tmp_path, terms) == [("guide/x/", "gone")]
    index = json.loads(path.read_text())
    assert [entry.get("terms") for entry in index["docs"]] == ["start", None, None, "a, b"]
    script = path.with_suffix(".js").read_text().removeprefix("var __index = ")
    places = [entry["location"] for entry in json.loads(script)["docs"]]
    pages = "index.html", "guide/x/index.html"
    assert places == [pages[0], f"{pages[0]}#here", pages[1], f"{pages[1]}#there"]


def test_every_page_is_weighed_and_what_explains_weighs_more() -> None:
    index = json.loads((SITE / "search/search_index.json").read_text(encoding="utf-8"))
    weights = {entry["location"].split("#")[0]: entry["boost"] for entry in index["docs"]}
    assert weights["guide/ppo/"] > weights["reference/glossary/"]
    assert weights["reference/glossary/"] > weights["notebooks/01_what_is_rlhf/"]
    assert weights["notebooks/01_what_is_rlhf/"] > weights["reference/api/stages/ppo/"]
