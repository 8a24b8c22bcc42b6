"""The run: repeatable bitwise, remembered, mended after damage, readable without torch."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from made_up_run import made_up_run

from rlhf_explained import pipeline
from rlhf_explained.__main__ import main
from rlhf_explained.measured.of_run import courteous
from rlhf_explained.names import POLICIES, STAGES
from rlhf_explained.pipeline import Run, RunConfig, run

TINY = RunConfig(seed=3, effort=0.02)
SHARES = ("helpful", "harmful", "off_topic", "rambling", "false", "broken")
TEMPERATURES = ("1.0", "0.7", "0.5", "0.3", "0.0")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RLHF_EXPLAINED_CACHE", str(cache))
    return run(TINY)


def report(folder: Path) -> dict[str, Any]:
    """What a run found, but for the time that it took."""
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "seconds"}


def test_the_summary_is_the_contracts(tiny: Run) -> None:
    summary = json.loads(json.dumps(tiny.summary()))
    assert set(summary) == {
        "seconds", "parameters", "critic_parameters", "reward_model", "evaluation", "temperatures",
        "win_rates", "history", "checkpoints",
    }  # fmt: skip
    assert set(summary["seconds"]) == {*STAGES, "total"}
    assert set(summary["reward_model"]) == {
        "heldout_accuracy", "accuracy_ceiling", "hard_negative_accuracy", "plain_negative_accuracy",
    }  # fmt: skip
    assert set(summary["evaluation"]) == set(summary["temperatures"]) == set(POLICIES)
    for policy, exams in summary["temperatures"].items():
        assert tuple(exams) == TEMPERATURES
        assert exams["1.0"] == summary["evaluation"][policy]
        for temperature, measures in exams.items():
            names = {"responses", "questions", *SHARES, "gold", "proxy", "kl", "accuracy"}
            assert names <= set(measures)
            assert sum(measures[share] for share in SHARES) == pytest.approx(1)
            assert set(measures["stderr"]) >= {*SHARES, "gold", "proxy"}
            assert (measures["kl"] is None) == (temperature != "1.0")
            assert (measures["responses"] == measures["questions"]) or temperature != "0.0"
    for name in ("ppo", "ppo_no_kl"):
        assert {
            "iteration", "proxy", "trained_score", "finished", "gold", "kl", "length",
            "explained_variance",
        } <= set(summary["history"][name][0])  # fmt: skip
        assert [look["iteration"] for look in summary["checkpoints"][name]] == [0]  # of two rounds


def shape(value: Any) -> Any:
    """The names in it, and the kinds of number; a list is as its first part."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value[:1]]
    if value is None or isinstance(value, bool):
        return "known, or not"  # as whether a fact is right
    return "text" if isinstance(value, str) else "number"


@pytest.mark.parametrize("file", ["report", "responses", "by_question", "data"])
def test_a_made_up_run_has_the_shape_of_the_sites_own(file: str, tmp_path: Path) -> None:
    folders = run().folder, made_up_run(tmp_path).folder
    real, other = (json.loads((folder / f"{file}.json").read_text()) for folder in folders)
    assert shape(real) == shape(other)


def test_all_that_the_stages_read_is_listed(tiny: Run) -> None:
    """The demonstrations, pairs and prompts of a run, each once."""
    data = tiny.data
    practised, held_out = ({q["prompt"] for q in data[part]} for part in ("practised", "heldout"))
    assert len(practised) + len(held_out) == tiny.facts["questions"]
    assert not practised & held_out
    assert len(data["demonstrations"]) == tiny.facts["demonstrations"]
    assert len(data["preferences"]) == tiny.facts["pairs"]
    asked = [one["prompt"] for part in ("demonstrations", "preferences") for one in data[part]]
    assert {*asked, *data["rollout_prompts"]} <= practised
    assert data["rollout_prompts"]
    assert not data["other"]


def test_the_evaluation_is_the_mean_of_its_answers(tiny: Run) -> None:
    assert tiny.evaluation["sft"]["kl"] == 0  # the reference is no distance from itself
    for policy in POLICIES:
        answers, found = tiny.responses[policy], tiny.evaluation[policy]
        assert found["gold"] == pytest.approx(fmean(answer["gold"] for answer in answers))
        helpful = fmean(answer["category"] == "helpful" for answer in answers)
        assert found["helpful"] == pytest.approx(helpful)


