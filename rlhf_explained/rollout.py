"""Floor 2: let a policy answer prompts, and write down what learning from the answers needs.

Every batch has one layout: prompts padded on the left, responses padded on the right, so that all
responses start in the same column.

    tokens     ·  ·  how do i learn chess ?   to learn chess , … . <eos>  ·  ·
    attended   0  0  1   1  1 1     1     1   1  1     1     1 … 1 1      0  0
                                          │   └── response_mask: True up to <eos> ──
                                          └── this position predicts the first response token

??? words "In words"

    The first row, `tokens`, holds two places of padding, the prompt "how do i learn chess ?", the
    response "to learn chess , … .", which ends with `<eos>`, and two places of padding. The second
    row, `attended`, is 0 under padding and 1 under all tokens. `response_mask` is True from the
    response's first token up to `<eos>`. This position, the prompt's last, predicts the first
    response token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhf_explained.formulas import token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.world.tokenizer import EOS, PAD


@dataclass(frozen=True)
class Sequences:
    """A batch of prompts with their responses, in the layout above.

    Attributes:
        tokens: `(batch, prompt + response)`.
        attended: True where there is a token, False where there is padding.
        prompt_length: The column in which responses start.
        response_mask: `(batch, response)`, True for every token up to and including `<eos>`.
    """

    tokens: Int[Tensor, "batch time"]
    attended: Bool[Tensor, "batch time"]
    prompt_length: int
    response_mask: Bool[Tensor, "batch response"]

    @property
    def responses(self) -> Int[Tensor, "batch response"]:
        """The response tokens alone."""
        return self.tokens[:, self.prompt_length :]

    @property
    def ended(self) -> Bool[Tensor, " batch"]:
        """True for the responses that end with `<eos>` instead of being cut off."""
        return ((self.responses == EOS) & self.response_mask).any(1)

    @property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Tokens in each response, `<eos>` included."""
        return self.response_mask.sum(1)

    def rows(self, index: Int[Tensor, " rows"]) -> "Sequences":
        """The chosen rows, without the columns that none of them uses."""
        longest = self.prompt_length + int(self.lengths[index].max())
        return Sequences(
            self.tokens[index, :longest],
            self.attended[index, :longest],
            self.prompt_length,
            self.response_mask[index, : longest - self.prompt_length],
        )


def _left_padded(prompts: Sequence[Sequence[int]]) -> Int[Tensor, "batch prompt"]:
    longest = max(map(len, prompts))
    return torch.tensor([[PAD] * (longest - len(prompt)) + list(prompt) for prompt in prompts])


