"""Names that upstream Dassl has and this distribution does not include, reported in one line."""

from __future__ import annotations

UPSTREAM = "upstream Dassl 0.6.3 (github.com/KaiyangZhou/Dassl.pytorch)"

TRAINERS = (
    "SE MCD MME ADDA CDAC DAEL DANN AdaBN M3SDA SourceOnly "  # domain adaptation
    "DDAIG DAELDG Vanilla CrossGrad DomainMix "  # domain generalisation
    "EntMin FixMatch MixMatch MeanTeacher SupBaseline"  # semi-supervised
).split()

DATASETS = (
    "Digit5 VisDA17 CIFARSTL Office31 DomainNet OfficeHome miniDomainNet "
    "PACS VLCS CIFAR10C CIFAR100C DigitsDG DigitSingle OfficeHomeDG Camelyon17 FMoW IWildCam "
    "SVHN CIFAR10 CIFAR100 STL10"
).split()


def message(name: str) -> str:
    """Return the error message for ``name``."""
    return f"{name} is not included in this distribution of dassl; it is in {UPSTREAM}"


def refuse_import(module: str) -> None:
    """Raise an ImportError for ``module``."""
    raise ImportError(message(module), name=module)


def missing_attribute(module: str, name: str, upstream_names: list[str]) -> None:
    """For the ``__getattr__`` of a module: raise ImportError for an upstream name, AttributeError for any other."""
    if name in upstream_names:
        raise ImportError(message(f"{module}.{name}"), name=module)
    raise AttributeError(f"module '{module}' has no attribute '{name}'")


def check_name(requested: str, upstream_names: list[str], kind: str) -> None:
    """Raise a ValueError if only upstream has ``requested``."""
    if requested in upstream_names:
        raise ValueError(message(f"The {kind} {requested}"))
