"""Draws Garden-8's pictures of flowers from a seed, with plain Python, NumPy and Pillow."""

from .collection import garden_scene as garden_scene
from .collection import write_collection as write_collection
from .draw import attributes as attributes
from .draw import draw as draw
from .scene import Scene as Scene
from .scene import random_scene as random_scene
from .tasks import COMMON_STYLES as COMMON_STYLES
from .tasks import RARE_STYLES as RARE_STYLES
from .tasks import STYLES as STYLES
from .tasks import TASKS as TASKS
from .tasks import DrawnTask as DrawnTask
