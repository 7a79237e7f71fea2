"""The plant, remote sensing and fashion releases in miniature: every class folder, with a few small images in each."""

from __future__ import annotations

import os
from pathlib import Path

from tests.datasets.miniature import write_image

# The class folders of each release, in alphabetical order, and what they are called in prompts where that differs.
FRUIT_VEGETABLE = (
    "apple,banana,beetroot,bell pepper,cabbage,capsicum,carrot,cauliflower,chilli pepper,corn,cucumber,eggplant,garlic,"
    "ginger,grapes,jalepeno,kiwi,lemon,lettuce,mango,onion,orange,paprika,pear,peas,pineapple,pomegranate,potato,"
    "raddish,soy beans,spinach,sweetcorn,sweetpotato,tomato,turnip,watermelon"
).split(",")
KAGGLE_FLOWER = "daisy dandelion rose sunflower tulip".split()
KAGGLE_MUSHROOM = "Agaricus Amanita Boletus Cortinarius Entoloma Hygrocybe Lactarius Russula Suillus".split()
KAGGLE_VEGETABLE = (
    "Bean Bitter_Gourd Bottle_Gourd Brinjal Broccoli Cabbage Capsicum Carrot Cauliflower Cucumber Papaya Potato "
    "Pumpkin Radish Tomato"
).split()
PLANT_SEEDLING = (
    "Black-grass,Charlock,Cleavers,Common Chickweed,Common wheat,Fat Hen,Loose Silky-bent,Maize,Scentless Mayweed,"
    "Shepherd\u2019s Purse,Small-flowered Cranesbill,Sugar beet"
).split(",")
PLANT_VILLAGE = {
    "Apple___Apple_scab": "apple leaf with scab disease",
    "Apple___Black_rot": "apple leaf with black rot",
    "Apple___Cedar_apple_rust": "apple leaf with cedar apple rust",
    "Apple___healthy": "healthy apple leaf",
    "Background_without_leaves": "background without leaves",
    "Blueberry___healthy": "healthy blueberry leaf",
    "Cherry___Powdery_mildew": "cherry leaf with powdery mildew",
    "Cherry___healthy": "healthy cherry leaf",
    "Corn___Cercospora_leaf_spot Gray_leaf_spot": "corn leaf with gray leaf spot",
    "Corn___Common_rust": "corn leaf with common rust",
    "Corn___Northern_Leaf_Blight": "corn leaf with northern leaf blight",
    "Corn___healthy": "healthy corn leaf",
    "Grape___Black_rot": "grape leaf with black rot",
    "Grape___Esca_(Black_Measles)": "grape leaf with black measles",
    "Grape___Leaf_blight_(Isariopsis_Leaf_Spot)": "grape leaf with isariopsis leaf blight",
    "Grape___healthy": "healthy grape leaf",
    "Orange___Haunglongbing_(Citrus_greening)": "orange leaf with citrus greening disease",
    "Peach___Bacterial_spot": "peach leaf with bacterial spot",
    "Peach___healthy": "healthy peach leaf",
    "Pepper,_bell___Bacterial_spot": "bell pepper leaf with bacterial spot",
    "Pepper,_bell___healthy": "healthy bell pepper leaf",
    "Potato___Early_blight": "potato leaf with early blight",
    "Potato___Late_blight": "potato leaf with late blight",
    "Potato___healthy": "healthy potato leaf",
    "Raspberry___healthy": "healthy raspberry leaf",
    "Soybean___healthy": "healthy soybean leaf",
    "Squash___Powdery_mildew": "squash leaf with powdery mildew",
    "Strawberry___Leaf_scorch": "strawberry leaf with scorch disease",
    "Strawberry___healthy": "healthy strawberry leaf",
    "Tomato___Bacterial_spot": "tomato leaf with bacterial spot",
    "Tomato___Early_blight": "tomato leaf with early blight",
    "Tomato___Late_blight": "tomato leaf with late blight",
    "Tomato___Leaf_Mold": "tomato leaf with leaf mold",
    "Tomato___Septoria_leaf_spot": "tomato leaf with septoria leaf spot",
    "Tomato___Spider_mites Two-spotted_spider_mite": "tomato leaf with two-spotted spider mites",
    "Tomato___Target_Spot": "tomato leaf with target spot",
    "Tomato___Tomato_Yellow_Leaf_Curl_Virus": "tomato leaf with tomato yellow leaf curl virus",
    "Tomato___Tomato_mosaic_virus": "tomato leaf with tomato mosaic virus",
    "Tomato___healthy": "healthy tomato leaf",
}
AID = {
    "Airport": "airport",
    "BareLand": "bare land",
    "BaseballField": "baseball field",
    "Beach": "beach",
    "Bridge": "bridge",
    "Center": "center",
    "Church": "church",
    "Commercial": "commercial area",
    "DenseResidential": "dense residential area",
    "Desert": "desert",
    "Farmland": "farmland",
    "Forest": "forest",
    "Industrial": "industrial area",
    "Meadow": "meadow",
    "MediumResidential": "medium residential area",
    "Mountain": "mountain",
    "Park": "park",
    "Parking": "parking lot",
    "Playground": "playground",
    "Pond": "pond",
    "Port": "port",
    "RailwayStation": "railway station",
    "Resort": "resort",
    "River": "river",
    "School": "school",
    "SparseResidential": "sparse residential area",
    "Square": "square",
    "Stadium": "stadium",
    "StorageTanks": "storage tanks",
    "Viaduct": "viaduct",
}
RESISC45 = (
    "airplane airport baseball_diamond basketball_court beach bridge chaparral church circular_farmland cloud "
    "commercial_area dense_residential desert forest freeway golf_course ground_track_field harbor industrial_area "
    "intersection island lake meadow medium_residential mobile_home_park mountain overpass palace parking_lot railway "
    "railway_station rectangular_farmland river roundabout runway sea_ice ship snowberg sparse_residential stadium "
    "storage_tank tennis_court terrace thermal_power_station wetland"
).split()
OPTIMAL31 = (
    "airplane airport baseball_diamond basketball_court beach bridge chaparral church circular_farmland "
    "commercial_area dense_residential desert forest freeway golf_course ground_track_field harbor industrial_area "
    "intersection island lake meadow medium_residential mobile_home_park mountain overpass parking_lot railway "
    "rectangular_farmland roundabout runway"
).split()
RSICB128 = {
    "construction land": "city_building container grave residents storage_room tower",
    "cultivated land": "bare_land dry_farm green_farmland",
    "other land": "desert mountain sandbeach snow_mountain",
    "other objects": "pipeline town",
    "transportation": "airport_runway avenue bridge city_road crossroads fork_road highway marina mountain_road "
    "overpass parkinglot rail turning_circle",
    "water area": "coastline dam hirst lakeshore river sea stream",
    "woodland": "artificial_grassland city_avenue city_green_tree forest mangrove natural_grassland "
    "river_protection_forest sapling shrubwood sparse_forest",
}
RSICB128_NAMES = {
    "hirst": "sandbank",
    "parkinglot": "parking lot",
    "rail": "railway",
    "residents": "residential area",
    "sandbeach": "sandy beach",
    "shrubwood": "shrubland",
}
RSSCN7 = {
    "aGrass": "grass",
    "bField": "field",
    "cIndustry": "industrial area",
    "dRiverLake": "river or lake",
    "eForest": "forest",
    "fResident": "residential area",
    "gParking": "parking lot",
}
NASC_TG2 = {
    "beach": "beach",
    "circularfarmland": "circular farmland",
    "cloud": "cloud",
    "desert": "desert",
    "forest": "forest",
    "mountain": "mountain",
    "rectangularfarmland": "rectangular farmland",
    "residential": "residential area",
    "river": "river",
    "snowberg": "snowberg",
}
UCMERCED = {
    "agricultural": "agricultural land",
    "airplane": "airplane",
    "baseballdiamond": "baseball diamond",
    "beach": "beach",
    "buildings": "buildings",
    "chaparral": "chaparral",
    "denseresidential": "dense residential area",
    "forest": "forest",
    "freeway": "freeway",
    "golfcourse": "golf course",
    "harbor": "harbor",
    "intersection": "intersection",
    "mediumresidential": "medium residential area",
    "mobilehomepark": "mobile home park",
    "overpass": "overpass",
    "parkinglot": "parking lot",
    "river": "river",
    "runway": "runway",
    "sparseresidential": "sparse residential area",
    "storagetanks": "storage tanks",
    "tenniscourt": "tennis court",
}
WHURS19 = {
    "Airport": "airport",
    "Beach": "beach",
    "Bridge": "bridge",
    "Commercial": "commercial area",
    "Desert": "desert",
    "Farmland": "farmland",
    "Forest": "forest",
    "Industrial": "industrial area",
    "Meadow": "meadow",
    "Mountain": "mountain",
    "Park": "park",
    "Parking": "parking lot",
    "Pond": "pond",
    "Port": "port",
    "Residential": "residential area",
    "River": "river",
    "Viaduct": "viaduct",
    "footballField": "football field",
    "railwayStation": "railway station",
}


