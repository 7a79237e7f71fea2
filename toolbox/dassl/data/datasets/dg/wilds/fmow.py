"""Functional Map of the World."""

from __future__ import annotations

import os.path as osp
from typing import Any

from ...build import DATASET_REGISTRY
from .wilds_base import WILDSBase

CATEGORIES = """
airport airport_hangar airport_terminal amusement_park aquaculture archaeological_site barn border_checkpoint
burial_site car_dealership construction_site crop_field dam debris_or_rubble educational_institution
electric_substation factory_or_powerplant fire_station flooded_road fountain gas_station golf_course
ground_transportation_station helipad hospital impoverished_settlement interchange lake_or_pond lighthouse
military_facility multi-unit_residential nuclear_powerplant office_building oil_or_gas_facility park
parking_lot_or_garage place_of_worship police_station port prison race_track railway_bridge recreational_facility
road_bridge runway shipyard shopping_mall single-unit_residential smokestack solar_farm space_facility stadium
storage_tank surface_mine swimming_pool toll_booth tower tunnel_opening waste_disposal water_treatment_facility
wind_farm zoo
""".split()


@DATASET_REGISTRY.register()
class FMoW(WILDSBase):
    """62 kinds of buildings and land use from above (Christie et al., CVPR 2018); a domain is a region and a year."""

    dataset_dir = "fmow_v1.1"

    def get_image_path(self, dataset: Any, idx: int) -> str:
        """Return the path of an image of the whole data set."""
        return osp.join(self.dataset_dir, "images", f"rgb_img_{dataset.full_idxs[idx]}.png")

    def get_domain(self, dataset: Any, idx: int) -> int:
        """Return region * 16 + year; there are 16 years."""
        region, year = dataset.metadata_array[idx][:2]
        return int(region) * 16 + int(year)

    def load_classnames(self) -> dict[int, str]:
        """Return the class names in WILDS's order."""
        return dict(enumerate(CATEGORIES))
