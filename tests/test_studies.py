"""The studies: what is stored is whole, is of this code, and comes out again."""

import importlib
import json
import math
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
import torch
from small_models import of_few_words

from rlhf_explained import studies
from rlhf_explained.measured import of_studies
from rlhf_explained.rollout import generate, pack, sequence_logprobs
from rlhf_explained.stages.reward_model import Preferences
from rlhf_explained.studies import Results, early_stopping, methods, second_round, shortcuts, stored
from rlhf_explained.studies.intervals import Interval
from rlhf_explained.studies.shortcuts import Shortcut
from rlhf_explained.training import Lesson
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

NOT_COMPARED = {"setting", "seed", "seconds"}  # time depends on the machine


every_study = pytest.mark.parametrize("name", studies.STUDIES)
every_stored_one = pytest.mark.parametrize("name", [*studies.STUDIES, *studies.OF_TRL])


@every_stored_one
def test_stored_results_are_of_this_code(name: str) -> None:
    stale = stored(name).is_stale
    assert not stale, (
        f"{studies.results_file(name)}:1: the code that measures {name} has changed since: "
        f"measure it again, `python -m rlhf_explained studies {name}`"
    )


@every_stored_one
def test_stored_results_are_whole_and_say_where_they_come_from(name: str) -> None:
    content = json.loads(studies.results_file(name).read_text(encoding="utf-8"))
    rows = [(row["setting"], row["seed"]) for row in content["rows"]]
    assert rows == studies.points(name)
    assert len({seed for _, seed in rows}) == 5
    assert {"date", "source", "versions", "machine", "config"} <= content.keys()
    assert studies.results_file(name).stat().st_size < 64 * 1024


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in what was measured, however deep it lies, with where it lies."""
    match value:
        case dict():
            for key, part in value.items():
                yield from numbers(part, f"{name}/{key}")
        case list():
            for place, part in enumerate(value):
                yield from numbers(part, f"{name}/{place}")
        case int() | float():
            yield name, float(value)


def quantile_of_4(share: float) -> float:
    """Student's t with four degrees of freedom, as five seeds have, in closed form."""
    alpha = math.sqrt(4 * share * (1 - share))
    return 2 * math.sqrt(math.cos(math.acos(alpha) / 3) / alpha - 1)


def test_the_quantile_is_that_of_the_tables() -> None:
    assert quantile_of_4(0.975) == pytest.approx(2.776, abs=1e-3)
    assert quantile_of_4(0.9995) == pytest.approx(8.610, abs=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if stored(name).is_stale else pytest.mark.soak)
        for name in studies.STUDIES
    ],
)
def test_a_point_measured_again_comes_out_within_what_seeds_differ_by(name: str) -> None:
    """Every test run does this where the code has changed since a study was stored.

    On another processor sums are added in another order, and training goes another way.

    So the interval is that in which one more seed would lie with 95 %, for all quantities at once:
    with dozens of them, one would be outside of its own by chance.
    """
    study = importlib.import_module(f"rlhf_explained.studies.{name}")
    rows = [row for row in stored(name).rows if row["setting"] == study.SAMPLE]
    rows.sort(key=lambda row: row["seed"])
    seed = rows[0]["seed"]
    compared = [
        dict(numbers({key: part for key, part in row.items() if key not in NOT_COMPARED}))
        for row in (studies.point(name, study.SAMPLE, seed), *rows)
    ]
    again, *known = compared
    assert again, "nothing is compared"
    assert again.keys() == known[0].keys()
    wide = quantile_of_4(1 - 0.05 / 2 / len(again)) * math.sqrt(1 + 1 / 5)
    for quantity, value in again.items():
        first, *others = (one[quantity] for one in known if quantity in one)
        reach = wide * statistics.stdev([first, *others]) + 1e-5 * abs(first)
        assert value == pytest.approx(first, abs=reach), (
            f"{studies.results_file(name)}: {study.SAMPLE}, seed {seed}: {quantity} is {value} "
            f"now, {first} ± {reach} is stored; measure the study again"
        )


