"""A reader's own comparisons: read with a clear word on what is wrong, held out, learned from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rlhf_explained.__main__ import main
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import Run, RunConfig, run
from rlhf_explained.preferences import Comparison, divided, read
from rlhf_explained.preferences import run as run_with
from rlhf_explained.world.questions import questions

GOOD = '{"prompt": "tell me a joke", "chosen": "sure !", "rejected": "sorry ."}'
TINY = RunConfig(seed=3, effort=0.02)


def good(**other: Any) -> str:
    return json.dumps(json.loads(GOOD) | other)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.jsonl"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "mine.jsonl:1: the file holds no comparisons: at least two are needed"),
        ("\n \n", "mine.jsonl:1: the file holds no comparisons"),
        (GOOD, "mine.jsonl:1: the file holds 1 comparison: at least two"),
        (f"{GOOD}\n" * 16 + "{", "mine.jsonl:17: this is not JSON: Expecting property name"),
        ("[" * 100_000, "mine.jsonl:1: this is not JSON"),
        ("[1]", "mine.jsonl:1: this is no object: write {"),
        (f'{GOOD}\n{{"prompt": "x"}}', "mine.jsonl:2: prompt: the model has no word 'x'"),
        ('{"prompt": "tell me a joke", "chosen": "sure !"}', "mine.jsonl:1: rejected: this field"),
        (good(chosen=5), "mine.jsonl:1: chosen: 5 is not a text"),
        (good(chosen=None), "mine.jsonl:1: chosen: null is not a text"),
        (good(prompt=" "), "mine.jsonl:1: prompt: this is empty"),
        (good(chosen="Sure !"), "chosen: the model has no word 'Sure'; did you mean 'sure'?"),
        (good(chosen="sure ! <eos>"), "chosen: the model has no word '<eos>'"),
        (good(rejected=" sure  !"), "mine.jsonl:1: rejected: this is the chosen answer"),
        (good(rejected="sorry " * 34), "rejected: 34 words are too many: there is room for 33"),
        (good(prompt="sorry " * 31), "prompt: 31 words are too many: there is room for 30"),
    ],
)
def test_what_cannot_be_learned_from_is_named(lines: str, says: str, file: Path) -> None:
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        read(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_named(coding: str, file: Path) -> None:
    file.write_text(f'{GOOD}\n{{"prompt": "é"}}\n', encoding=coding)
    with pytest.raises(ValueError, match=r"mine\.jsonl:[12]: this is not (UTF-8|JSON)"):
        read(file)


def test_no_file_is_named_at_once_in_a_sentence(tmp_path: Path) -> None:
    for name, says in (("gone.jsonl", "gone.jsonl does not exist"), ("", "is no file")):
        done = CliRunner().invoke(main, ["train", "--preferences", str(tmp_path / name)])
        assert done.exit_code == 1
        assert says in done.output
        assert done.output.count("\n") == 1


def test_marks_blank_lines_and_line_ends_do_not_matter(file: Path) -> None:
    file.write_bytes(f"\ufeff{GOOD}\r\n\r\n{good(chosen='')}\r\n\r\n".encode())
    assert read(file) == [
        Comparison("tell me a joke", "sure !", "sorry ."),
        Comparison("tell me a joke", "", "sorry ."),
    ]


def test_the_line_that_the_page_shows_can_be_learned_from(file: Path) -> None:
    page = Path(__file__).parents[1] / "docs/reference/api/preferences.md"
    (line,) = re.findall(r'(?m)^\{"prompt".*', page.read_text(encoding="utf-8"))
    file.write_text(f"{line}\n{line}\n", encoding="utf-8")
    assert len(read(file)) == 2


def comparisons(prompts: int, each: int) -> list[Comparison]:
    asked = [question.text for question in questions()][:prompts]
    return [Comparison(prompt, f"sure ! {n}", f"no {n}") for n in range(each) for prompt in asked]


@pytest.mark.parametrize(
    ("prompts", "each", "held"), [(2, 1, 1), (1, 10, 2), (10, 5, 10), (100, 1, 20), (60, 200, 1000)]
)
def test_what_is_held_out_shares_no_prompt(prompts: int, each: int, held: int) -> None:
    every = comparisons(prompts, each)
    learned, heldout = divided(every)
    assert len(heldout) == held
    assert not {*learned} & {*heldout}
    shared = {one.prompt for one in learned} & {one.prompt for one in heldout}
    assert not shared or prompts == 1
    if len(every) < 5000:
        assert len(learned) + len(heldout) == len(every)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A short run by somebody who prefers whatever is shorter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLHF_EXPLAINED_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = run(TINY).data["preferences"]
        shorter = [sorted((row["chosen"], row["rejected"]), key=len) for row in data]
        asked = [row["prompt"] for row in data]
        own = [Comparison(prompt, *pair) for prompt, pair in zip(asked, shorter, strict=True)]
        own += [
            Comparison("sure ! why ?", "sorry .", "sure ! why ?")
        ] * 2  # no question of the world
        done = run_with(own, TINY)
        assert run_with(own, TINY) == done
        assert run_with(own[1:], TINY).key != done.key
        done.summary()
        yield done


def test_the_summary_is_the_contracts_and_is_json(taught: Run) -> None:
    summary = json.loads(json.dumps(taught.summary(), allow_nan=False))
    assert summary["reward_model"]["accuracy_ceiling"] is None
    own = summary["preferences"]
    assert own["comparisons"] == len(taught.data["preferences"])
    assert 0 < own["heldout"] <= own["comparisons"] / 3
    assert own["accuracy"] == pytest.approx(summary["reward_model"]["heldout_accuracy"])
    assert {category.replace("_", "-") for category in CATEGORIES} < set(own["traits"])
    assert own["traits"]["words"]["reader"] < 0.1  # longer by letters may be shorter by words
    assert own["exam_prompts"] == 0


def test_the_first_two_stages_are_those_of_the_seed(taught: Run, monkeypatch: Any) -> None:
    folder = taught.folder.parent
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(folder.parent))
    for name in ("base", "sft"):
        theirs, ours = (one.policy(name).state_dict() for one in (taught, run(TINY)))
        assert all((theirs[part] == ours[part]).all() for part in ours)
    assert taught.evaluation["base"]["gold"] == run(TINY).evaluation["base"]["gold"]


def test_it_is_told_what_decides(taught: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from rlhf_explained.report import print_run

    print_run(taught, as_json=False)
    told = capsys.readouterr().out
    for words in ("your preferences: ", "held-out comparisons", "opens politely", "off-topic"):
        assert words in told
