"""How fast the run is, beside how fast this machine multiplies matrices.

Seconds differ from machine to machine; the share of the machine's own matrix-multiply peak,
measured in the same minutes, compares.
"""

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from rlhf_explained import pipeline
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import Run, RunConfig
from rlhf_explained.report import progress_bars

SIDE_BY_SIDE = "ppo"  # both PPO runs go at once, so their work is counted together


def matmul_peak() -> float:
    """Floating-point operations per second of one thread multiplying 1024 × 1024 matrices."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left, right = torch.ones(1024, 1024), torch.ones(1024, 1024)
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    torch.set_num_threads(threads)
    return 2 * 1024**3 / best


class WorkCounter:
    """Counts the tokens that go through any `GPT`, by stage.

    A token costs about 2 operations per parameter forward, 6 with its backward pass (Kaplan et al.
    2020, section 2.1).
    """

    def __init__(self) -> None:
        self.tokens: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.stage = "pretrain"

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count meanwhile."""
        plain = GPT.hidden

        def hidden(model: GPT, tokens: torch.Tensor, **others: Any) -> torch.Tensor:
            self.tokens[self.stage] += tokens.numel()
            cost = 6 if torch.is_grad_enabled() else 2
            self.operations[self.stage] += cost * model.parameter_count() * tokens.numel()
            return plain(model, tokens, **others)

        with patch.object(GPT, "hidden", hidden):
            yield

    def stage_done(self, stage: str) -> None:
        """Book what follows under the next stage."""
        following = {"pretrain": "sft", "sft": "preferences", "reward_model": SIDE_BY_SIDE}
        self.stage = following.get(stage, self.stage)


def bench() -> dict[str, Any]:
    """Train one run, counting, and print and return what each stage took; memory is in GiB."""
    peak = matmul_peak()
    counter = WorkCounter()
    with progress_bars() as show, counter.counting(), tempfile.TemporaryDirectory() as folder:

        def progress(stage: str, step: int, steps: int, loss: float) -> None:
            if stage == "reward_model" and counter.stage == "preferences":
                counter.stage = "reward_model"
            if stage == "evaluation":
                counter.stage = "evaluation"
            elif step == steps:
                counter.stage_done(stage)
            show(stage, step, steps, loss)

        pipeline.train(RunConfig(), Path(folder), progress)
        run = Run(RunConfig(), pipeline.run_key(RunConfig()), Path(folder))
        seconds = dict(run.seconds)
    seconds[SIDE_BY_SIDE] = max(seconds[SIDE_BY_SIDE], seconds.pop("ppo_no_kl"))
    stages = {}
    for counts in (counter.tokens, counter.operations):
        counts["total"] = counts.total()
    for stage, tokens in counter.tokens.items():
        stages[stage] = {
            "seconds": seconds[stage],
            "tokens": tokens,
            "tokens_per_second": tokens / seconds[stage],
            "share_of_one_core_peak": counter.operations[stage] / seconds[stage] / peak,
        }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report = {
        "matmul_gflops_one_core": peak / 1e9,
        "peak_memory_gib": memory,
        "parameters": run.parameters,
        "stages": stages,
    }
    table = Table(title=f"One core multiplies at {peak / 1e9:.0f} GFLOP/s; memory {memory:.2f} GiB")
    for heading in ("stage", "seconds", "tokens", "tokens/s", "share of one core's peak"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    formats = ("{:.1f}", "{:,}", "{:,.0f}", "{:.0%}")
    for stage, row in stages.items():
        name = "both PPO runs" if stage == SIDE_BY_SIDE else stage
        table.add_row(
            name, *(one.format(it) for one, it in zip(formats, row.values(), strict=True))
        )
    Console().print(table)
    return report
