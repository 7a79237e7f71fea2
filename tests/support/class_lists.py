"""Class names of public data sets in their original releases, in label order."""

from __future__ import annotations

DTD = """
banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline dotted fibrous flecked freckled
frilly gauzy grid grooved honeycombed interlaced knitted lacelike lined marbled matted meshed paisley perforated pitted
pleated polka-dotted porous potholed scaly smeared spiralled sprinkled stained stratified striped studded swirly veined
waffled woven wrinkled zigzagged
""".split()

# Class folders, with the two that the literature excludes.
CALTECH101 = """
BACKGROUND_Google Faces Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver binocular
bonsai brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier cougar_body
cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill dolphin dragonfly electric_guitar elephant
emu euphonium ewer ferry flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone hedgehog
helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster lotus mandolin mayfly menorah
metronome minaret nautilus octopus okapi pagoda panda pigeon pizza platypus pyramid revolver rhino rooster saxophone
schooner scissors scorpion sea_horse snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry sunflower tick
trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench yin_yang
""".split()

FOOD101 = """
apple_pie baby_back_ribs baklava beef_carpaccio beef_tartare beet_salad beignets bibimbap bread_pudding
breakfast_burrito bruschetta caesar_salad cannoli caprese_salad carrot_cake ceviche cheese_plate cheesecake
chicken_curry chicken_quesadilla chicken_wings chocolate_cake chocolate_mousse churros clam_chowder club_sandwich
crab_cakes creme_brulee croque_madame cup_cakes deviled_eggs donuts dumplings edamame eggs_benedict escargots falafel
filet_mignon fish_and_chips foie_gras french_fries french_onion_soup french_toast fried_calamari fried_rice
frozen_yogurt garlic_bread gnocchi greek_salad grilled_cheese_sandwich grilled_salmon guacamole gyoza hamburger
hot_and_sour_soup hot_dog huevos_rancheros hummus ice_cream lasagna lobster_bisque lobster_roll_sandwich
macaroni_and_cheese macarons miso_soup mussels nachos omelette onion_rings oysters pad_thai paella pancakes panna_cotta
peking_duck pho pizza pork_chop poutine prime_rib pulled_pork_sandwich ramen ravioli red_velvet_cake risotto samosa
sashimi scallops seaweed_salad shrimp_and_grits spaghetti_bolognese spaghetti_carbonara spring_rolls steak
strawberry_shortcake sushi tacos takoyaki tiramisu tuna_tartare waffles
""".split()

# In the order of the release's numbers, which is alphabetical and ignores case.
OXFORD_PETS = """
Abyssinian american_bulldog american_pit_bull_terrier basset_hound beagle Bengal Birman Bombay boxer British_Shorthair
chihuahua Egyptian_Mau english_cocker_spaniel english_setter german_shorthaired great_pyrenees havanese japanese_chin
keeshond leonberger Maine_Coon miniature_pinscher newfoundland Persian pomeranian pug Ragdoll Russian_Blue saint_bernard
samoyed scottish_terrier shiba_inu Siamese Sphynx staffordshire_bull_terrier wheaten_terrier yorkshire_terrier
""".split()

AIRCRAFT = """
707-320,727-200,737-200,737-300,737-400,737-500,737-600,737-700,737-800,737-900,747-100,747-200,747-300,747-400,757-200,
757-300,767-200,767-300,767-400,777-200,777-300,A300B4,A310,A318,A319,A320,A321,A330-200,A330-300,A340-200,A340-300,
A340-500,A340-600,A380,ATR-42,ATR-72,An-12,BAE 146-200,BAE 146-300,BAE-125,Beechcraft 1900,Boeing 717,C-130,C-47,
CRJ-200,CRJ-700,CRJ-900,Cessna 172,Cessna 208,Cessna 525,Cessna 560,Challenger 600,DC-10,DC-3,DC-6,DC-8,DC-9-30,DH-82,
DHC-1,DHC-6,DHC-8-100,DHC-8-300,DR-400,Dornier 328,E-170,E-190,E-195,EMB-120,ERJ 135,ERJ 145,Embraer Legacy 600,
Eurofighter Typhoon,F-16A/B,F/A-18,Falcon 2000,Falcon 900,Fokker 100,Fokker 50,Fokker 70,Global Express,Gulfstream IV,
Gulfstream V,Hawk T1,Il-76,L-1011,MD-11,MD-80,MD-87,MD-90,Metroliner,Model B200,PA-28,SR-20,Saab 2000,Saab 340,Spitfire,
Tornado,Tu-134,Tu-154,Yak-42
""".strip().replace("\n", "").split(",")  # fmt: skip

