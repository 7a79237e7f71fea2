"""A prompt is data: a list of integers that selects the vector at each position.

An integer >= 0 is a token of CLIP's vocabulary. A negative one is a context slot: slot ``s`` of context ``c``, where
each context has ``n_ctx`` vectors, is ``-(1 + c * n_ctx + s)``. Methods and name positions differ only in these lists;
the text encoder just looks vectors up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import InputError
from common.text import brief

POSITIONS = ("end", "middle", "front")


@dataclass(frozen=True)
class Vocabulary:
    """A tower's tokenizer, as far as prompts need it.

    encode: text -> token ids without start and end; start, end: what stands before and after every text ([SOS] and
    [EOT] for CLIP; SigLIP has no start); length: the tower's number of positions; words: token id -> word for the
    tokens that are whole words, empty if the tokenizer does not say. pad, last: the token that fills a row up, and one
    in the row's last place, if there is one. of_clip: it is CLIP's own tokenizer.
    """

    encode: Callable[[str], list[int]]
    start: tuple[int, ...]
    end: tuple[int, ...]
    length: int
    words: Mapping[int, str] = field(default_factory=dict, repr=False, compare=False)
    pad: int = 0
    last: int | None = None
    of_clip: bool = False


def whole_words(tokenizer: object) -> dict[int, str]:
    """Return the tokens of CLIP's byte-pair tokenizer that are whole words: only letters, and an end-of-word mark."""
    tokens = getattr(tokenizer, "encoder", {})
    words = {number: token.removesuffix("</w>") for token, number in tokens.items() if token.endswith("</w>")}
    return {number: word for number, word in words.items() if word.isascii() and word.isalpha()}


def slots(context: int, n_ctx: int) -> list[int]:
    """Return the slot numbers of one context's vectors."""
    return [-(1 + context * n_ctx + s) for s in range(n_ctx)]


def lay_out(vocabulary: Vocabulary, name: str, context: int = 0, n_ctx: int = 0, position: str = "end") -> list[int]:
    """Lay out ``[SOS] context name . [EOT]`` with the name at the end, in the middle or at the front of the context.

    Args:
        name: class or task name; underscores become spaces.
        context: index of the context whose vectors fill the slots.
        n_ctx: vectors per context; 0 gives a prompt without slots.
        position: "end", "middle" (the second half of the context, rounded up, follows the name) or "front".

    Returns:
        the prompt as a list of integers, without padding.

    Raises:
        InputError: the name is too long for the tower.

    Name and full stop are tokenised together, as in CoOp, because a name that ends in punctuation merges with the stop.
    """
    text = name.replace("_", " ").strip()
    tokens = vocabulary.encode(text + ".")
    n_name = len(vocabulary.encode(text))
    body, stop = tokens[:n_name], tokens[n_name:]
    context_slots = slots(context, n_ctx)
    if position == "end":
        inner = context_slots + body + stop
    elif position == "middle":
        half = n_ctx // 2
        inner = context_slots[:half] + body + context_slots[half:] + stop
    elif position == "front":
        inner = body + context_slots + stop
    else:
        raise InputError(f"Name position '{position}' is unknown; use one of {', '.join(POSITIONS)}.")
    return bounded(vocabulary, inner, name)


def with_context(prompt: Sequence[int], context: int, n_ctx: int) -> list[int]:
    """Return the prompt with its slots moved to the context that is ``context`` places later."""
    return [token - context * n_ctx if token < 0 else token for token in prompt]


def class_prompts(
    vocabulary: Vocabulary,
    names: Sequence[str],
    contexts: Sequence[int],
    n_ctx: int,
    position: str = "end",
    words: Sequence[int] = (),
) -> list[list[int]]:
    """Lay out the prompts of some classes, each with the context of this index.

    ``words`` are tokens that stay between context and name, where the name is at the end: [SOS] context, words, name.
    """
    prompts = [
        lay_out(vocabulary, name, context, n_ctx, position) for name, context in zip(names, contexts, strict=True)
    ]
    if not words:
        return prompts
    first, end = len(vocabulary.start), len(vocabulary.end)
    parts = ((prompt[first : first + n_ctx], prompt[first + n_ctx : len(prompt) - end]) for prompt in prompts)
    return [
        bounded(vocabulary, [*context, *words, *rest], name) for name, (context, rest) in zip(names, parts, strict=True)
    ]


def with_each_context(prompts: Sequence[list[int]], n: int, n_ctx: int) -> list[list[int]]:
    """Return prompts with each of ``n`` contexts in a row: first all with their own, then all with the next, ..."""
    return [with_context(prompt, k, n_ctx) for k in range(n) for prompt in prompts]


def sentence(vocabulary: Vocabulary, text: str) -> list[int]:
    """Lay out a prompt without slots, such as a filled-in zero-shot template: ``[SOS] text [EOT]``."""
    return bounded(vocabulary, vocabulary.encode(text), text)


def bounded(vocabulary: Vocabulary, inner: Sequence[int], name: str) -> list[int]:
    """Put ``inner`` between start and end; raises InputError if the tower has too few positions for it."""
    prompt = [*vocabulary.start, *inner, *vocabulary.end]
    if len(prompt) + (vocabulary.last is not None) > vocabulary.length:
        n_ctx = sum(token < 0 for token in inner)
        raise InputError(
            f"The name '{brief(name)}' makes a prompt of {len(prompt)} tokens ({n_ctx} of them context), but the tower "
            f"has {vocabulary.length} positions; shorten the name or use fewer context vectors."
        )
    return prompt


def check_distinct(vocabulary: Vocabulary, names: Sequence[str], task: str) -> None:
    """Raise InputError if the tower's tokenizer reads two class names of a task alike."""
    seen: dict[tuple[int, ...], str] = {}
    for name in names:
        tokens = tuple(vocabulary.encode(name.replace("_", " ").strip() + "."))
        other = seen.setdefault(tokens, name)
        if other is not name:
            raise InputError(
                f"Classes '{other}' and '{name}' of task '{task}' are the same text to this tower's tokenizer; give "
                "them different names, or choose another tower."
            )
