"""Data sets of domain adaptation."""

from .cifarstl import CIFARSTL
from .digit5 import Digit5
from .domainnet import DomainNet
from .mini_domainnet import miniDomainNet
from .office31 import Office31
from .office_home import OfficeHome
from .visda17 import VisDA17

__all__ = ["CIFARSTL", "Digit5", "DomainNet", "Office31", "OfficeHome", "VisDA17", "miniDomainNet"]
