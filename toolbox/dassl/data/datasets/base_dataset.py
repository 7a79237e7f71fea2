"""Data sets: lists of labelled image paths."""

from __future__ import annotations

import os.path as osp
import random
from collections import defaultdict
from collections.abc import Sequence

from dassl.utils import check_isfile, download_url, mkdir_if_missing  # noqa: F401 (plugins import some from here)

from .archives import extract_archive


class Datum:
    """One image: its path, class label, domain label and class name.

    Raises:
        TypeError: the path is not a string.
        FileNotFoundError: there is no such file.
    """

    # Plugins pickle these objects: the attributes' names are part of the format.
    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = "") -> None:
        if not isinstance(impath, str):
            raise TypeError(f"An image path must be a string, but got {impath!r}; write str(path)")
        if not osp.isfile(impath):
            raise FileNotFoundError(f'No image file at "{impath}"; check DATASET.ROOT and the folder layout')
        self._impath = impath
        self._label = label
        self._domain = domain
        self._classname = classname

    @property
    def impath(self) -> str:
        """Path of the image file."""
        return self._impath

    @property
    def label(self) -> int:
        """Class, counted from 0."""
        return self._label

    @property
    def domain(self) -> int:
        """Domain, counted from 0."""
        return self._domain

    @property
    def classname(self) -> str:
        """Name of the class."""
        return self._classname


class DatasetBase:
    """Training, validation and test images; a subclass reads them and passes them to ``__init__``.

    Args:
        train_x: labelled training images.
        train_u: unlabelled training images, or None.
        val: validation images, or None.
        test: test images.
    """

    dataset_dir = ""  # folder under the data root
    domains: list[str] = []  # names of all domains

    def __init__(
        self,
        train_x: Sequence[Datum] = None,  # type: ignore[assignment]  # upstream's default; get_num_classes refuses it
        train_u: Sequence[Datum] | None = None,
        val: Sequence[Datum] | None = None,
        test: Sequence[Datum] = None,  # type: ignore[assignment]  # upstream's default; loaders refuse it
    ) -> None:
        self._train_x = train_x
        self._train_u = train_u
        self._val = val
        self._test = test
        self._num_classes = self.get_num_classes(train_x)
        self._lab2cname, self._classnames = self.get_lab2cname(train_x)

    @property
    def train_x(self) -> Sequence[Datum]:
        """Labelled training images."""
        return self._train_x

    @property
    def train_u(self) -> Sequence[Datum] | None:
        """Unlabelled training images, or None."""
        return self._train_u

    @property
    def val(self) -> Sequence[Datum] | None:
        """Validation images, or None."""
        return self._val

    @property
    def test(self) -> Sequence[Datum]:
        """Test images."""
        return self._test

    @property
    def lab2cname(self) -> dict[int, str]:
        """Class name by label."""
        return self._lab2cname

    @property
    def classnames(self) -> list[str]:
        """Class names in the order of their labels."""
        return self._classnames

    @property
    def num_classes(self) -> int:
        """Largest training label + 1."""
        return self._num_classes

    @staticmethod
    def get_num_classes(data_source: Sequence[Datum]) -> int:
        """Return the largest label + 1; ValueError without data."""
        if not data_source:
            raise ValueError("The data set has no training images; check DATASET.ROOT and the folder layout")
        return max(item.label for item in data_source) + 1

    @staticmethod
    def get_lab2cname(data_source: Sequence[Datum]) -> tuple[dict[int, str], list[str]]:
        """Return the class name by label, and the class names in the order of their labels."""
        mapping = {item.label: item.classname for item in data_source}
        return mapping, [mapping[label] for label in sorted(mapping)]

    def check_input_domains(self, source_domains: Sequence[str], target_domains: Sequence[str]) -> None:
        """Raise a ValueError unless both are non-empty and name domains of this data set."""
        for key, names in (("SOURCE_DOMAINS", source_domains), ("TARGET_DOMAINS", target_domains)):
            if len(names) == 0:
                raise ValueError(f"DATASET.{key} is empty; name some of {self.domains}")
            self.is_input_domain_valid(names)

    def is_input_domain_valid(self, input_domains: Sequence[str]) -> None:
        """Raise a ValueError if a name is not a domain of this data set."""
        for domain in input_domains:
            if domain not in self.domains:
                raise ValueError(f"Input domain must belong to {self.domains}, but got [{domain}]")

    def download_data(self, url: str, dst: str, from_gdrive: bool = True) -> None:
        """Download an archive (.zip, .tar, .tar.gz, .tgz) to ``dst`` and extract it in the same folder.

        Raises:
            ValueError: the archive is of another type, or a member is outside its folder (nothing is extracted then).
            OSError: the download failed.
        """
        folder = osp.dirname(dst)
        mkdir_if_missing(folder)
        if from_gdrive:
            import gdown  # slow to import, and only needed here

            reason = ""
            try:
                found = gdown.download(url, dst, quiet=False)
            except Exception as error:  # gdown and requests raise many types, some with messages of several lines
                found, reason = None, f" ({' '.join(str(error).split())[:160]})"
            if found is None:
                raise OSError(
                    f"{url} could not be downloaded to {dst}{reason}; try again, or put the file there yourself"
                )
        else:
            download_url(url, dst)
        print("Extracting file ...")
        extract_archive(dst, folder)
        print(f"File extracted to {folder}")

    def generate_fewshot_dataset(
        self, *data_sources: Sequence[Datum], num_shots: int = -1, repeat: bool = False
    ) -> Sequence:
        """Return a list with ``num_shots`` random images of each class per data source (one list for one source).

        Classes are in the order of their first image. Uses Python's ``random``. A class with fewer images gives all of
        them or, with ``repeat``, is drawn from with replacement. Below 1 shot the sources are returned unchanged.
        """
        if num_shots < 1:
            return data_sources[0] if len(data_sources) == 1 else data_sources
        print(f"Creating a {num_shots}-shot dataset")
        output = [self._draw_shots(source, num_shots, repeat) for source in data_sources]
        return output[0] if len(output) == 1 else output

    def _draw_shots(self, data_source: Sequence[Datum], num_shots: int, repeat: bool) -> list[Datum]:
        drawn: list[Datum] = []
        for items in self.split_dataset_by_label(data_source).values():
            if len(items) >= num_shots:
                drawn += random.sample(items, num_shots)
            elif repeat:
                drawn += random.choices(items, k=num_shots)
            else:
                drawn += items
        return drawn

    def split_dataset_by_label(self, data_source: Sequence[Datum]) -> dict[int, list[Datum]]:
        """Group the images by label."""
        output: dict[int, list[Datum]] = defaultdict(list)
        for item in data_source:
            output[item.label].append(item)
        return output

    def split_dataset_by_domain(self, data_source: Sequence[Datum]) -> dict[int, list[Datum]]:
        """Group the images by domain."""
        output: dict[int, list[Datum]] = defaultdict(list)
        for item in data_source:
            output[item.domain].append(item)
        return output
