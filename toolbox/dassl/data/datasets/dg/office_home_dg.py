"""Office-Home for domain generalisation."""

from __future__ import annotations

from ..build import DATASET_REGISTRY
from .digits_dg import DigitsDG


@DATASET_REGISTRY.register()
class OfficeHomeDG(DigitsDG):
    """Office-Home (Venkateswara et al., CVPR 2017), split into training and validation images. Downloaded if missing.

    Layout: ``office_home_dg/<domain>/{train,val}/<class>/<image>.jpg``.
    """

    dataset_dir = "office_home_dg"
    domains = ["art", "clipart", "product", "real_world"]
    data_url = "https://drive.google.com/uc?id=1gkbf_KaxoBws-GWT3XIPZ7BnkqbAxIFa"
