"""The small classes and functions that the guide teaches by name, made real.

They are importable from `rlhf_explained` itself.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlhf_explained.formulas import bradley_terry_loss, sft_loss
from rlhf_explained.formulas.checks import (
    check_finite,
    check_not_negative,
    check_number,
    check_tensors,
)
from rlhf_explained.models.gpt import GPT, GPTConfig

PADDING, ANSWER, END = 0, 1, 2
PASSES = 10  # over the demonstrations, in one round


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: with tensors this small, threads wait longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class SimpleSFTModel:
    """Supervised fine-tuning small enough to watch: a tiny GPT that learns a few demonstrations.

    Its words are those of the demonstrations, split at spaces, each with its capitals and
    punctuation, and with every line break a word of its own. It knows nothing else: there was no
    pretraining. Training starts from the same weights every time, whatever the global random state,
    and in double precision, so that it prints the same on every processor.
    """

    def __init__(self) -> None:
        self.training_data: list[dict[str, str]] = []
        self.trained = False
        self._token_of: dict[str, int] = {}

    def add_demonstration(self, prompt: str, response: str) -> None:
        """Add a prompt with the response that a person wrote.

        The model has to be trained again afterwards.

        Args:
            prompt: What was asked.
            response: What to answer.

        Raises:
            ValueError: If the prompt or the response has no word.
        """
        for name, text in (("prompt", prompt), ("response", response)):
            if not text.split():
                raise ValueError(f"{name} has no word: {text!r}")
        self.training_data.append({"prompt": prompt, "response": response})
        self.trained = False

    @_one_thread()
    def train(self, epochs: int = 3) -> None:
        """Train from scratch on the demonstrations, printing the mean loss of each round.

        A round is ten passes over the demonstrations, and a pass is one optimiser step on all of
        them at once. The argument and the printed lines call a round an epoch, which elsewhere is a
        single pass. The loss, in nats per token, counts the response and its end, not the prompt.

        Args:
            epochs: How many rounds.

        Raises:
            ValueError: If there is no demonstration, or `epochs` is below 1.
        """
        if not self.training_data:
            raise ValueError("training_data is empty: add a demonstration first")
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {epochs}")
        self.trained = False
        tokens, response_mask = self._batch()
        config = GPTConfig(
            vocabulary=3 + len(self._token_of), context=2 * tokens.shape[1], width=32
        )
        self._policy = GPT(config, generator=torch.Generator().manual_seed(0)).double()
        optimizer = torch.optim.Adam(self._policy.parameters(), lr=5e-3)

        print(f"Training on {len(self.training_data)} demonstrations...")
        for epoch in range(1, epochs + 1):
            total = 0.0
            for _ in range(PASSES):
                # What stands at a position predicts the token after it.
                logits = self._policy(tokens[:, :-1])
                loss = sft_loss(logits, tokens[:, 1:], response_mask[:, 1:])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(f"  Epoch {epoch}: Loss = {total / PASSES:.2f}")
        self.trained = True
        print("Training complete!")

    @_one_thread()
    @torch.no_grad()
    def generate(self, prompt: str) -> str:
        """Answer a prompt, taking the likeliest word each time.

        Args:
            prompt: What is asked, in words of the demonstrations.

        Returns:
            The response, up to its end or to the longest sequence that the model can hold.

        Raises:
            RuntimeError: If the model was not trained on the demonstrations it has.
            ValueError: If the prompt is empty, too long, or has a word that is in no demonstration.
        """
        if not self.trained:
            raise RuntimeError("the model is not trained yet: call train() before generate()")
        words = _words(prompt)
        for word in words:
            if word not in self._token_of:
                raise ValueError(f"prompt has the word {word!r}, which is in no demonstration")
        context = self._policy.config.context
        if not 0 < len(words) < context:
            raise ValueError(f"prompt has {len(words)} words, must have 1 to {context - 1}")
        word_of = {token: word for word, token in self._token_of.items()}
        sequence = [*(self._token_of[word] for word in words), ANSWER]
        response: list[str] = []
        while len(sequence) < context:
            logits = self._policy(torch.tensor([sequence]))[0, -1]
            token = int(logits.argmax())
            if token not in word_of:
                break
            sequence.append(token)
            response.append(word_of[token])
        return _text(response)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """The demonstrations as tokens (prompt, answer mark, response, end mark) and the mask."""
        words = [
            word for pair in self.training_data for text in pair.values() for word in _words(text)
        ]
        self._token_of = {word: 3 + i for i, word in enumerate(dict.fromkeys(words))}
        rows, masks = [], []
        for pair in self.training_data:
            prompt, response = (
                [self._token_of[word] for word in _words(pair[name])]
                for name in ("prompt", "response")
            )
            rows.append(torch.tensor([*prompt, ANSWER, *response, END]))
            masks.append(torch.arange(len(rows[-1])) > len(prompt))
        return (
            nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING),
            nn.utils.rnn.pad_sequence(masks, batch_first=True, padding_value=False),
        )


class SimpleRewardModel(nn.Module):
    """A reward model small enough to read: a list of numbers in, one score out.

    A real one is a language model that reads prompt and response; here `input_dim` numbers stand
    for the encoded pair.

    Args:
        input_dim: How many numbers encode a prompt with its response.
        generator: Source of the initial weights; without one they come from the global random
            state, as those of any `nn.Linear` do.
    """

    def __init__(self, input_dim: int = 10, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if input_dim < 1:
            raise ValueError(f"input_dim must be at least 1, not {input_dim}")
        sizes = ((input_dim, 32), (32, 16), (16, 1))
        first, second, last = (_linear(*size, generator) for size in sizes)
        self.network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def forward(self, x: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch 1"]:
        """Score each encoded pair; only differences between scores mean anything."""
        return self.network(x)


def reward_model_loss(
    rm: Callable[[Tensor], Tensor],
    chosen: Float[Tensor, "*batch features"],
    rejected: Float[Tensor, "*batch features"],
) -> tuple[Float[Tensor, ""], float, float]:
    """Bradley–Terry loss of a reward model on preference pairs, and its two mean scores.

    Args:
        rm: The reward model, such as a `SimpleRewardModel`.
        chosen: The preferred response of each pair, encoded.
        rejected: The other one.

    Returns:
        The loss in nats per pair, ready for `backward()`, and the mean score of the chosen and of
        the rejected responses.

    Raises:
        ValueError: If the shapes differ, there is no pair, or a number is not finite.

    Source:
        See `rlhf_explained.formulas.bradley_terry_loss`.
    """
    check_tensors(chosen=chosen, rejected=rejected)
    check_finite(chosen=chosen, rejected=rejected)
    chosen_scores, rejected_scores = rm(chosen), rm(rejected)
    loss = bradley_terry_loss(chosen_scores, rejected_scores)
    return loss, chosen_scores.mean().item(), rejected_scores.mean().item()


def calculate_rlhf_reward(
    rm_score: float | int, kl_divergence: float | int, beta: float | int = 0.1
) -> tuple[float, float]:
    r"""Reward that PPO maximises for one response, and the penalty in it, in the score's unit.

    $$R = r_\mathrm{RM} - \beta\,\mathrm{KL}(\pi \,\|\, \pi_\mathrm{ref})$$

    In training the divergence is an estimate from the sampled tokens, and may be negative; see
    `rlhf_explained.formulas.kl_shaped_rewards` for the same thing token by token.

    Args:
        rm_score: The reward model's score of the response.
        kl_divergence: How far the policy is from the reference on it, in nats.
        beta: The weight of the penalty.

    Returns:
        The reward, and the penalty that was subtracted.

    Raises:
        ValueError: If a number is not finite, or `beta` is negative.

    Source:
        Ziegler et al. 2019, [Fine-tuning language models from human
        preferences](https://arxiv.org/abs/1909.08593), equation 2.
    """
    check_number(rm_score=rm_score, kl_divergence=kl_divergence)
    check_not_negative(beta=beta)
    penalty = beta * kl_divergence
    return float(rm_score - penalty), float(penalty)


def _words(text: str) -> list[str]:
    """Split at spaces; a line break is a word."""
    return re.findall(r"\n|[^\s]+", text)


def _text(words: list[str]) -> str:
    """The words with a space between any two, and none at a line break."""
    return re.sub(r" ?\n ?", "\n", " ".join(words))


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A layer with PyTorch's usual initial weights, uniform within 1/√inputs."""
    if generator is None:
        return nn.Linear(inputs, outputs)
    # nn.Linear() would advance the global random state; on "meta" it draws nothing.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device=generator.device)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
