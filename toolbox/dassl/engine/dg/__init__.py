"""Not included: importing this module raises an ImportError that says so."""

from dassl.not_included import refuse_import

refuse_import("dassl.engine.dg")
