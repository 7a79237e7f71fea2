"""Not carried: importing this says so."""

from dassl.not_carried import refuse_import

refuse_import("dassl.engine.da")