UCF101 = """
ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk
BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag
BreastStroke BrushingTeeth CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming Fencing
FieldHockeyPenalty FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow HandstandPushups
HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow JugglingBalls JumpingJack
JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing MoppingFloor Nunchucks ParallelBars PizzaTossing
PlayingCello PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar PlayingTabla PlayingViolin
PoleVault PommelHorse PullUps Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing SalsaSpin ShavingBeard
Shotput SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings SumoWrestling Surfing Swing
TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars VolleyballSpiking WalkingWithDog
WallPushups WritingOnBoard YoYo
""".split()

FLOWERS = """
pink primrose,hard-leaved pocket orchid,canterbury bells,sweet pea,english marigold,tiger lily,moon orchid,
bird of paradise,monkshood,globe thistle,snapdragon,colt's foot,king protea,spear thistle,yellow iris,globe-flower,
purple coneflower,peruvian lily,balloon flower,giant white arum lily,fire lily,pincushion flower,fritillary,red ginger,
grape hyacinth,corn poppy,prince of wales feathers,stemless gentian,artichoke,sweet william,carnation,garden phlox,
love in the mist,mexican aster,alpine sea holly,ruby-lipped cattleya,cape flower,great masterwort,siam tulip,
lenten rose,barbeton daisy,daffodil,sword lily,poinsettia,bolero deep blue,wallflower,marigold,buttercup,oxeye daisy,
common dandelion,petunia,wild pansy,primula,sunflower,pelargonium,bishop of llandaff,gaura,geranium,orange dahlia,
pink-yellow dahlia,cautleya spicata,japanese anemone,black-eyed susan,silverbush,californian poppy,osteospermum,
spring crocus,bearded iris,windflower,tree poppy,gazania,azalea,water lily,rose,thorn apple,morning glory,
passion flower,lotus,toad lily,anthurium,frangipani,clematis,hibiscus,columbine,desert-rose,tree mallow,magnolia,
cyclamen,watercress,canna lily,hippeastrum,bee balm,ball moss,foxglove,bougainvillea,camellia,mallow,mexican petunia,
bromelia,blanket flower,trumpet creeper,blackberry lily
""".strip().replace("\n", "").split(",")  # fmt: skip

# Plants and remote sensing: class folders in alphabetical order, with their names in prompts where these differ.
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
    "Corn___Cercospora_leaf_spot Gray_leaf_spot": "corn leaf with cercospora leaf spot or gray leaf spot",
    "Corn___Common_rust": "corn leaf with common rust",
    "Corn___Northern_Leaf_Blight": "corn leaf with northern leaf blight",
    "Corn___healthy": "healthy corn leaf",
    "Grape___Black_rot": "grape leaf with black rot",
    "Grape___Esca_(Black_Measles)": "grape leaf with black measles",
    "Grape___Leaf_blight_(Isariopsis_Leaf_Spot)": "grape leaf with leaf blight",
    "Grape___healthy": "healthy grape leaf",
    "Orange___Haunglongbing_(Citrus_greening)": "orange leaf with citrus greening disease",
    "Peach___Bacterial_spot": "peach leaf with bacterial spot",
    "Peach___healthy": "healthy peach leaf",
    "Pepper,_bell___Bacterial_spot": "pepper with bacterial spot",
    "Pepper,_bell___healthy": "healthy pepper leaf",
    "Potato___Early_blight": "potato leaf with early blight",
    "Potato___Late_blight": "potato leaf with late blight",
    "Potato___healthy": "healthy potato leaf",
    "Raspberry___healthy": "healthy raspberry leaf",
    "Soybean___healthy": "healthy soybean leaf",
    "Squash___Powdery_mildew": "squash with powdery mildew",
    "Strawberry___Leaf_scorch": "strawberry leaf with scorch disease",
    "Strawberry___healthy": "healthy strawberry leaf",
    "Tomato___Bacterial_spot": "tomato leaf with bacterial spot",
    "Tomato___Early_blight": "tomato leaf with early blight",
    "Tomato___Late_blight": "tomato leaf with late blight",
    "Tomato___Leaf_Mold": "tomato leaf with mold",
    "Tomato___Septoria_leaf_spot": "tomato leaf with septoria leaf spot",
    "Tomato___Spider_mites Two-spotted_spider_mite": "tomato leaf with spider mites or two-spotted spider mite",
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

# Fashion-20's class names come with its data, so these are made up: 78 in total, and one task has two-digit class ids.
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
    """Class names of a task in the order of class ids, which is not alphabetical."""
    return [f"{FASHION_TASKS[task]} {chr(122 - i)}" for i in range(FASHION_SIZES[task])]
