"""Stage 3 without training: answer n times and keep the answer that the judge likes best.

What PPO teaches a policy, best-of-n buys with n times the work at every question. It needs only the
SFT policy and the reward model, so it is the yardstick for anything that trains.
"""

import math
from collections.abc import Sequence

import torch

from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Judge, Sequences, generate
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT


def best_of_n(
    sft: GPT,
    judge: Judge,
    prompts: Sequence[Sequence[int]],
    n: int,
    *,
    limit: int = RESPONSE_LIMIT,
    generator: torch.Generator,
) -> Sequences:
    """Answer each prompt n times and keep the best answer; one that was cut off loses to any.

    Args:
        sft: Writes the answers.
        judge: Scores them.
        prompts: Tokens of each prompt.
        n: Answers to each prompt.
        limit: Longest answer in tokens.
        generator: Source of randomness.

    Returns:
        One answer to each prompt, in their order.

    Raises:
        ValueError: If there are no prompts, or `n` or `limit` is less than one.
    """
    if n < 1:
        raise ValueError(f"n: {n} answers, at least one is needed")
    repeated = [prompt for prompt in prompts for _ in range(n)]
    with torch.no_grad():
        sequences = generate(sft, repeated, limit=limit, generator=generator)
        scores = judge(sequences).where(sequences.ended, -math.inf)
        best = scores.unflatten(0, (len(prompts), n)).argmax(1)
    return sequences.rows(torch.arange(len(prompts)) * n + best)