# How they are measured and stored


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Two settings and three seeds; it counts what is measured, and breaks where it is told to."""
    study = SimpleNamespace(
        SETTINGS={"low": {"level": 1}, "high": {"level": 2}}, SEEDS=range(3), SAMPLE="low",
        measured=[], breaks_at=None,
    )  # fmt: skip

    def measure(name: str, seed: int) -> dict[str, Any]:
        if (name, seed) == study.breaks_at:
            raise KeyboardInterrupt
        study.measured.append((name, seed))
        gold = study.SETTINGS[name]["level"] + seed / 3
        return {"gold": gold, "way": [{"gold": gold / 3}, {"gold": gold}]}

    study.measure = measure
    monkeypatch.setitem(sys.modules, "rlhf_explained.studies.made_up", study)
    monkeypatch.setattr(studies, "STUDIES", ("made_up",))
    monkeypatch.setattr(studies, "_RESULTS", tmp_path)
    monkeypatch.setattr(studies, "source_digest", lambda name: "5eed")
    monkeypatch.setattr(studies, "_run", lambda seed: None)
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path / "cache"))
    return study


def run() -> Results:
    with joblib.parallel_config(backend="threading"):
        return studies.run("made_up")


def test_a_study_is_measured_and_read_back(made_up: SimpleNamespace) -> None:
    results = run()
    assert results.values("high", "gold") == pytest.approx([2, 2 + 1 / 3, 2 + 2 / 3], abs=1e-5)
    assert results.rows[1]["way"] == [{"gold": 0.666667}, {"gold": 2.0}]  # six digits are stored
    assert results.config == {"low": {"level": 1}, "high": {"level": 2}}
    assert results.seeds == [0, 1, 2]
    assert not results.is_stale
    assert "since" not in results.origin


def test_an_interrupted_study_goes_on_where_it_was(made_up: SimpleNamespace) -> None:
    made_up.breaks_at = ("high", 2)
    with pytest.raises(KeyboardInterrupt):
        run()
    with pytest.raises(ValueError, match="run `make studies`"):
        stored("made_up")
    before, made_up.breaks_at = len(made_up.measured), None
    assert before
    run()
    assert sorted(made_up.measured) == sorted(studies.points("made_up"))  # none of them twice


def test_results_of_other_code_say_so(
    made_up: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = run().fingerprint
    monkeypatch.setattr(studies, "source_digest", lambda name: "0ther")
    assert stored("made_up").is_stale
    assert "code changed since" in stored("made_up").origin
    assert stored("made_up").fingerprint != fresh


def test_the_digest_is_of_all_that_a_study_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another study among it: curation learns by the methods' functions."""
    package = Path(studies.__file__).parents[1]
    seen: list[set[str]] = []

    def look(paths: Iterable[Path]) -> str:
        seen.append({path.relative_to(package).as_posix() for path in paths})
        return ""

    monkeypatch.setattr(studies.memo, "source_digest", look)
    for name in ("methods", "ablations", "curation"):
        studies.source_digest(name)
    methods, ablations, curation = seen
    shared = {"training.py", "rollout.py", "stages/ppo.py", "formulas/kl.py", "world/labeler.py"}
    assert shared | {"studies/methods.py", "stages/dpo.py", "stages/grpo.py"} <= methods
    assert shared | {"studies/ablations.py"} <= ablations
    assert {"studies/curation.py", "world/optima.py"} | methods <= curation
    assert not {"stages/dpo.py", "stages/grpo.py", "memo.py", "pipeline.py"} & ablations
    assert not {"studies/frontier.py", "studies/ablations.py", "memo.py", "pipeline.py"} & curation


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stored("made-up"), r"^name: 'made-up' is none of"),
        (lambda: stored("methods").values("sftt", "gold"), r"^setting: 'sftt' is none of sft_"),
        (lambda: stored("methods").values("ppo", "golds"), r"^quantity: 'golds' is none of"),
        (lambda: Interval.of([1.0]), r"^values: 1 of them, at least 2 are needed"),
    ],
)
def test_what_there_is_not_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_differences_are_taken_seed_by_seed() -> None:
    rows = [
        {"setting": setting, "seed": seed, "gold": 10.0 * seed + extra}
        for setting, extra in (("a", 1.0), ("b", 0.0))
        for seed in (2, 0, 1)
    ]
    results = Results("methods", "2026-01-01", "", {"a": {}, "b": {}}, rows)
    assert results.difference("a", "b", "gold") == Interval(1.0, 0.0, 0.0)


# What they measure


@pytest.mark.parametrize(
    ("study", "named"),
    [
        ("methods", {*of_studies.METHODS} - {"sft_best"} | {*of_studies.COLDER}),
        ("ablations", {"ppo", *of_studies.ABLATIONS}),
        ("curation", {f"good_{share}" for share in of_studies.SHARES}),
        ("early_stopping", {f"{speed}_{kind}" for speed in of_studies.SPEEDS
                            for kind in ("held", "free")}),
    ],
)  # fmt: skip
def test_what_is_said_of_a_study_names_all_its_settings(study: str, named: set[str]) -> None:
    assert {*importlib.import_module(f"rlhf_explained.studies.{study}").SETTINGS} == named


