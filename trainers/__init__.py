"""The methods: one file each, which registers one Dassl trainer. Importing this package registers all of them.

common/catalogue.py lists the methods' names; trainers/engine/ holds the code that they share.
"""

import pkgutil
from importlib import import_module

from trainers.engine.knobs import extend_cfg

__all__ = ["extend_cfg"]

for _module in pkgutil.iter_modules(__path__):
    if not _module.ispkg:
        import_module(f"{__name__}.{_module.name}")
