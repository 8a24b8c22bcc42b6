"""RLHF explained by running it: a tiny language model from pretraining to PPO.

The names that the guide teaches can be imported from here. They are looked up on first use
(PEP 562), so that importing the package alone loads no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf_explained.walkthrough import (
        SimpleRewardModel,
        SimpleSFTModel,
        calculate_rlhf_reward,
        reward_model_loss,
    )

__all__ = ["SimpleRewardModel", "SimpleSFTModel", "calculate_rlhf_reward", "reward_model_loss"]


def __getattr__(name: str) -> Any:
    """Import a taught name from `rlhf_explained.walkthrough` when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("rlhf_explained.walkthrough"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
