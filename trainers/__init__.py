"""The methods: one file each, which registers one Dassl trainer. Importing the package registers them all.

common/catalogue.py lists what they are called; trainers/engine/ holds what they share.
"""

import pkgutil
from importlib import import_module

from trainers.engine.knobs import extend_cfg

__all__ = ["extend_cfg"]

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        import_module(f"{__name__}.{_module.name}")
