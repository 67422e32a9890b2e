"""``tokenizer.json``: a text encoder's tokenizer in the format of the ``tokenizers`` library, for every language it is in.

An encoder of ``transformers`` has one already. The word tokenizer of our small transformer is written in its terms: Unicode's
NFKC form, lower case, words and signs apart, and the vocabulary. Truncation and padding are the model's.
"""

from __future__ import annotations

import json

from likewise.errors import ModelError
from likewise.models import PretrainedText, SmallTransformer, TextEncoder
from likewise.models.words import PADDING, UNKNOWN

__all__ = ["write_tokenizer"]

# Of the letters that Python's casefold changes and lower case does not, those that words are written with.
_FOLDED = {"ß": "ss", "ς": "σ"}


def write_tokenizer(encoder: TextEncoder) -> str:
    """The content of ``tokenizer.json``.

    Raises:
        ModelError: the encoder has a tokenizer of another kind.
    """
    if isinstance(encoder, SmallTransformer):
        return json.dumps(_words(encoder), ensure_ascii=False, indent=1)
    if isinstance(encoder, PretrainedText):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(encoder.options.tokenizer)
        tokenizer.enable_truncation(encoder.options.max_tokens)
        tokenizer.enable_padding(pad_id=0, pad_token=tokenizer.id_to_token(0))
        return str(tokenizer.to_str(pretty=True))
    raise ModelError(
        f"The tokenizer of {type(encoder).__name__} cannot be written as a file.",
        expected="Expected small_transformer or an encoder of transformers.",
    )


def _words(encoder: SmallTransformer) -> dict[str, object]:
    # A word holds no bracket, so these two can be no word of a text.
    vocabulary = {"[PAD]": PADDING, "[UNK]": UNKNOWN}
    vocabulary |= {word: number for number, word in enumerate(encoder.options.vocabulary, start=2)}
    return {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": encoder.options.max_tokens,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": {
            "strategy": "BatchLongest",
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": PADDING,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFKC"},
                {"type": "Lowercase"},
                *({"type": "Replace", "pattern": {"String": a}, "content": b} for a, b in _FOLDED.items()),
            ],
        },
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]"},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }
