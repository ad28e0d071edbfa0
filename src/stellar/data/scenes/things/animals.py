"""Fish, bird, butterfly, snail and cat. They look to the right."""

import math

from numpy.random import Generator

from stellar.data.scenes.sketch import Part, Sketch

MAIN, DEEP, DARK, LIGHT = Part.MAIN, Part.DEEP, Part.DARK, Part.LIGHT


def fish(rng: Generator) -> Sketch:
    sketch = Sketch()
    tall, tail, fin = rng.uniform(0.54, 0.7), rng.uniform(0.5, 0.66), rng.uniform(0.12, 0.28)
    sketch.blob(DEEP, [(-0.4, 0), (-0.98, -tail), (-0.8, 0), (-0.98, tail)])
    back = [(-0.25, -0.8 * tall), (0, -tall - fin), (0.3, -tall - 0.3 * fin), (0.5, -0.5 * tall)]
    sketch.blob(DEEP, back)
    half = [(-0.2, -0.82 * tall), (0.3, -tall), (0.8, -0.6 * tall)]
    sketch.blob(MAIN, [(-0.6, 0), *half, (1, 0), *((x, -y) for x, y in half[::-1])])
    for place in range(int(rng.integers(0, 3))):
        x = -0.28 + 0.3 * place
        sketch.stroke(LIGHT, [(x, -1), (x + 0.14, 0), (x, 1)], 0.14, on=MAIN)
    sketch.blob(DEEP, [(0.2, 0.05), (-0.2, 0.1), (-0.1, 0.35), (0.15, 0.25)])
    sketch.eye(0.6, -0.3 * tall, rng.uniform(0.15, 0.2))
    sketch.stroke(DARK, [(0.56, 0.2), (0.7, 0.28), (0.85, 0.2)], 0.07)
    return sketch


def bird(rng: Generator) -> Sketch:
    sketch = Sketch()
    plump, tail, wing = rng.uniform(0.52, 0.64), rng.uniform(-0.5, 0), rng.uniform(0.2, 0.45)
    for x in (-0.1, 0.2):
        sketch.stroke(Part.WOOD, [(x, 0.5), (x, 0.92), (x + 0.16, 0.95)], 0.1)
    for feather in range(int(rng.integers(0, 3))):
        x = 0.3 - 0.12 * feather
        sketch.stroke(DEEP, [(x, -0.7), (x - 0.08, -0.95 + 0.05 * feather)], 0.12)
    sketch.polygon(DEEP, [(-0.3, -0.15), (-1, tail - 0.1), (-0.95, tail + 0.3), (-0.3, 0.4)])
    sketch.polygon(Part.STRAW, [(0.62, -0.62), (1.02, -0.42), (0.62, -0.22)])
    sketch.ellipse(MAIN, 0, 0.15, 0.62, plump, 10)
    sketch.ellipse(MAIN, 0.35, -0.4, 0.42)
    sketch.ellipse(LIGHT, 0.38, 0.25, 0.3, 0.36, 20, on=MAIN)
    sketch.blob(DEEP, [(0.2, -0.05), (-0.3, -0.15), (-0.65, wing), (-0.1, 0.42)])
    sketch.eye(0.45, -0.47, rng.uniform(0.13, 0.17))
    return sketch


def butterfly(rng: Generator) -> Sketch:
    sketch = Sketch()
    high, low = rng.uniform(0.42, 0.54), rng.uniform(0.32, 0.44)
    lean, spot = rng.uniform(25, 45), rng.uniform(0.12, 0.2)
    for side in (-1, 1):
        sketch.stroke(Part.INK, [(0, -0.5), (0.12 * side, -0.75), (0.32 * side, -0.92)], 0.09)
        sketch.ellipse(DEEP, 0.42 * side, 0.42, low, 0.36, 40 * side)
        sketch.ellipse(MAIN, 0.52 * side, -0.27, 0.52, high, -lean * side)
        sketch.ellipse(LIGHT, 0.62 * side, -0.33, spot)
        sketch.ellipse(LIGHT, 0.46 * side, 0.45, 0.7 * spot)
    sketch.ellipse(Part.INK, 0, 0.02, 0.11, 0.62)
    return sketch


def snail(rng: Generator) -> Sketch:
    sketch = Sketch()
    shell, reach, horn = rng.uniform(0.56, 0.68), rng.uniform(0.8, 0.95), rng.uniform(-0.5, -0.3)
    for x in (reach - 0.24, reach + 0.02):
        sketch.stroke(Part.CREAM, [(reach - 0.12, 0.1), (x, horn)], 0.1)
        sketch.ellipse(Part.INK, x, horn, 0.09)
    neck = [(reach - 0.25, 0), (reach + 0.02, -0.05), (reach + 0.06, 0.25), (0.75, 0.75)]
    sketch.blob(Part.CREAM, [(-1, 0.82), (-0.4, 0.5), (0.4, 0.5), *neck, (0.4, 0.85)])
    sketch.ellipse(MAIN, -0.15, 0, 1.1 * shell, shell)
    spiral = []
    for step in range(12):
        angle, radius = math.radians(30 - 60 * step), 0.8 * shell * (1 - step / 12)
        spiral.append((radius * math.cos(angle) - 0.15, radius * math.sin(angle)))
    sketch.stroke(DARK, spiral, 0.1)
    return sketch


def cat(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, low, ear = rng.uniform(0.8, 0.96), rng.uniform(0.62, 0.74), rng.uniform(0.8, 1)
    eye, apart = rng.uniform(0.16, 0.2), rng.uniform(0.36, 0.44)
    for side in (-1, 1):
        sketch.polygon(MAIN, [(0.85 * side, 0), (0.75 * side, -ear), (0.1 * side, -0.5)])
        inner = [(0.74 * side, -0.25), (0.67 * side, 0.22 - ear), (0.3 * side, -0.46)]
        sketch.polygon(Part.ROSE, inner)
    sketch.ellipse(MAIN, 0, 0.15, wide, low)
    for x in (-0.22, 0, 0.22)[:: int(rng.integers(1, 3))]:
        sketch.stroke(DEEP, [(x, -0.7), (0.8 * x, -0.25)], 0.11, on=MAIN)
    for side in (-1, 1):
        sketch.ellipse(LIGHT, 0.17 * side, 0.46, 0.25, 0.2)
        sketch.ellipse(Part.WHITE, apart * side, 0.05, eye, 1.1 * eye)
        sketch.ellipse(Part.INK, apart * side + 0.02, 0.05, 0.62 * eye, 0.9 * eye)
        sketch.stroke(DARK, [(0.52 * side, 0.4), (0.98 * side, 0.3)], 0.05)
    sketch.stroke(DARK, [(-0.2, 0.5), (0, 0.58), (0.2, 0.5)], 0.06)
    sketch.polygon(Part.INK, [(-0.13, 0.26), (0.13, 0.26), (0, 0.42)])
    return sketch
