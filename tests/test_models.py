"""The GPT: causal, deterministic, and the same with a cache or padding as without."""

import pytest
import torch

from rlhf_explained.models.gpt import GPT, GPTConfig

CONFIG = GPTConfig(vocabulary=11, context=16, width=16, layers=2, heads=2)


def model(seed: int = 0) -> GPT:
    return GPT(CONFIG, generator=torch.Generator().manual_seed(seed))


def some_tokens(batch: int = 3, time: int = 9) -> torch.Tensor:
    return torch.randint(1, 11, (batch, time), generator=torch.Generator().manual_seed(1))


def test_later_tokens_do_not_change_earlier_logits() -> None:
    tokens = some_tokens()
    changed = tokens.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 10 + 1
    gpt = model()
    torch.testing.assert_close(gpt(tokens)[:, :5], gpt(changed)[:, :5])
    assert not torch.allclose(gpt(tokens)[:, 5:], gpt(changed)[:, 5:])


def test_padding_on_the_left_changes_nothing() -> None:
    tokens = some_tokens()
    padded = torch.cat([torch.zeros(3, 4, dtype=torch.long), tokens], dim=1)
    gpt = model()
    torch.testing.assert_close(gpt(padded, padded != 0)[:, 4:], gpt(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_cache_gives_the_same_features(padding: int) -> None:
    tokens = torch.cat([torch.zeros(3, padding, dtype=torch.long), some_tokens()], dim=1)
    attended = tokens != 0 if padding else None
    gpt = model()
    whole = gpt.hidden(tokens, attended=attended)
    caches = gpt.empty_caches(3, tokens.shape[1])
    parts = []
    for start, end in ((0, padding + 4), (padding + 4, padding + 5), (padding + 5, padding + 9)):
        seen = None if attended is None else attended[:, :end]
        parts.append(gpt.hidden(tokens[:, start:end], attended=seen, caches=caches, start=start))
    torch.testing.assert_close(torch.cat(parts, 1)[:, padding:], whole[:, padding:])


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    first, state = model().state_dict(), torch.get_rng_state()
    torch.manual_seed(2)
    second = model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(model(5).token_embedding.weight, model(6).token_embedding.weight)


def test_a_new_scalar_head_says_zero() -> None:
    gpt = model()
    assert not gpt.scalar(gpt.hidden(some_tokens())).any()


def test_parameter_count_counts_the_shared_embedding_once() -> None:
    width, layers = CONFIG.width, CONFIG.layers
    block = 4 * width + 3 * width**2 + width**2 + 4 * width**2 + 4 * width + 4 * width**2 + width
    expected = (11 + 16) * width + layers * block + 2 * width + width + 1
    assert model().parameter_count() == expected


def test_a_sequence_beyond_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens: 17 positions, the context is 16"):
        model()(some_tokens(time=17))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads: 3 does not divide the width 16"):
        GPTConfig(vocabulary=5, width=16, heads=3)