def pack(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Sequences:
    """Lay out prompts and finished responses; `<eos>` is added to each response.

    Args:
        prompts: Tokens of each prompt.
        responses: Tokens of each response, without `<eos>`.

    Returns:
        The batch.

    Raises:
        ValueError: If there are no prompts, or not one response for each.
    """
    if not prompts or len(prompts) != len(responses):
        raise ValueError(f"responses: {len(responses)} for {len(prompts)} prompts")
    head = _left_padded(prompts)
    longest = max(map(len, responses)) + 1
    tail = torch.tensor([[*r, EOS, *[PAD] * (longest - len(r) - 1)] for r in responses])
    lengths = torch.tensor([len(r) + 1 for r in responses])
    mask = torch.arange(longest) < lengths[:, None]  # not `!= PAD`: a policy may have written one
    return Sequences(
        torch.cat([head, tail], dim=1), torch.cat([head != PAD, mask], dim=1), head.shape[1], mask
    )


@torch.no_grad()
def generate(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> Sequences:
    """Sample one response to each prompt, all prompts at once, with a key-value cache.

    Args:
        policy: The language model that answers.
        prompts: Tokens of each prompt.
        limit: Longest response in tokens; a response without `<eos>` by then is cut off.
        generator: Source of randomness.
        temperature: Logits are divided by it before sampling; 0 takes the likeliest token.

    Returns:
        Prompts and responses.

    Raises:
        ValueError: If there are no prompts, or `limit` or `temperature` is out of range.
    """
    if not prompts:
        raise ValueError("prompts: none given")
    if limit < 1:
        raise ValueError(f"limit: {limit} is less than one token")
    if temperature < 0:
        raise ValueError(f"temperature: {temperature} is negative")
    head = _left_padded(prompts)
    batch, prompt_length = head.shape
    tokens = torch.full((batch, prompt_length + limit), PAD)
    tokens[:, :prompt_length] = head
    attended = tokens != PAD
    attended[:, prompt_length:] = True
    caches = policy.empty_caches(batch, prompt_length + limit)
    running = torch.ones(batch, dtype=torch.bool)
    start, end = 0, prompt_length
    while end < tokens.shape[1] and running.any():
        hidden = policy.hidden(
            tokens[:, start:end], attended=attended[:, :end], caches=caches, start=start
        )
        logits = policy.logits(hidden[:, -1])  # (batch, vocab)
        if temperature == 0:
            drawn = logits.argmax(-1)
        else:
            probabilities = (logits / temperature).softmax(-1)
            drawn = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        tokens[:, end] = drawn.masked_fill(~running, PAD)
        attended[:, end] = running
        running &= drawn != EOS
        start, end = end, end + 1
    return Sequences(
        tokens[:, :end], attended[:, :end], prompt_length, attended[:, prompt_length:end]
    )


def response_states(model: GPT, sequences: Sequences) -> Float[Tensor, "batch response width"]:
    """Run a model over whole sequences and keep the positions that predict response tokens.

    Position t of the result saw the prompt and the response before token t, not token t itself:
    it is the state in which a policy chooses the token and a critic guesses its worth.
    """
    hidden = model.hidden(sequences.tokens, attended=sequences.attended)
    return hidden[:, sequences.prompt_length - 1 : -1]


def response_logits(policy: GPT, sequences: Sequences) -> Float[Tensor, "batch response vocab"]:
    """A policy's logits over each response token, given all that stands before it."""
    return policy.logits(response_states(policy, sequences))


def response_values(critic: GPT, sequences: Sequences) -> Float[Tensor, "batch response"]:
    """A critic's guess before each response token: what is still to be earned from there."""
    return critic.scalar(response_states(critic, sequences))


Judge = Callable[[Sequences], Float[Tensor, " batch"]]
"""Gives each response one score: a reward model's `score`, or a reward that is known."""


def sequence_logprobs(policy: GPT, sequences: Sequences) -> Float[Tensor, " batch"]:
    """How likely a policy finds each whole response, in nats: its tokens' sum."""
    logprobs = token_logprobs(response_logits(policy, sequences), sequences.responses)
    return logprobs.masked_fill(~sequences.response_mask, 0).sum(1)


def score(reward_model: GPT, sequences: Sequences) -> Float[Tensor, " batch"]:
    """Score each response, read at its last token, where the model has seen all of it."""
    hidden = reward_model.hidden(sequences.tokens, attended=sequences.attended)
    last = sequences.prompt_length + sequences.lengths - 1
    return reward_model.scalar(hidden[torch.arange(len(last)), last])


@dataclass(frozen=True)
class Rollout:
    """What one round of answering tells. All are constants: no gradient flows through them.

    Attributes:
        sequences: Prompts and sampled responses.
        logprobs: `(batch, response)`, nats, under the policy that sampled.
        ref_logprobs: The same tokens under the reference policy.
        scores: `(batch,)`, the judge's score of each response.
    """

    sequences: Sequences
    logprobs: Float[Tensor, "batch response"]
    ref_logprobs: Float[Tensor, "batch response"]
    scores: Float[Tensor, " batch"]

    @property
    def log_ratios(self) -> Float[Tensor, " batch"]:
        """How much likelier the policy finds each response than the reference does, in nats.

        Their mean over the policy's own responses estimates KL(policy‖reference): it is the
        estimator k1, summed over the tokens.
        """
        difference = self.logprobs - self.ref_logprobs
        return difference.masked_fill(~self.sequences.response_mask, 0).sum(1)

    def trained_on(self, unfinished_score: float) -> Float[Tensor, " batch"]:
        """The scores that learning uses: a response that was cut off gets a fixed one."""
        return torch.where(self.sequences.ended, self.scores, unfinished_score)


@torch.no_grad()
def collect_rollout(
    policy: GPT,
    reference: GPT,
    judge: Judge,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> Rollout:
    """Sample responses and look at them through the policy, the reference and the judge.

    At another temperature than 1 the log-probabilities are still those of temperature 1.
    """
    sequences = generate(policy, prompts, limit=limit, generator=generator, temperature=temperature)
    logprobs, ref_logprobs = (
        token_logprobs(response_logits(model, sequences), sequences.responses)
        for model in (policy, reference)
    )
    return Rollout(sequences, logprobs, ref_logprobs, scores=judge(sequences))
