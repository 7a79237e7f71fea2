"""Trainers that upstream Dassl has and this distribution does not include, reported in one line."""

from __future__ import annotations

UPSTREAM = "upstream Dassl 0.6.3 (github.com/KaiyangZhou/Dassl.pytorch)"

TRAINERS = (
    "SE MCD MME ADDA CDAC DAEL DANN AdaBN M3SDA SourceOnly "  # domain adaptation
    "DDAIG DAELDG Vanilla CrossGrad DomainMix "  # domain generalisation
    "EntMin FixMatch MixMatch MeanTeacher SupBaseline"  # semi-supervised
).split()


def message(name: str) -> str:
    """Return the error message for ``name``."""
    return f"{name} is not included in this distribution of dassl; it is in {UPSTREAM}"


def refuse_import(module: str) -> None:
    """Raise an ImportError for ``module``."""
    raise ImportError(message(module), name=module)


def missing_attribute(module: str, name: str) -> None:
    """For the ``__getattr__`` of a module: raise ImportError for a trainer of upstream, AttributeError otherwise."""
    if name in TRAINERS:
        raise ImportError(message(f"{module}.{name}"), name=module)
    raise AttributeError(f"module '{module}' has no attribute '{name}'")


def check_trainer(requested: str) -> None:
    """Raise a ValueError if only upstream has the trainer ``requested``."""
    if requested in TRAINERS:
        raise ValueError(message(f"The trainer {requested}"))
