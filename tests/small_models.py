"""Models so small that a test can train them, and sources of randomness for them."""

import torch

from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.rollout import Sequences
from rlhf_explained.world.tokenizer import EOS, PAD, Tokenizer, world_tokenizer

SHAPE = GPTConfig(vocabulary=9, context=32, width=16, layers=1, heads=2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(seed: int = 0, *, head: float = 0.0, shape: GPTConfig = SHAPE) -> GPT:
    """A new model; `head` spreads the weights of its scalar head, which else says 0."""
    gpt = GPT(shape, generator=generator(seed))
    if head:
        with torch.no_grad():
            gpt.scalar_head.weight.normal_(std=head, generator=generator(seed + 100))
    return gpt


def weights(gpt: GPT) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in gpt.state_dict().items()}


def unchanged(gpt: GPT, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in gpt.state_dict().items())


def of_few_words(eager: float = 9) -> GPT:
    """Knows the world's words, and often ends its answer early: `eager` is how much, in nats."""
    gpt = model(shape=GPTConfig(len(world_tokenizer()), width=16, layers=1, heads=2))
    with torch.no_grad():
        end = gpt.token_embedding.weight[EOS]
        gpt.final_norm.bias.copy_(eager * end / end.square().sum())  # so much more on its logit
    return gpt


def in_words(sequences: Sequences, tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Prompt and response of each row."""
    heads = sequences.tokens[:, : sequences.prompt_length].tolist()
    prompts = [tokenizer.decode([token for token in head if token != PAD]) for head in heads]
    answers = map(tokenizer.decode, sequences.responses.tolist())
    return list(zip(prompts, answers, strict=True))
