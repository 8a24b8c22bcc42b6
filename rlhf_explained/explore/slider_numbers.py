"""What sliders compute with: a world with all its answers, and one answer as PPO sees it."""

from __future__ import annotations

import json
from itertools import chain, product
from typing import Any

from rlhf_explained.explore.remembered import told
from rlhf_explained.pipeline import TRAINING, Run, numerics

PRICES = [float(f"{10 ** (step / 20):.2g}") for step in range(-20, 21)]
"""The values of β, the KL penalty's coefficient, that a slider has."""
COUNTS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
"""How many answers best-of-n draws."""
CREDIT = {
    "beta": [step / 20 for step in range(21)],
    "lambda": [step / 20 for step in range(21)],
}
"""Weights of the penalty, and the mixing weights, that sliders have. The discount stays the run's:
for another one the critic has not learned to guess."""


def world() -> dict[str, Any]:
    """The first exact world of the study `frontier`.

    Returns:
        `answers`, each with its reward and its log-probability under the reference; those that were
        cut off all earn the same, so that no policy here tells them apart, and are one. `price`,
        the study's β; `shown`, the places of the answers that are likeliest, three by each of the
        reference and the best policies at this β and at the lowest. By kind, "beta" or "n", and
        setting what the policy is: the reward `gained` over the reference, the `kl` from it, the
        `part` of what can be gained with this KL, the `shares` of the answers shown.
    """
    return told(__file__, TRAINING, "world", None, what="world", **numerics())


def answer(run: Run) -> dict[str, Any]:
    """The trained policy's first finished answer to a question held out, token by token.

    Args:
        run: Whose policies, reward model and critic.

    Returns:
        `prompt`, `words`, `logprobs` under the policy, `ref_logprobs` under the reference, the
        critic's `values`, the `score`; the run's `beta`, `gamma` and `lambda`, and what they make
        of it: `rewards`, `deltas`, `advantages` and `returns`; `reach`, the largest advantage or
        surprise at the ends of all sliders.
    """
    return told(__file__, TRAINING, "answer", run.config.seed, what="answer", run=run.key)


def tell(what: str, seed: int | None) -> None:
    """Print "world", or the "answer" of the run of a seed, as JSON."""
    import torch

    torch.set_num_threads(1)
    print(json.dumps(_world() if seed is None else _answer(seed)))


def _world() -> dict[str, Any]:
    import torch

    from rlhf_explained.formulas import kl_exact
    from rlhf_explained.studies import frontier
    from rlhf_explained.world import exact, optima
    from rlhf_explained.world.tokenizer import EOS

    here = frontier.world(frontier.SEEDS[0])
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    tokens, mask = here.every.responses, here.every.response_mask
    ended = ((tokens == EOS) & mask).any(1)
    names = "g.abcdef"
    words = [
        " ".join(names[token] for token in row[: row.index(EOS)]) or "(nothing)"
        for row in tokens[ended].tolist()
    ]
    start = exact.expected(reference, rewards)

    def grouped(policy: torch.Tensor) -> torch.Tensor:
        """With all that were cut off as one, behind the others."""
        return torch.cat([policy[ended], policy[~ended].logsumexp(0, keepdim=True)])

    policies = {
        "beta": {at: exact.tilted(reference, rewards, beta=at) for at in PRICES},
        "n": {at: optima.best_of_n(reference, rewards, n=at) for at in COUNTS},
    }
    likeliest = [
        grouped(one).topk(3).indices.tolist()
        for one in (reference, *(policies["beta"][at] for at in (frontier.BETA, PRICES[0])))
    ]
    worth = [*rewards[ended].tolist(), frontier.UNFINISHED]
    shown = sorted({*chain(*likeliest)}, key=lambda place: -worth[place])

    def about(policy: torch.Tensor) -> dict[str, Any]:
        # best of one is the reference: what rounding leaves of its distance may lie below zero
        gained, kl = exact.expected(policy, rewards) - start, kl_exact(policy, reference).clamp(0)
        most = exact.expected(frontier.at_distance(kl.item(), reference, rewards), rewards) - start
        return {
            "gained": gained.item(),
            "kl": kl.item(),
            "part": (gained / most).item() if kl > 1e-9 else 1.0,
            "shares": grouped(policy).exp()[shown].tolist(),
        }

    columns = [*words, "(cut off)"], worth, grouped(reference).tolist()
    return {
        "answers": [
            (text, round(reward, 7), round(logprob, 10))
            for text, reward, logprob in zip(*columns, strict=True)
        ],
        "price": frontier.BETA,
        "shown": shown,
        "reference": about(reference),
        **{kind: {at: about(one) for at, one in some.items()} for kind, some in policies.items()},
    }


def _answer(seed: int) -> dict[str, Any]:
    import torch

    from rlhf_explained.formulas import gae, kl_shaped_rewards, token_logprobs
    from rlhf_explained.pipeline import RunConfig, run
    from rlhf_explained.rollout import pack, response_logits, response_values, score
    from rlhf_explained.stages.ppo import PPOConfig
    from rlhf_explained.world.tokenizer import world_tokenizer

    shown, tokenizer = run(RunConfig(seed=seed)), world_tokenizer()
    # a finished answer has one token more than words: `<eos>`
    one = next(
        one for one in shown.responses["ppo"] if one["length"] == len(one["response"].split()) + 1
    )
    batch = pack([tokenizer.encode(one["prompt"])], [tokenizer.encode(one["response"])])
    with torch.no_grad():
        logprobs, ref_logprobs = (
            token_logprobs(response_logits(shown.policy(name), batch), batch.responses)
            for name in ("ppo", "sft")
        )
        values = response_values(shown.policy("critic"), batch)
        scores = score(shown.policy("reward_model"), batch)
    config = PPOConfig()
    gamma = config.gamma
    given = {"logprobs": logprobs, "ref_logprobs": ref_logprobs, "values": values}

    def credit(beta: float, gae_lambda: float) -> dict[str, list[float]]:
        mask = batch.response_mask
        rewards = kl_shaped_rewards(scores, logprobs, ref_logprobs, mask, kl_coef=beta)
        deltas, _ = gae(rewards, values, mask, gamma=gamma, gae_lambda=0)
        advantages, returns = gae(rewards, values, mask, gamma=gamma, gae_lambda=gae_lambda)
        made = {"rewards": rewards, "deltas": deltas, "advantages": advantages, "returns": returns}
        return {name: numbers[0].tolist() for name, numbers in made.items()}

    ends = [
        credit(*corner) for corner in product(*((some[0], some[-1]) for some in CREDIT.values()))
    ]
    settings = config.kl_coef, config.gae_lambda
    return {
        "prompt": one["prompt"],
        "words": [*one["response"].split(), "<eos>"],
        **{name: [round(x, 7) for x in numbers[0].tolist()] for name, numbers in given.items()},
        "score": round(scores.item(), 7),
        "gamma": gamma,
        **dict(zip(CREDIT, settings, strict=True)),
        **credit(*settings),
        "reach": max(abs(x) for end in ends for x in end["deltas"] + end["advantages"]),
    }
