"""Tree, flower, mushroom and apple."""

import math

from numpy.random import Generator

from stellar.data.scenes.sketch import Part, Sketch, symmetric

MAIN, DEEP, LIGHT = Part.MAIN, Part.DEEP, Part.LIGHT


def tree(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, trunk = rng.uniform(0.36, 0.52), rng.uniform(0.13, 0.19)
    sketch.polygon(Part.WOOD, symmetric([(0.8 * trunk, 0), (1.3 * trunk, 1)]))
    for x, y in ((-1, 0.05), (1, 0.05), (-0.7, -0.4), (0.7, -0.4), (0, -0.55), (0, 0.1)):
        sketch.ellipse(MAIN, wide * x + rng.uniform(-0.05, 0.05), y, rng.uniform(0.36, 0.46))
    sketch.ellipse(LIGHT, 0.3 * wide, -0.6, 0.22, 0.15, on=MAIN)
    for x, y in ((-0.38, 0.1), (0.32, -0.02), (-0.2, -0.35), (0.08, 0.28)):
        x += rng.uniform(-0.08, 0.08)
        sketch.stroke(DEEP, [(x - 0.11, y), (x, y + 0.07), (x + 0.11, y)], 0.09)
    return sketch


def flower(rng: Generator) -> Sketch:
    sketch = Sketch()
    num_petals, first = int(rng.integers(5, 9)), rng.uniform(0, 360)
    leaf, heart = rng.uniform(0.5, 0.75), rng.uniform(0.24, 0.3)
    sketch.stroke(Part.LEAF, [(0, -0.2), (0.05, 0.5), (0, 0.95)], 0.15)
    for side in (-1, 1):
        points = [(0, 0.88), (0.2, leaf - 0.05), (0.6, leaf - 0.1), (0.4, 0.86)]
        sketch.blob(Part.LEAF, [(x * side, y) for x, y in points])
    for petal in range(num_petals):
        angle = 360 * petal / num_petals + first
        x, y = 0.42 * math.cos(math.radians(angle)), 0.42 * math.sin(math.radians(angle)) - 0.32
        across = 1.5 / num_petals + 0.05
        sketch.ellipse(DEEP, x, y, 0.32, across, angle)
        sketch.ellipse(MAIN, x, y, 0.28, across - 0.05, angle)
    sketch.ellipse(Part.WOOD, 0, -0.32, heart)
    sketch.ellipse(Part.STRAW, 0, -0.32, heart - 0.09)
    return sketch


def mushroom(rng: Generator) -> Sketch:
    sketch = Sketch()
    high, stem, brim = rng.uniform(0.75, 0.95), rng.uniform(0.22, 0.32), rng.uniform(0.1, 0.22)
    sketch.blob(Part.CREAM, symmetric([(stem, 0), (1.25 * stem, 0.8), (0.8 * stem, 0.95)]))
    half = [(0, -high), (0.4, -0.85 * high), (0.8, -0.4 * high), (0.96, brim), (0.4, 0.3)]
    sketch.blob(MAIN, symmetric(half))
    for x, y, spot in (
        (-0.05, -0.48, 0.2),
        (0.5, -0.18, 0.16),
        (-0.5, -0.1, 0.18),
        (0.08, 0.06, 0.13),
    ):
        x += rng.uniform(-0.1, 0.1)
        sketch.ellipse(Part.WHITE, x, y, spot + rng.uniform(-0.02, 0.03), on=MAIN)
    return sketch


def apple(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, tip, lean = rng.uniform(0.8, 0.94), rng.uniform(0.5, 0.65), rng.uniform(-0.1, 0.15)
    side = [(0.42, -0.55), (wide, -0.18), (0.9 * wide, 0.34), (0.56, 0.75), (0.24, 0.9)]
    sketch.blob(MAIN, symmetric([(0, -0.38), *side, (0, 0.87)]))
    sketch.ellipse(LIGHT, 0.48 - wide, -0.05, 0.13, 0.24, 20)
    sketch.stroke(Part.WOOD, [(0, -0.35), (0.02, -0.7), (lean, -0.95)], 0.13)
    sketch.blob(Part.LEAF, [(0.08, -0.6), (0.3, -0.92), (tip, -0.85), (0.35, -0.6)])
    return sketch