def spaced(folders) -> dict[str, str]:
    """Folders whose names need no more than spaces, and "area" behind kinds of residential."""
    names = ((f, f.replace("_", " ")) for f in folders)
    return {f: f"{name} area" if name.endswith("residential") else name for f, name in names}


RSICB128_CLASSES = sorted(" ".join(RSICB128.values()).split())

# Pools without an official split: where their class folders lie, what images they hold, and their classes.
POOLS: dict[str, tuple[str, str, dict[str, str]]] = {
    "kaggle_flower": ("kaggle_flower_recognition/flowers", "jpg", spaced(KAGGLE_FLOWER)),
    "kaggle_mushroom": ("kaggle_mushroom/Mushrooms", "jpg", spaced(KAGGLE_MUSHROOM)),
    "plant_seedling": (
        "PlantSeedlingV1/Nonsegmented",
        "png",
        {**spaced(PLANT_SEEDLING), "Shepherd\u2019s Purse": "Shepherd's Purse"},
    ),
    "plant_village": ("PlantVillage/Plant_leave_diseases_dataset_without_augmentation", "JPG", PLANT_VILLAGE),
    "aid": ("AID", "jpg", AID),
    "resisc45": ("NWPU-RESISC45", "jpg", spaced(RESISC45)),
    "optimal31": ("OPTIMAL-31/Images", "jpg", spaced(OPTIMAL31)),
    "rsicb128": ("RSI-CB128", "tif", {**spaced(RSICB128_CLASSES), **RSICB128_NAMES}),
    "rsscn7": ("RSSCN7", "jpg", RSSCN7),
    "nasc_tg2": ("NaSC-TG2", "jpg", NASC_TG2),
    "ucmerced": ("UCMerced_LandUse/Images", "tif", UCMERCED),
    "whurs19": ("WHU-RS19", "jpg", WHURS19),
}
SPLIT = {
    "fruit_vegetable": ("fruit_vegetable/images", "jpg", spaced(FRUIT_VEGETABLE)),
    "kaggle_vegetable": ("kaggle_vegetable/images", "jpg", spaced(KAGGLE_VEGETABLE)),
}
RELEASES = {**POOLS, **SPLIT}
GROUPS = {name: group for group, names in RSICB128.items() for name in names.split()}

