"""The small CLIP's training material: drawn pictures, their attributes, and their captions as token numbers."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from datasets.drawing import COMMON_STYLES, RARE_STYLES, STYLES, TASKS, Scene, attributes, draw, random_scene
from datasets.drawing.captions import Caption, all_words, caption

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from clip.simple_tokenizer import SimpleTokenizer

VOCABULARY, START, END = 49408, 49406, 49407
#: Side of the stored training pictures; their crops are resized to the tower's input size.
DRAWN = 72
CAPTIONS, LENGTH = 5, 30
CHUNK = 250
#: The value of an attribute that a picture does not show.
NOTHING = -2
#: Weight of an attribute in the choice of scenes and in the first stage's loss: fine details need more.
HARDNESS = {
    "petal_colour": 1.0,
    "petal_shape": 2.0,
    "petal_count": 2.5,
    "centre_colour": 1.0,
    "leaf_shape": 2.5,
    "leaf_arrangement": 1.5,
    "setting": 1.0,
    "weather": 1.0,
}
_tokenizer: SimpleTokenizer | None = None


def tokenize(text: str) -> list[int]:
    """Return CLIP's tokens of a text, with start and end."""
    global _tokenizer
    _tokenizer = _tokenizer or SimpleTokenizer()
    return [START, *_tokenizer.encode(text), END]


def claims_of(written: Caption) -> list[int]:
    """Return a caption's claims; the last is its style."""
    return [*written.claims, STYLES.index(written.style) if written.style else -1]


def caption_chunk(job: tuple[int, int, np.ndarray, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Write captions for a chunk of pictures with the attributes ``shows``.

    Shapes: tokens (n, CAPTIONS, LENGTH) int32, 0 after the end; claims (n, CAPTIONS, 9) int16.
    """
    seed, chunk, shows, rare_words, loose_words = job
    rng = Random(f"talk/{seed}/{chunk}")
    tokens = np.zeros((len(shows), CAPTIONS, LENGTH), np.int32)
    claims = np.zeros((len(shows), CAPTIONS, len(TASKS) + 1), np.int16)
    for k, row in enumerate(shows):
        values = {task.attribute: task.keys[max(0, index)] for task, index in zip(TASKS, row[:-1], strict=True)}
        scene = Scene(**values, style=STYLES[row[-1]])
        for c in range(CAPTIONS):
            while True:
                written = caption(rng, scene, rare_words, loose_words)
                text = tokenize(written.text)
                if len(text) <= LENGTH:
                    break
            tokens[k, c, : len(text)] = text
            claims[k, c] = claims_of(written)
    return tokens, claims


def draw_chunk(job: tuple[int, int, float]) -> tuple[int, np.ndarray, np.ndarray]:
    """Draw a chunk of pictures and return its number, the pictures and their attributes.

    They only depend on the job. Shapes: (CHUNK, DRAWN, DRAWN, 3) uint8; (CHUNK, 9) int16, the ninth being the style.
    """
    seed, chunk, rare_styles = job
    rng = Random(f"tower/{seed}/{chunk}")
    weights = {s: (1 - rare_styles) / len(COMMON_STYLES) for s in COMMON_STYLES}
    weights |= {s: rare_styles / len(RARE_STYLES) for s in RARE_STYLES}
    pictures = np.empty((CHUNK, DRAWN, DRAWN, 3), np.uint8)
    shows = np.empty((CHUNK, len(TASKS) + 1), np.int16)
    leaf, arrangement = ([t.attribute for t in TASKS].index(a) for a in ("leaf_shape", "leaf_arrangement"))
    leafless = TASKS[arrangement].keys.index("leafless")
    for k in range(CHUNK):
        # most scenes are framed to show one attribute, as a person would do; finer attributes are chosen more often
        task = rng.choices(TASKS, [HARDNESS[t.attribute] for t in TASKS])[0] if rng.random() < 0.85 else None
        scene = random_scene(rng, weights, task.attribute if task else None, rng.choice(task.keys) if task else None)
        pictures[k] = np.asarray(draw(scene, DRAWN))
        shows[k] = [*attributes(scene), STYLES.index(scene.style)]
        if shows[k, arrangement] == leafless:
            shows[k, leaf] = NOTHING
    return chunk, pictures, shows


class Material:
    """The drawn training set: pictures in a memory-mapped file, everything else in memory."""

    def __init__(self, folder: Path, count: int, seed: int, rare_styles: float, workers: int) -> None:
        chunks = count // CHUNK
        shape = (chunks * CHUNK, DRAWN, DRAWN, 3)
        self.pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
        self.shows = np.empty((len(self.pictures), len(TASKS) + 1), np.int16)
        started = time.time()
        with ProcessPoolExecutor(workers) as pool:
            jobs = [(seed, chunk, rare_styles) for chunk in range(chunks)]
            for done, (chunk, pictures, shows) in enumerate(pool.map(draw_chunk, jobs), 1):
                part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
                self.pictures[part], self.shows[part] = pictures, shows
                if done % 20 == 0 or done == chunks:
                    print(f"drawn {done * CHUNK} of {len(self.pictures)} ({time.time() - started:.0f} s)", flush=True)

    def set_captions(self, tokens: np.ndarray) -> None:
        """Store captions (pictures, CAPTIONS, LENGTH) as numbers of ``rows``, the tokens that are trained and saved."""
        extra = {t for phrase in all_words() for t in tokenize(phrase)}
        self.rows = np.array(sorted(set(np.unique(tokens[tokens > 0]).tolist()) | extra))
        self.lengths = (tokens > 0).sum(axis=2)
        self.words = np.searchsorted(self.rows, np.where(tokens > 0, tokens, END)).astype(np.int32)

    def write_captions(self, seed: int, rare_words: float, loose_words: float, workers: int) -> None:
        """Write captions for all pictures; some use rarer words loosely."""
        starts = range(0, len(self.shows), CHUNK)
        jobs = [(seed, k // CHUNK, self.shows[k : k + CHUNK], rare_words, loose_words) for k in starts]
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(caption_chunk, jobs))
        self.claims = np.concatenate([claims for _, claims in parts])
        self.set_captions(np.concatenate([tokens for tokens, _ in parts]))

    def texts(self, chosen: np.ndarray, which: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return row numbers (batch, longest), end positions (batch,) and claims (batch, 9) of captions."""
        lengths = torch.from_numpy(self.lengths[chosen, which])
        words = torch.from_numpy(self.words[chosen, which]).long()[:, : int(lengths.max())]
        return words, lengths - 1, torch.from_numpy(self.claims[chosen, which]).long()