def test_the_same_seed_is_bitwise_the_same_whatever_the_global_state(
    tiny: Run, tmp_path: Path
) -> None:
    torch.manual_seed(12345)
    random.seed(12345)
    threads = torch.get_num_threads()
    pipeline.train(TINY, tmp_path, lambda *_: None)
    assert torch.get_num_threads() == threads
    assert report(tmp_path) == report(tiny.folder)
    for name in (*POLICIES, "reward_model", "critic"):
        file = f"{name}.safetensors"
        assert (tmp_path / file).read_bytes() == (tiny.folder / file).read_bytes()


def test_another_seed_is_another_run(tiny: Run, tmp_path: Path) -> None:
    other = RunConfig(seed=4, effort=TINY.effort)
    assert pipeline.run_key(other) != tiny.key
    pipeline.train(other, tmp_path, lambda *_: None)
    assert report(tmp_path)["evaluation"] != report(tiny.folder)["evaluation"]


def test_models_come_back(tiny: Run) -> None:
    policy = tiny.policy("ppo")
    assert policy.parameter_count() == tiny.parameters
    assert tiny.policy("critic").parameter_count() == tiny.critic_parameters
    with pytest.raises(ValueError, match="name: 'gpt' is not one of base"):
        tiny.policy("gpt")


def test_a_flipped_byte_in_a_checkpoint_is_noticed_said_and_mended(tiny: Run) -> None:
    file = tiny.folder / "ppo.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    said: list[str] = []
    mended = run(TINY, notice=said.append)
    assert len(said) == 1
    assert "ppo.safetensors does not match its checksum" in said[0]
    assert (mended.folder / "ppo.safetensors").read_bytes() == whole


READ = """
import sys
from rlhf_explained.pipeline import RunConfig, run
found = run(RunConfig(seed=3, effort=0.02)).evaluation["ppo"]["gold"]
{more}
print(sorted({{"torch", "matplotlib"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(("more", "expected"), [("", "[]"), ("import torch", "['torch']")])
def test_reading_a_run_needs_no_torch(tiny: Run, cache: Path, more: str, expected: str) -> None:
    """The second case proves that the first can fail."""
    done = subprocess.run(
        [sys.executable, "-c", READ.format(more=more)],
        env={**os.environ, "RLHF_EXPLAINED_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


TRAIN = """
from rlhf_explained.pipeline import RunConfig, run
print(run(RunConfig(seed=3, effort=0.02), progress=lambda *_: print("step", flush=True)).key)
"""


def check_recovery(cache: Path, expected: Run, after_steps: int) -> None:
    """Kill a training after some steps, and train again."""
    command = [sys.executable, "-c", TRAIN]
    environment = {**os.environ, "RLHF_EXPLAINED_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(after_steps):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    [folder] = [path for path in (cache / "runs").iterdir() if path.is_dir()]
    assert report(folder) == report(expected.folder)


def test_a_killed_training_starts_again_cleanly(tiny: Run, tmp_path: Path) -> None:
    check_recovery(tmp_path, tiny, after_steps=25)


@pytest.mark.soak
def test_ten_kills_at_different_moments(tiny: Run, tmp_path: Path) -> None:
    moments = random.Random(0).sample(range(1, 40), 10)
    for kill, after_steps in enumerate(moments):
        check_recovery(tmp_path / str(kill), tiny, after_steps)


@pytest.mark.parametrize(
    ("seed", "effort", "message"),
    [(-1, 1.0, "seed: -1"), (0, 0.0, "effort: 0.0"), (0, 1.5, "effort: 1.5")],
)
def test_bad_settings_are_named(seed: int, effort: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig(seed=seed, effort=effort)


def test_train_and_data_print_json_alone_on_standard_output_and_data_may_be_counted(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the tiny run in place of the whole one."""
    monkeypatch.setattr(pipeline, "run", lambda config, **_: tiny)
    for command, expected in (("train", tiny.summary()), ("data", tiny.data)):
        done = CliRunner().invoke(main, [command, "--seed", "3", "--json"])
        assert done.exit_code == 0
        assert json.loads(done.stdout) == expected
    counted = CliRunner().invoke(main, ["data", "--seed", "3"])
    assert counted.exit_code == 0
    assert re.search(rf"(?m)^demonstrations +{len(tiny.data['demonstrations'])}$", counted.stdout)
    for side in ("chosen", "rejected"):
        assert f"of the {side} answers state a held-out fact" in counted.stdout


