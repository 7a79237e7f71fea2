"""Dassl data sets of this project. Importing the package registers them all."""

import importlib
import pkgutil

from datasets import collections, sources
from datasets import garden8 as garden8

for _package in (sources, collections):
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)
