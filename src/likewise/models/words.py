"""A small tokenizer of our own: words and signs, lower-cased, by their frequency in the training captions.

It needs no package and no file: the vocabulary is part of the model's options. Words that training never saw share one
token; with a few thousand captions that is what a text encoder without pretraining can honestly know.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["UNKNOWN", "count_words", "encode_words", "split_words"]

PADDING, UNKNOWN = 0, 1
_WORD = re.compile(r"\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Words and signs of a text, after Unicode's NFKC form and lower-casing.

    Example:
        >>> split_words("A dog's ball.")
        ['a', 'dog', "'", 's', 'ball', '.']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def count_words(texts: Iterable[str], *, least: int, most: int) -> tuple[str, ...]:
    """The vocabulary: words that occur at least ``least`` times, the most frequent first, ties by the alphabet.

    Args:
        texts: captions to train on.
        least: occurrences that a word needs.
        most: size of the vocabulary at most.

    Example:
        >>> count_words(["a dog", "a cat", "a dog"], least=2, most=10)
        ('a', 'dog')
    """
    counts = Counter(word for text in texts for word in split_words(text))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(word for word, count in ordered if count >= least)[:most]


def encode_words(texts: Sequence[str], vocabulary: dict[str, int]) -> list[list[int]]:
    """Ids of each text's words; an unknown word is ``UNKNOWN``, a text without any word is that one token."""
    return [[vocabulary.get(word, UNKNOWN) for word in split_words(text)] or [UNKNOWN] for text in texts]