def check_story(summary: dict) -> None:
    """What the site tells, as inequalities: seed after seed."""
    base, sft, ppo, no_kl = (summary["evaluation"][policy] for policy in POLICIES)
    expected = {"helpful": 0.2, "harmful": 0.3, "off_topic": 0.3, "rambling": 0.2}
    assert base["responses"] >= 1000
    assert base["questions"] >= 60
    assert base["helpful"] <= 0.35
    for name, share in expected.items():
        assert abs(base[name] - share) <= 0.15, name
    assert sft["gold"] >= base["gold"] + 0.4
    assert ppo["helpful"] >= max(sft["helpful"] + 0.15, 0.70)
    assert sft["harmful"] + sft["off_topic"] <= 0.5 * (base["harmful"] + base["off_topic"])
    assert sft["rambling"] >= base["rambling"] + 0.05  # as the experts do
    assert ppo["rambling"] <= 0.05
    assert ppo["false"] >= base["false"] + 0.02
    assert ppo["harmful"] <= 0.03
    colder = {name: summary["temperatures"][name] for name in ("sft", "ppo")}
    assert ppo["gold"] >= max(exam["gold"] for exam in colder["sft"].values()) + 0.5
    assert colder["ppo"]["0.0"]["gold"] >= colder["sft"]["0.0"]["gold"] + 0.5
    assert summary["reward_model"]["heldout_accuracy"] >= 0.75
    assert no_kl["gold"] <= ppo["gold"] - 0.3
    assert no_kl["proxy"] >= ppo["proxy"] - 0.1
    assert no_kl["kl"] >= 1.3 * ppo["kl"]
    assert fmean(row["explained_variance"] for row in summary["history"]["ppo"][-10:]) > 0
    assert summary["parameters"] <= 250_000


def stating(texts: list[str], data: dict) -> float:
    """The share of texts that state a fact which answers a question of the exam."""
    kinds = ("capital", "sum", "make", "learn")
    facts = [text for q in data["heldout"] if q["kind"] in kinds for text in q["answers"]]
    return fmean(any(fact in text for fact in facts) for text in texts)


def test_pairs_hardly_ever_state_what_the_exam_asks() -> None:
    """Only the model can have said so; the exam's own answers show that the scan sees it."""
    site = run()
    for side in ("chosen", "rejected"):
        assert stating([pair[side] for pair in site.data["preferences"]], site.data) < 0.02
    assert stating([answer["response"] for answer in site.responses["ppo"]], site.data) > 0.5


def test_the_sites_own_run_tells_the_story() -> None:
    check_story(run().summary())


def test_practice_finds_courtesy_and_the_judge_cannot_see_facts() -> None:
    site, kinds = run(), ("helpful", "false")
    polite = {policy: courteous(site, policy) for policy in site.responses}
    shares = [len(polite[p]) / len(site.responses[p]) for p in ("sft", "ppo", "ppo_no_kl")]
    assert shares[0] + 0.05 < min(shares[1:])
    false = [fmean(a["category"] == "false" for a in polite[p]) for p in ("ppo", "ppo_no_kl")]
    assert false[1] > 1.5 * false[0]
    apart = {}
    for reward in ("proxy", "gold"):
        means = [fmean(a[reward] for a in polite["ppo_no_kl"] if a["category"] == k) for k in kinds]
        apart[reward] = means[0] - means[1]
    assert abs(apart["proxy"]) < 0.25 * apart["gold"]
    plain, hard = (site.reward_model[f"{how}_negative_accuracy"] for how in ("plain", "hard"))
    assert hard < 0.4 < plain < 0.6


@pytest.mark.soak
def test_the_story_on_five_seeds() -> None:
    helpful = []
    for seed in range(5):
        summary = run(RunConfig(seed=seed)).summary()
        print(f"seed {seed}: {summary['evaluation']['ppo']}")
        check_story(summary)
        helpful.append(summary["evaluation"]["ppo"]["helpful"])
    assert fmean(helpful) >= 0.78