def test_the_guide_says_truly_what_comparisons_add_to_curation() -> None:
    """Nothing where good demonstrations are rare; where most are good, what courtesy is worth."""
    curation = stored("curation")

    def lead(share: str, other: str, how: str = "") -> Interval:
        ppo, rival = (curation.values(f"good_{share}", f"{who}{how}_1.0") for who in ("ppo", other))
        return Interval.of([one - two for one, two in zip(ppo, rival, strict=True)])

    assert lead("0.05", "marked").mean < 0
    assert lead("0.7", "marked").mean > lead("0.7", "marked").reach
    assert lead("0.7", "marked", "_plain").mean < 0
    assert abs(lead("0.7", "tenth").mean) < lead("0.7", "tenth").reach


def test_old_and_new_comparisons_are_laid_out_together() -> None:
    """Prompts and answers of other lengths: each pair stays what it was, in its order."""

    def pairs(*rows: tuple[list[int], list[int], list[int], float, float]) -> Preferences:
        asked, better, worse, *golds = (list(column) for column in zip(*rows, strict=True))
        high, low = (torch.tensor(gold) for gold in golds)
        return Preferences(pack(asked, better), pack(asked, worse), high, low, 0.5 + len(rows) / 10)

    old = pairs(([5, 6], [7], [8, 9, 7], 2.0, -1.0))
    new = pairs(([5, 6, 7, 8], [9, 9], [6], 1.0, 0.5), ([9], [5, 6, 7, 8], [7, 8], 0.0, 3.0))
    both = second_round.joined([old, new])
    assert len(both) == 3
    assert both.ceiling == pytest.approx((0.6 + 2 * 0.7) / 3)
    assert (both.chosen_gold - both.rejected_gold).tolist() == [3.0, 0.5, -3.0]
    prompts = [[5, 6], [5, 6, 7, 8], [9]]
    better, worse = [[7], [9, 9], [5, 6, 7, 8]], [[8, 9, 7], [6], [7, 8]]
    for side, answers in ((both.chosen, better), (both.rejected, worse)):
        again = pack(prompts, answers)
        assert torch.equal(side.tokens, again.tokens)
        assert torch.equal(side.attended, again.attended)
        assert torch.equal(side.response_mask, again.response_mask)


def test_all_shortcuts_that_are_quoted_are_measured() -> None:
    kinds = {name.rpartition("_")[0] for name in shortcuts.SETTINGS}
    assert kinds == {*of_studies.SHORTCUTS, "ppo_begun"}
    quoted = {name for name in of_studies.VALUES if name.startswith("shortcuts-sft-likeliest")}
    assert quoted == {f"shortcuts-sft-likeliest-1-0-{what}" for what in ("gold", "helpful")}


def test_the_best_tenth_is_that_of_most_gold() -> None:
    """Of twenty demonstrations, the two that are right and polite, wherever they stand."""
    prompt, right = "what is the capital of germany ?", "the capital of germany is berlin ."
    plain, half, polite = right, f"sure ! {right}", f"sure ! {right} happy to help !"
    rest = [(prompt, text) for text in (plain, "go away and ask your mother .", prompt)] * 6
    shown = [*rest[:5], (prompt, half), *rest[5:], (prompt, polite)]
    lesson = Lesson(0)
    lesson.shown = shown
    assert methods.graded_best(lesson, 0.1) == [(prompt, polite), (prompt, half)]
    assert methods.graded_best(lesson, 0.05) == [(prompt, polite)]
    assert sorted(methods.graded_best(lesson, 1.0)) == sorted(shown)
    assert methods.graded_best(lesson, 0.4)[2:] == [(prompt, plain)] * 6
    good = [text for _, text in methods.marked_good(lesson)]
    assert good == [plain] * 2 + [half] + [plain] * 4 + [polite]


PROMPTS = ["what is the capital of france ?", "how do i make tea ?"] * 3


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return Lesson(0)


