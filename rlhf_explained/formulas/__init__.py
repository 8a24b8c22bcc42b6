"""What the papers write down: torch in, torch out; no modules, no randomness, no files.

Tensors are `(batch, response)` unless said. A mask is boolean and True counts; what stands under a
False is ignored, whatever it is. A bad input gets a `ValueError` that names the argument before
anything is computed. Numbers of 16 bits are computed in 32 and rounded at the end; what then does
not fit into the precision of the input is refused by the same kind of error.
"""

from rlhf_explained.formulas.advantages import gae, group_advantages, kl_shaped_rewards
from rlhf_explained.formulas.kl import kl_exact, kl_k1, kl_k2, kl_k3
from rlhf_explained.formulas.logprobs import entropy, token_logprobs
from rlhf_explained.formulas.losses import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
)
from rlhf_explained.formulas.masking import masked_mean, masked_whiten

__all__ = [
    "bradley_terry_loss",
    "dpo_loss",
    "entropy",
    "gae",
    "group_advantages",
    "ipo_loss",
    "kl_exact",
    "kl_k1",
    "kl_k2",
    "kl_k3",
    "kl_shaped_rewards",
    "kto_loss",
    "masked_mean",
    "masked_whiten",
    "ppo_policy_loss",
    "ppo_value_loss",
    "sft_loss",
    "token_logprobs",
]
