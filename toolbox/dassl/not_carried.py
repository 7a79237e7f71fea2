"""What upstream Dassl has and this distribution has not, told in one line."""

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


def message(what: str) -> str:
    """The line about ``what``."""
    return f"{what} is not carried by this distribution of dassl; it is in {UPSTREAM}"


def refuse_import(what: str) -> None:
    """Raise the ImportError about the module ``what``."""
    raise ImportError(message(what), name=what)


def attribute(module: str, name: str, known: list[str]) -> None:
    """For a module's ``__getattr__``: ImportError for an upstream name, AttributeError for any other."""
    if name in known:
        raise ImportError(message(f"{module}.{name}"), name=module)
    raise AttributeError(f"module '{module}' has no attribute '{name}'")


def check(requested: str, known: list[str], kind: str) -> None:
    """ValueError when ``requested`` is the name of something that only upstream has."""
    if requested in known:
        raise ValueError(message(f"The {kind} {requested}"))
