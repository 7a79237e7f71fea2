"""What prompts need to know of a tokenizer, of CLIP's kind or Hugging Face's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common.errors import InputError
from prompting.prompts import Vocabulary, whole_words

Encode = Callable[[str], list[int]]
PROBES = ("a", "a photo of a tree")


def of_clip(tokenizer: Any, start: int, end: int, length: int) -> Vocabulary:
    """CLIP's own byte-pair tokenizer: rows are padded with 0."""
    return Vocabulary(tokenizer.encode, (start,), (end,), length, whole_words(tokenizer), of_clip=True)


def of_rows(
    name: str, rows: Callable[[list[str]], Any], encode: Encode, length: int, words: dict[int, str]
) -> Vocabulary:
    """A tokenizer that is known by the rows that it makes.

    Args:
        name: the tower's, for messages.
        rows: texts -> (texts, length) token ids with all special tokens and padding.
        encode: text -> token ids without special tokens, cleaned like those of ``rows``.
        length: of a row.
        words: token id -> word.

    Raises:
        InputError: the rows do not hold the text's tokens in one piece.
    """
    frames = [
        _frame(name, list(map(int, row)), encode(text)) for row, text in zip(rows(list(PROBES)), PROBES, strict=True)
    ]
    if frames[0][0] != frames[1][0] or frames[0][1][-1:] != frames[1][1][-1:]:
        raise _unknown(name)
    start, rest = frames[0]
    last = None
    if rest and len(rest) > 1 and rest[-1] != rest[-2]:
        last, rest = rest[-1], rest[:-1]  # a token in the row's last place, after the padding
    pad = rest[-1] if rest else 0
    end = list(rest)
    while end and end[-1] == pad:
        end.pop()
    # Where the end token is also the padding (SigLIP), one of them always follows the text.
    return Vocabulary(encode, tuple(start), tuple(end or rest[:1]), length, words, pad, last)


def _frame(name: str, row: Sequence[int], body: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split a row into what comes before and after the text's tokens."""
    for at in range(len(row) - len(body) + 1):
        if list(row[at : at + len(body)]) == list(body):
            return list(row[:at]), list(row[at + len(body) :])
    raise _unknown(name)


def _unknown(name: str) -> InputError:
    return InputError(f"The tokenizer of '{name}' does not keep a text's tokens together, so prompts cannot be built.")


def of_hugging_face(
    name: str, tokenizer: Any, length: int, rows: Callable[[list[str]], Any], clean: Callable[[str], str] = str
) -> Vocabulary:
    """A tokenizer of the `transformers` package; ``clean`` is what ``rows`` does to a text first."""

    def encode(text: str) -> list[int]:
        return list(tokenizer(clean(text), add_special_tokens=False).input_ids)

    return of_rows(name, rows, encode, length, whole_pieces(tokenizer))


def whole_pieces(tokenizer: Any) -> dict[int, str]:
    """Return the tokens that are whole words of ASCII letters.

    Sentencepiece marks a word's first piece, WordPiece all others.
    """
    vocabulary = tokenizer.get_vocab()
    marked = [token for token in vocabulary if token.startswith("\u2581")]
    if marked:
        words = {vocabulary[token]: token[1:] for token in marked}
    else:
        words = {
            number: token.removesuffix("</w>") for token, number in vocabulary.items() if not token.startswith("##")
        }
    return {number: word for number, word in words.items() if word.isascii() and word.isalpha()}
