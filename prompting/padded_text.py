"""Text towers that are not causal, or not read at the prompt's end: SigLIP's, CoCa's, CLIPA's, XLM-R and so on.

Nothing can be shared between the prompts of such a tower, and what follows a prompt may matter. So the tower's own
forward pass runs on whole rows of token ids, padded as its tokenizer pads them. A hook on its word embedding puts the
context vectors in the slots' places; everything after it (positions, attention, pooling, projection) is the tower's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prompting.prompts import Vocabulary
from prompting.text_memory import TextMemory
from prompting.text_tower import TextTower, name_of, take
from prompting.transfers import sent

CHUNK = 256  # prompts at a time if no gradient is needed


@dataclass(frozen=True)
class PaddedPrompts:
    """N prompts of the tower's full length L.

    tokens: (N, L) int64, an ordinary token at slots; slots: (N, L) int64, the number of the context vector at each
    place (context * n_ctx + slot), -1 elsewhere.
    """

    tokens: Tensor
    slots: Tensor

    def to(self, device: torch.device | str) -> PaddedPrompts:
        """Return a copy on another device."""
        tokens, slots = (sent(part, device) for part in (self.tokens, self.slots))
        return replace(self, tokens=tokens, slots=slots)


class PaddedText(nn.Module):
    """A text tower with a forward pass of its own, behind the face of `prompting.towers.TextTower`.

    Args:
        module: the text model; its image tower is not part of it.
        forward: (N, L) token ids -> (N, feature_dim) features, not normalised, through ``module``.
        embedding: the part of ``module`` that looks word vectors up.
        vocabulary: the tower's tokenizer.
        why: what keeps its prompts from being one tree, for the log.
    """

    activation_name = ""  # if the text model's config says it in other words
    memory: TextMemory | None = None  # what a step may take; None: as much as it needs

    def __init__(
        self,
        module: nn.Module,
        forward: Callable[[Tensor], Tensor],
        embedding: nn.Embedding,
        vocabulary: Vocabulary,
        why: str,
    ):
        super().__init__()
        self.module, self.vocabulary, self.why = module, vocabulary, why
        self._forward, self._embedding = [forward], [embedding]  # lists hide modules, which ``module`` has already
        self._filler = vocabulary.encode("x")[0]
        was = module.training
        module.eval()
        with torch.no_grad():
            self.feature_dim = self._forward[0](
                self.pack([[*vocabulary.start, self._filler, *vocabulary.end]]).tokens
            ).shape[-1]
        module.train(was)

    @property
    def path(self) -> str:
        """Which encoder runs, and why, for the log."""
        return f"prompts are padded to {self.vocabulary.length} tokens and encoded whole, because {self.why}"

    @property
    def activation(self) -> str:
        """The activation of the text model's blocks, or "of its text model" if it does not say."""
        if self.activation_name:
            return self.activation_name
        gelu = next((part for name, part in self.module.named_modules() if name.endswith("mlp.gelu")), None)
        if gelu is not None:
            return name_of(gelu)
        configs = [config for part in self.module.modules() if (config := getattr(part, "config", None))]
        keys = ("hidden_act", "activation_function", "feed_forward_proj")
        return next((getattr(c, key) for c in configs for key in keys if hasattr(c, key)), "of its text model")

    @property
    def token_embedding(self) -> nn.Embedding:
        return self._embedding[0]

    @property
    def width(self) -> int:
        return self.token_embedding.weight.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.token_embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    def word_vectors(self, tokens: Sequence[int]) -> Tensor:
        """Return what the tower sees for tokens, (tokens, width); some towers scale their embedding."""
        return self.token_embedding(torch.tensor(tokens, device=self.device))

    def pack(self, prompts: Sequence[list[int]]) -> PaddedPrompts:
        """Lay prompts out as the tokenizer would: see `Vocabulary.pad` and `Vocabulary.last`."""
        v = self.vocabulary
        final = [] if v.last is None else [v.last]
        rows = torch.tensor([[*p, *[v.pad] * (v.length - len(p) - len(final)), *final] for p in prompts])
        return PaddedPrompts(torch.where(rows < 0, self._filler, rows), torch.where(rows < 0, -1 - rows, -1))

    def encode(self, packed: PaddedPrompts, contexts: Tensor | None = None) -> Tensor:
        """Return the features of prompts, (N, feature_dim), not normalised. Gradients flow to ``contexts``.

        Args:
            contexts: (C, n_ctx, width); None if there are no slots.
        """
        if contexts is not None and contexts.requires_grad and torch.is_grad_enabled():
            return self.features(packed.tokens, packed.slots, contexts)
        parts = zip(packed.tokens.split(CHUNK), packed.slots.split(CHUNK), strict=True)
        return torch.cat([self.features(tokens, slots, contexts) for tokens, slots in parts])

    def features(self, tokens: Tensor, slots: Tensor, contexts: Tensor | None) -> Tensor:
        """Return `encode` of a `PaddedPrompts`'s tokens and slots, all at once."""
        if contexts is None:
            return self._forward[0](tokens)
        vectors = contexts.flatten(0, -2)

        def fill(module: nn.Module, args: tuple, found: Tensor) -> Tensor:
            return torch.where((slots >= 0).unsqueeze(-1), take(vectors, slots.clamp(min=0)).to(found.dtype), found)

        handle = self.token_embedding.register_forward_hook(fill)
        try:
            return self._forward[0](tokens)
        finally:
            handle.remove()


AnyText = TextTower | PaddedText
