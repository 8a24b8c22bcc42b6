"""PPO, GRPO and DPO in the exact world: each is held against the best policy there can be."""

import pytest
import torch

from rlhf_explained.formulas import kl_exact
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import generate, sequence_logprobs
from rlhf_explained.studies import stored
from rlhf_explained.studies.frontier import (
    BETA,
    LIMIT,
    PROMPT,
    SETTINGS,
    World,
    at_distance,
    compare,
    learn,
    world,
)
from rlhf_explained.world import exact, optima

REACHED = {"ppo": 0.98, "group": 0.97, "dpo": 0.97}  # of what the best policy gains, at least


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def share(here: World, policy: GPT) -> float:
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    return exact.share_of_best(here.logprobs(policy), reference, rewards, beta=BETA).item()


def assert_reached(setting: str, seed: int) -> None:
    here = world(seed)
    assert share(here, here.reference) == pytest.approx(0, abs=1e-9)
    assert share(here, learn(world(seed), SETTINGS[setting])) >= REACHED[setting]


def test_the_worlds_list_is_whole() -> None:
    """The reference writes nothing else, and each response as often as the list says."""
    here = world(0)
    with torch.no_grad():
        total = sequence_logprobs(here.reference, here.every).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)
    draws = 20_000
    written = generate(here.reference, [PROMPT] * draws, limit=LIMIT, generator=here.generator)
    rewards = here.judge(written)
    assert rewards.isfinite().all()
    reference = here.logprobs(here.reference)
    mean = exact.expected(reference, here.rewards.double())
    spread = exact.expected(reference, (here.rewards - mean).square()).sqrt()
    # Four standard errors: one seed, drawn once.
    assert rewards.mean().item() == pytest.approx(mean.item(), abs=4 * spread.item() / draws**0.5)


def test_the_labeler_prefers_by_the_difference_of_rewards() -> None:
    """Where rewards differ by about 1, it errs in 1 − σ(1) of the pairs, by 4 standard errors."""
    here = world(0)
    chosen, rejected = compare(here, 50_000)
    gaps = here.judge(chosen) - here.judge(rejected)
    close = gaps[(gaps.abs() - 1).abs() < 0.1]
    right = (close > 0).float().mean().item()
    assert right == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=2 / len(close) ** 0.5)


def test_the_frontier_is_found_at_each_distance() -> None:
    here = world(0)
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    for kl in (0.01, 0.4, 3.0):
        policy = at_distance(kl, reference, rewards)
        assert kl_exact(policy, reference).item() == pytest.approx(kl, rel=1e-6)
    best = exact.tilted(reference, rewards, beta=BETA)
    again = at_distance(kl_exact(best, reference).item(), reference, rewards)
    assert (again.exp() - best.exp()).abs().max() < 1e-9


def test_ppo_reaches_the_best_policy() -> None:
    assert_reached("ppo", 0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("setting", REACHED)
def test_each_method_reaches_the_best_policy(setting: str, seed: int) -> None:
    assert_reached(setting, seed)


@pytest.mark.soak
@pytest.mark.parametrize("setting", ["grpo", "grpo_no_std"])
@pytest.mark.parametrize("seed", range(1, 5))
def test_grpo_as_published_goes_to_its_own_optimum(seed: int, setting: str) -> None:
    """With k3 in the loss it ends nearer to where its gradient is zero than to the best policy.

    Not with seed 0, where its optimum is far: there it stays between the two (see the experiments).
    """
    here = world(seed)
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    best = exact.tilted(reference, rewards, beta=BETA)
    by_std, every = SETTINGS[setting].divide_by_std, here.every.responses
    own = optima.grpo_optimum(every, reference, rewards, beta=BETA, divide_by_std=by_std)
    reached = here.logprobs(learn(world(seed), SETTINGS[setting]))
    gained = exact.share_of_best(own, reference, rewards, beta=BETA)
    distances = [kl_exact(reached, optimum).item() for optimum in (own, best)]
    print(f"its own optimum gains {gained:.2f}; nats to it and to the best: {distances}")
    assert gained < 0.9
    assert distances[0] < distances[1]


@pytest.mark.parametrize("setting", REACHED)
def test_so_they_did_on_every_seed_of_the_study(setting: str) -> None:
    """The study's seeds are others than those on which the settings were chosen."""
    shares = stored("frontier").values(setting, "share")
    assert len(shares) >= 5
    assert min(shares) >= (REACHED | {"dpo": 0.96})[setting]


@pytest.mark.parametrize("setting", ["ratio_k3", "k2"])
def test_better_gradients_of_the_penalty_in_the_loss_come_nearer_and_fall_short(
    setting: str,
) -> None:
    """On every seed of the study above k3 as published, and below the penalty in the reward."""
    results = stored("frontier")
    k3, found, paid = (results.values(name, "share") for name in ("grpo_no_std", setting, "group"))
    assert all(a < b < c for a, b, c in zip(k3, found, paid, strict=True))
    assert min(found) >= 0.7
