"""Our models, words and data as Hugging Face's libraries read them, and the way back.

GPT-2 in `transformers` is the architecture of our `GPT`, so a model can be handed over with all of
its weights and gives the same logits. What is needed beside the weights is here: the tokenizer,
rows of text as TRL's trainers take them, and a reward function that asks our reward model.

`transformers` is imported when a function needs it. It comes with the extra `trl`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Judge, Sequences
from rlhf_explained.stages.reward_model import Preferences
from rlhf_explained.world.tokenizer import EOS, PAD, world_tokenizer

if TYPE_CHECKING:  # the site and its tests do without
    from transformers import (  # pyright: ignore[reportMissingImports]
        GPT2PreTrainedModel,
        PreTrainedTokenizerFast,
    )


def fast_tokenizer() -> "PreTrainedTokenizerFast":
    """Make the world's tokenizer as `transformers` reads it.

    A token is a word *with the space before it*, as in GPT-2: TRL joins prompt and completion as
    strings, and a completion that begins with a space stays apart from the prompt's last word. A
    word that the world does not have becomes padding, without a warning: `check_words` finds it.

    Returns:
        A tokenizer that gives the same numbers as `world_tokenizer`, and pads on the left.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers  # pyright: ignore[reportMissingImports]  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedTokenizerFast  # pyright: ignore[reportMissingImports]

    words = enumerate(world_tokenizer().words)
    numbers = {word if token in (PAD, EOS) else f" {word}": token for token, word in words}
    fast = Tokenizer(models.WordLevel(numbers, unk_token="<pad>"))
    # one space before the first word, whether the text begins with one or not
    first = [normalizers.Strip(right=False), normalizers.Prepend(" ")]
    fast.normalizer = normalizers.Sequence(first)
    fast.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    fast.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def exported(model: GPT, *, judges: bool = False) -> "GPT2PreTrainedModel":
    """Copy one of our models into a GPT-2.

    GPT-2 has biases in attention that ours has not. They are zero, and take no part in training. A
    reward model's bias is left behind, since GPT-2's head has none: it adds the same to each score,
    which no difference of scores, and so no loss, can see.

    Args:
        model: A policy or a reward model.
        judges: Whether its scalar head is to be read, and not its next words.

    Returns:
        A `GPT2LMHeadModel`, or a `GPT2ForSequenceClassification` with one label; the positions of
        its tokens are counted as ours are (`count_positions`).
    """
    import transformers  # pyright: ignore[reportMissingImports]

    shape = model.config
    config = transformers.GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.context, n_embd=shape.width,
        n_layer=shape.layers, n_head=shape.heads, activation_function="gelu",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=EOS, pad_token_id=PAD, num_labels=1,
    )  # fmt: skip
    kinds = (transformers.GPT2LMHeadModel, transformers.GPT2ForSequenceClassification)
    copy = kinds[judges](config)
    with torch.no_grad():
        for ours, theirs in _weights(model, copy):
            theirs.zero_() if ours is None else theirs.copy_(ours)
        if judges:
            copy.score.weight.copy_(model.scalar_head.weight)
    return _like_ours(copy)


def imported(model: "GPT2PreTrainedModel", like: GPT) -> GPT:
    """Copy a GPT-2 that `exported` gave, and that was trained since, into our `GPT`.

    Args:
        model: The GPT-2.
        like: One of our models of the same shape.

    Returns:
        Our model, to be examined like any other. Its scalar head is that of the GPT-2, or zero.

    Raises:
        ValueError: If a bias that ours has not is no longer zero.
    """
    copy = GPT(like.config, generator=torch.Generator())
    with torch.no_grad():
        for ours, theirs in _weights(copy, model):
            if ours is not None:
                ours.copy_(theirs)
            elif theirs.any():
                raise ValueError("model: its attention has learned biases, which ours has not")
        if hasattr(model, "score"):
            copy.scalar_head.weight.copy_(model.score.weight)
    return copy


def save(model: "GPT2PreTrainedModel", folder: str) -> None:
    """Write a model and the tokenizer into a folder, as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    fast_tokenizer().save_pretrained(folder)


def load(folder: str, *, judges: bool = False) -> "GPT2PreTrainedModel":
    """Read a model from a folder that `save` wrote.

    Args:
        folder: The folder.
        judges: Whether to read it as a reward model; from a policy's folder it gets a head of zero.

    Returns:
        The model, as `exported` gives it.
    """
    import transformers  # pyright: ignore[reportMissingImports]

    if not judges:
        return _like_ours(transformers.AutoModelForCausalLM.from_pretrained(folder))
    kind = transformers.AutoModelForSequenceClassification
    model, said = kind.from_pretrained(folder, num_labels=1, output_loading_info=True)
    if "score.weight" in said["missing_keys"]:
        nn.init.zeros_(model.score.weight)
    return _like_ours(model)


def count_positions(model: "GPT2PreTrainedModel") -> "GPT2PreTrainedModel":
    """Let a GPT-2 count positions from the first word of each row, not from its padding.

    TRL's GRPO and RLOO pad prompts on the left and say nothing of positions. A model with learned
    positions then reads words at other places than those at which they were written.

    Args:
        model: Changed in place.

    Returns:
        The same model.
    """

    def count(_: nn.Module, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        mask = named.get("attention_mask")
        if named.get("position_ids") is None and mask is not None and mask.dim() == 2:
            named["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        return args, named

    model.transformer.register_forward_pre_hook(count, with_kwargs=True)
    return model


def completion(response: str) -> str:
    """Write a response so that it can follow a prompt: with a space, unless it is empty.

    A space without a word would become a token of its own, an unknown one.
    """
    return f" {response}" if response else ""


def demonstration_rows(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Write (prompt, response) pairs as rows for `SFTTrainer`."""
    return [{"prompt": prompt, "completion": completion(response)} for prompt, response in pairs]