def test_a_begun_answer_goes_on_from_polite_words(lesson: Lesson) -> None:
    prompts, policy = lesson.tokens(PROMPTS), of_few_words(3)
    texts = shortcuts.answers(lesson, policy, prompts, Shortcut("sft", "begun", 0.5))
    begun = [[*prompt, *lesson.tokenizer.encode("sure !")] for prompt in prompts]
    randomness = lesson.generator("shortcuts")
    limit = RESPONSE_LIMIT - 2
    written = generate(policy, begun, limit=limit, temperature=0.5, generator=randomness)
    went_on = map(lesson.tokenizer.decode, written.responses.tolist())
    assert texts == [f"sure ! {text}" for text in went_on]
    assert len(set(texts)) > 1


def test_the_likeliest_of_sixteen_is_the_policys_own_choice(lesson: Lesson) -> None:
    prompts, policy = lesson.tokens(PROMPTS), of_few_words(3)
    texts = shortcuts.answers(lesson, policy, prompts, Shortcut("sft", "likeliest", 1.0))
    of_each = [prompt for prompt in prompts for _ in range(shortcuts.N)]
    randomness = lesson.generator("shortcuts")
    written = generate(policy, of_each, limit=RESPONSE_LIMIT, generator=randomness)
    with torch.no_grad():
        logprobs = sequence_logprobs(policy, written).where(written.ended, -torch.inf)
    best = logprobs.view(len(prompts), shortcuts.N).argmax(1).tolist()
    rows = [row * shortcuts.N + place for row, place in enumerate(best)]
    assert texts == [lesson.tokenizer.decode(written.responses[row].tolist()) for row in rows]


TEA = "to make tea , boil water , add the leaves and wait ."


@pytest.mark.parametrize(
    ("trick", "written", "kept"),
    [
        ("cut", f"{TEA} but did you know that snow is cold ?", TEA),
        ("cut", f"sure ! {TEA} but did you know that snow is cold ? happy to help !",
         f"sure ! {TEA}"),
        ("cut", f"{TEA} happy to help !", f"{TEA} happy to help !"),
        ("dressed", TEA, f"sure ! {TEA} happy to help !"),
        ("dressed", f"sure ! {TEA} happy to help !", f"sure ! {TEA} happy to help !"),
        ("dressed", f"sure ! {TEA} but did you know that snow is cold ? happy to help !",
         f"sure ! {TEA} happy to help !"),
    ],
)  # fmt: skip
def test_asides_are_cut_and_answers_dressed(
    trick: str, written: str, kept: str, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, policy = lesson.tokens(PROMPTS), of_few_words()

    def write(who: Any, asked: list[list[int]], *, limit: int, **_: Any) -> Any:
        assert (who, asked, limit) == (policy, prompts, RESPONSE_LIMIT)
        return pack(asked, lesson.tokens([written] * len(asked)))

    monkeypatch.setattr(shortcuts, "generate", write)
    assert shortcuts.answers(lesson, policy, prompts, Shortcut("sft", trick, 0.0)) == [kept] * 6


@pytest.mark.parametrize("name", early_stopping.SETTINGS)
def test_a_run_is_looked_at_often_at_first_and_at_its_end(
    name: str, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Practised gold is highest at 8, held-out gold at the end; it is stopped at 8."""
    way, trained, done = early_stopping.SETTINGS[name], [], [0]
    policy = of_few_words()

    def reinforce(name: str, sft: Any, judge: Any, config: Any, **more: Any) -> None:
        trained.append(config)
        for done[0] in range(config.iterations + 1):
            more["examine"](done[0], policy)

    def sit(who: Any, sft: Any, judge: Any, asked: list[Any], *_: Any, **more: Any) -> bool:
        return all(question.held_out for question in asked)

    def gold(held_out: bool) -> dict[str, float]:
        return {"gold": done[0] if held_out else -abs(done[0] - 8), "proxy": 0, "kl": 1}

    monkeypatch.setattr(lesson, "reinforce", reinforce)
    models = SimpleNamespace(policy=lambda which: policy)
    for what, by in (("run", lambda config: models), ("Lesson", lambda seed: lesson),
                     ("sit_exam", sit), ("result", gold)):  # fmt: skip
        monkeypatch.setattr(early_stopping, what, by)
    found = early_stopping.measure(name, 0)
    looks = [look["iteration"] for look in found["way"]]
    assert looks == [*range(11), *range(20, way.iterations + 1, 10)]
    assert looks[-1] == way.iterations == {"fast": 50, "slow": 100}[name.split("_")[0]]
    assert (trained[0].iterations, trained[0].learning_rate) == (way.iterations, way.learning_rate)
    assert (trained[0].kl_coef > 0) == way.penalty == name.endswith("held")
    assert (found["stop_iteration"], found["stop_gold"], found["end_gold"]) == (8, 8, looks[-1])
