"""The kinds of things that scenes show: how each is drawn, and in which four colours it comes."""

from collections.abc import Callable

from numpy.random import Generator

from stellar.data.scenes.sketch import Sketch
from stellar.data.scenes.things.animals import bird, butterfly, cat, fish, snail
from stellar.data.scenes.things.belongings import (
    balloon,
    boat,
    car,
    house,
    ice_cream,
    teapot,
    umbrella,
)
from stellar.data.scenes.things.plants import apple, flower, mushroom, tree

THINGS: dict[str, tuple[Callable[[Generator], Sketch], tuple[str, str, str, str]]] = {
    "fish": (fish, ("orange", "yellow", "teal", "blue")),
    "bird": (bird, ("red", "yellow", "teal", "blue")),
    "butterfly": (butterfly, ("orange", "blue", "purple", "pink")),
    "snail": (snail, ("orange", "green", "purple", "pink")),
    "cat": (cat, ("orange", "yellow", "purple", "pink")),
    "tree": (tree, ("orange", "yellow", "green", "teal")),
    "flower": (flower, ("red", "yellow", "purple", "pink")),
    "mushroom": (mushroom, ("red", "orange", "purple", "pink")),
    "apple": (apple, ("red", "orange", "yellow", "green")),
    "house": (house, ("red", "yellow", "teal", "blue")),
    "car": (car, ("red", "green", "teal", "blue")),
    "boat": (boat, ("red", "yellow", "green", "blue")),
    "balloon": (balloon, ("red", "teal", "purple", "pink")),
    "umbrella": (umbrella, ("green", "blue", "purple", "pink")),
    "teapot": (teapot, ("green", "teal", "blue", "purple")),
    "ice cream": (ice_cream, ("orange", "green", "teal", "pink")),
}
"""Every colour belongs to half of the kinds."""
