"""Words to numbers and back. The vocabulary is closed: every word the world can write."""

from collections.abc import Iterable
from functools import cache

from rlhf_explained.world.corpus import WEB, responses
from rlhf_explained.world.questions import questions

PAD, EOS = 0, 1
RESPONSE_LIMIT = 34
"""Longest response in tokens, its end-of-sequence token included."""


class Tokenizer:
    """One token per space-separated word, after `<pad>` (0) and `<eos>` (1).

    Args:
        words: The vocabulary, in any order, repeats allowed.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = ("<pad>", "<eos>", *sorted(set(words)))
        self._token_of = {word: token for token, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Size of the vocabulary."""
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Turn text into tokens.

        Raises:
            ValueError: If a word is not in the vocabulary; it says which.
        """
        unknown = [word for word in text.split() if word not in self._token_of]
        if unknown:
            raise ValueError(f"text: the vocabulary has no word {unknown[0]!r} (in {text!r})")
        return [self._token_of[word] for word in text.split()]

    def decode(self, tokens: Iterable[int]) -> str:
        """Turn tokens back into text, up to the first `<eos>`."""
        words = []
        for token in tokens:
            if token == EOS:
                break
            words.append(self.words[token])
        return " ".join(words)


@cache
def world_tokenizer() -> Tokenizer:
    """The tokenizer of the world's whole vocabulary."""
    texts = (
        text for question in questions() for text in (question.text, *responses(question, WEB))
    )
    return Tokenizer([":", *(word for text in texts for word in text.split())])