# Fashion-20's class names come with its data; these stand for them, 78 in all, and one task has two-digit class ids.
FASHION_TASKS = (
    "pants type,pants length,waist type,collar type,sleeve type,sleeve length,top pattern,shoe material,shoe style,"
    "heel shape,heel thickness,heel height,upper height,toe cap style,hat style,socks length,socks type,skirt length,"
    "number of button rows,underwear style"
).split(",")
FASHION_SIZES = (12, 4, 3, 5, 4, 3, 6, 4, 5, 3, 2, 3, 3, 4, 5, 3, 2, 3, 2, 2)
FASHION_KINDS = (
    "pants pants pants tops tops tops tops " + "shoes " * 7 + "hat socks socks skirt tops underwear"
).split()


def fashion_names(task: int) -> list[str]:
    """Class names of a task, in the order of class ids; that is not the alphabetical one."""
    return [f"{FASHION_TASKS[task]} {chr(122 - i)}" for i in range(FASHION_SIZES[task])]


def fill(folder: Path, count: int, suffix: str, shared: Path) -> None:
    """Put ``count`` images into a folder. Their bytes are shared: 1593 classes take a second."""
    kind = suffix.lower()
    original = shared / f"image.{kind}"
    if not original.is_file():
        write_image(original)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        os.link(original, folder / f"{folder.name} ({i}).{suffix}")


def build(root: Path, name: str, count: int = 2) -> Path:
    """Write the miniature of a release below a data root; ``count`` images a class (and split). Returns where its class
    folders, or the folders of its split, lie."""
    if name == "fashion20":
        return build_fashion(root, count)
    shared = root.parent / f"{root.name} images"
    place, suffix, classes = RELEASES[name]
    for folder in classes:
        if name == "rsicb128":
            fill(root / place / GROUPS[folder] / folder, count, suffix, shared)
        elif name in SPLIT:
            for part, more in (("train", 2), ("validation", 0), ("test", 1)):
                fill(root / place / part / folder, count + more, suffix, shared)
        else:
            fill(root / place / folder, count, suffix, shared)
    return root / place


def build_fashion(root: Path, count: int = 2) -> Path:
    """Fashion-20's miniature: returns its folder of images."""
    folder = root / "fashion20"
    rows = ["\t".join(("task id", "task name", "task desc", "label name"))]
    for task, size in enumerate(FASHION_SIZES):
        rows.append(f"{task}\t{FASHION_TASKS[task]}\tWhich?\t{', '.join(fashion_names(task))}")
        for index in range(size):
            fill(folder / "images" / str(task) / str(index), count, "jpg", root.parent / f"{root.name} images")
    (folder / "task_info.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "images"