def preference_rows(preferences: Preferences) -> list[dict[str, str]]:
    """Write comparisons as rows for `RewardTrainer` and `DPOTrainer`."""
    decode = world_tokenizer().decode
    chosen, rejected = preferences.chosen, preferences.rejected
    heads = chosen.tokens[:, : chosen.prompt_length].tolist()
    prompts = [decode(token for token in head if token != PAD) for head in heads]
    sides = (map(decode, side.responses.tolist()) for side in (chosen, rejected))
    return [
        {"prompt": prompt, "chosen": completion(better), "rejected": completion(worse)}
        for prompt, better, worse in zip(prompts, *sides, strict=True)
    ]


def check_words(rows: Sequence[dict[str, str]]) -> None:
    """Find words that the world does not have, which `fast_tokenizer` would make padding.

    Raises:
        ValueError: With the first one, and its text.
    """
    for row in rows:
        for text in row.values():
            world_tokenizer().encode(text)


def as_sequences(prompts: Sequence[str], completions: Sequence[Sequence[int]]) -> Sequences:
    """Lay out prompts and sampled tokens, as TRL hands them to a reward function, as ours are.

    Args:
        prompts: Texts.
        completions: Tokens of each answer up to and with `<eos>`, or up to where it was cut off.

    Returns:
        The batch.
    """
    heads = [world_tokenizer().encode(prompt) for prompt in prompts]
    left, right = max(map(len, heads)), max(map(len, completions))
    tokens = torch.tensor([
        [PAD] * (left - len(head)) + head + list(tail) + [PAD] * (right - len(tail))
        for head, tail in zip(heads, completions, strict=True)
    ])  # fmt: skip
    lengths = torch.tensor([len(tail) for tail in completions])
    mask = torch.arange(right) < lengths[:, None]  # not `!= PAD`: a policy may have written one
    return Sequences(tokens, torch.cat([tokens[:, :left] != PAD, mask], 1), left, mask)


def reward_function(judge: Judge, *, unfinished_score: float) -> Callable[..., list[float]]:
    """Wrap a judge of ours as a reward function of TRL's.

    Args:
        judge: Scores whole answers, their `<eos>` included.
        unfinished_score: Score of an answer that was cut off, in place of the judge's.

    Returns:
        A function that TRL calls with `prompts` and `completion_ids`. In TRL's log it is
        `rewards/our_reward_model`.
    """

    @torch.no_grad()
    def our_reward_model(
        prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], **_: Any
    ) -> list[float]:
        answers = as_sequences(prompts, completion_ids)
        return torch.where(answers.ended, judge(answers), unfinished_score).tolist()

    return our_reward_model


def _weights(ours: GPT, theirs: Any) -> Iterator[tuple[torch.Tensor | None, torch.Tensor]]:
    """Our weights, or None for what ours has not, each with that of a GPT-2 that does the same."""
    body = theirs.transformer
    layers: list[tuple[Any, Any]] = [
        (ours.token_embedding, body.wte), (ours.position_embedding, body.wpe),
        (ours.final_norm, body.ln_f),
    ]  # fmt: skip
    for one, other in zip(ours.blocks, body.h, strict=True):
        layers += [
            (one.attention_norm, other.ln_1), (one.query_key_value, other.attn.c_attn),
            (one.attention_out, other.attn.c_proj), (one.mlp_norm, other.ln_2),
            (one.mlp_in, other.mlp.c_fc), (one.mlp_out, other.mlp.c_proj),
        ]  # fmt: skip
    for one, other in layers:
        is_linear = isinstance(one, nn.Linear)  # GPT-2 keeps the matrices of these transposed
        yield one.weight, other.weight.T if is_linear else other.weight
        if getattr(other, "bias", None) is not None:
            yield one.bias, other.bias


def _like_ours(model: Any) -> Any:
    """Hold at zero what ours has not, and count positions as ours does."""
    for block in model.transformer.h:
        block.attn.c_attn.bias.requires_grad_(False)
        block.attn.c_proj.bias.requires_grad_(False)
    return count_positions(model)
