"""Samplers: the order in which the items of a data set are drawn."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data.sampler import RandomSampler, Sampler, SequentialSampler

from .datasets.base_dataset import Datum


class _DomainSampler(Sampler):
    """Batches with the same number of images from each of several domains, until a domain runs out."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int | None, ordered: bool) -> None:
        self.data_source = data_source
        self.domain_dict: dict[int, list[int]] = defaultdict(list)
        for index, item in enumerate(data_source):
            self.domain_dict[item.domain].append(index)
        self.domains = sorted(self.domain_dict) if ordered else list(self.domain_dict)
        if n_domain is None or n_domain <= 0:
            n_domain = len(self.domains)
        if n_domain > len(self.domains):
            raise ValueError(f"N_DOMAIN = {n_domain} domains per batch, but the data has {len(self.domains)}")
        if batch_size % n_domain != 0:
            raise ValueError(
                f"A batch of {batch_size} cannot be split evenly among {n_domain} domains; change BATCH_SIZE"
            )
        self.batch_size = batch_size
        self.n_domain = n_domain
        self.n_img_per_domain = batch_size // n_domain
        for domain, indices in self.domain_dict.items():
            if len(indices) < self.n_img_per_domain:
                raise ValueError(
                    f"Domain {domain} has {len(indices)} images, fewer than its share of a batch "
                    f"({self.n_img_per_domain}); choose a smaller BATCH_SIZE"
                )
        # The length is only known after drawing once.
        self.length = len(list(iter(self)))

    def _select_domains(self) -> list[int]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        left = {domain: list(indices) for domain, indices in self.domain_dict.items()}
        order: list[int] = []
        exhausted = False
        while not exhausted:
            for domain in self._select_domains():
                drawn = random.sample(left[domain], self.n_img_per_domain)
                order.extend(drawn)
                gone = set(drawn)
                left[domain] = [index for index in left[domain] if index not in gone]
                exhausted |= len(left[domain]) < self.n_img_per_domain
        return iter(order)

    def __len__(self) -> int:
        return self.length


class RandomDomainSampler(_DomainSampler):
    """Every batch has ``n_domain`` random domains (0, -1 or None: all) with ``batch_size / n_domain`` images each."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int | None) -> None:
        super().__init__(data_source, batch_size, n_domain, ordered=False)

    def _select_domains(self) -> list[int]:
        return random.sample(self.domains, self.n_domain)


class SeqDomainSampler(_DomainSampler):
    """Every batch has all domains in ascending order, with random images of each."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int) -> None:
        super().__init__(data_source, batch_size, None, ordered=True)

    def _select_domains(self) -> list[int]:
        return self.domains


class RandomClassSampler(Sampler):
    """Every batch has ``batch_size // n_ins`` random classes with ``n_ins`` images each.

    A class with fewer images repeats some. A class is dropped when its images run out, and the epoch ends when too few
    classes are left for a batch.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_ins: int) -> None:
        if batch_size < n_ins:
            raise ValueError(f"A batch of {batch_size} cannot hold N_INS = {n_ins} images of a class")
        self.data_source = data_source
        self.batch_size = batch_size
        self.n_ins = n_ins
        self.ncls_per_batch = batch_size // n_ins
        self.index_dic: dict[int, list[int]] = defaultdict(list)
        for index, item in enumerate(data_source):
            self.index_dic[item.label].append(index)
        self.labels = list(self.index_dic)
        if len(self.labels) < self.ncls_per_batch:
            raise ValueError(
                f"A batch takes {self.ncls_per_batch} classes (BATCH_SIZE / N_INS), but the data has {len(self.labels)}"
            )
        self.length = len(list(iter(self)))

    def __iter__(self) -> Iterator[int]:
        chunks: dict[int, list[list[int]]] = {}
        for label in self.labels:
            indices = list(self.index_dic[label])
            if len(indices) < self.n_ins:
                indices = np.random.choice(indices, size=self.n_ins, replace=True).tolist()
            random.shuffle(indices)
            whole = len(indices) // self.n_ins
            chunks[label] = [indices[i * self.n_ins : (i + 1) * self.n_ins] for i in range(whole)]
        remaining = list(self.labels)
        order: list[int] = []
        while len(remaining) >= self.ncls_per_batch:
            for label in random.sample(remaining, self.ncls_per_batch):
                order.extend(chunks[label].pop(0))
                if not chunks[label]:
                    remaining.remove(label)
        return iter(order)

    def __len__(self) -> int:
        return self.length


def build_sampler(
    sampler_type: str,
    cfg: Any = None,
    data_source: Sequence[Datum] = None,  # type: ignore[assignment]  # upstream's default; no sampler accepts it
    batch_size: int = 32,
    n_domain: int = 0,
    n_ins: int = 16,
) -> Sampler:
    """Build the sampler ``sampler_type``; ValueError if the name is unknown or the data does not fit."""
    if sampler_type == "RandomSampler":
        return RandomSampler(data_source)
    if sampler_type == "SequentialSampler":
        return SequentialSampler(data_source)
    if sampler_type == "RandomDomainSampler":
        return RandomDomainSampler(data_source, batch_size, n_domain)
    if sampler_type == "SeqDomainSampler":
        return SeqDomainSampler(data_source, batch_size)
    if sampler_type == "RandomClassSampler":
        return RandomClassSampler(data_source, batch_size, n_ins)
    raise ValueError(
        f"Unknown sampler type: {sampler_type}; known: RandomSampler, SequentialSampler, RandomDomainSampler, "
        "SeqDomainSampler, RandomClassSampler"
    )
