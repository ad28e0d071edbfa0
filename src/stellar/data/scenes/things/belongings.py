"""House, car, boat, balloon, umbrella, teapot and ice cream."""

from numpy.random import Generator

from stellar.data.scenes.sketch import Part, Sketch, arc, symmetric

MAIN, DEEP, DARK, LIGHT = Part.MAIN, Part.DEEP, Part.DARK, Part.LIGHT


def house(rng: Generator) -> Sketch:
    sketch = Sketch()
    wall, eaves, top = rng.uniform(0.6, 0.78), rng.uniform(-0.25, 0), rng.uniform(-0.95, -0.8)
    ridge, door = rng.choice((0.0, 0.3)), rng.choice((-0.5, 0.0, 0.5))
    sketch.box(DARK, 0.35, top - 0.08, 0.58, -0.1)
    sketch.box(MAIN, -wall, eaves - 0.1, wall, 0.95)
    sketch.polygon(DEEP, symmetric([(ridge, top), (wall + 0.22, eaves)]))
    sketch.box(Part.WOOD, wall * door - 0.17, 0.4, wall * door + 0.17, 0.95)
    for place in (-0.5, 0.5):
        if place != door:
            sketch.box(Part.GLASS, wall * place - 0.17, 0.18, wall * place + 0.17, 0.54)
    sketch.ellipse(Part.GLASS, 0, eaves - 0.28, 0.14)
    return sketch


def car(rng: Generator) -> Sketch:
    sketch = Sketch()
    roof, back, front = rng.uniform(-0.72, -0.56), rng.uniform(-0.72, -0.5), rng.uniform(0.25, 0.45)
    wheel = rng.uniform(0.25, 0.3)
    top = [(back, roof + 0.1), (0, roof - 0.05), (front, roof + 0.15)]
    sketch.blob(MAIN, [(back - 0.18, 0.1), *top, (0.65, 0.1)])
    sketch.box(MAIN, -0.98, -0.1, 0.98, 0.5, 0.22)
    for left, slant, right, end in ((back, 0.14, -0.12, 0), (0.02, 0, front, 0.12)):
        low, high = -0.06, roof + 0.18
        sketch.polygon(
            Part.GLASS,
            [(left, low), (left + slant, high), (right - 0.5 * end, high), (right + end, low)],
        )
    sketch.ellipse(Part.STRAW, 0.88, 0.1, 0.1)
    for x in (-0.52, 0.52):
        sketch.ellipse(Part.INK, x, 0.48, wheel)
        sketch.ellipse(Part.STEEL, x, 0.48, 0.12)
    return sketch


def boat(rng: Generator) -> Sketch:
    sketch = Sketch()
    sail, jib, bow = rng.uniform(0.7, 0.92), rng.uniform(-0.9, -0.5), rng.uniform(0.85, 1)
    sketch.stroke(Part.WOOD, [(0, -0.96), (0, 0.5)], 0.1)
    sketch.polygon(MAIN, [(0.09, -0.94), (0.09 + sail, 0.33), (0.09, 0.33)])
    sketch.polygon(LIGHT, [(-0.09, jib), (-0.09, 0.33), (0.15 - sail, 0.33)])
    sketch.polygon(DEEP, [(-bow, 0.42), (bow, 0.42), (bow - 0.3, 0.92), (0.3 - bow, 0.92)])
    sketch.polygon(Part.WHITE, [(-bow, 0.42), (bow, 0.42), (bow - 0.08, 0.56), (0.08 - bow, 0.56)])
    return sketch


def balloon(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, low, band = rng.uniform(0.68, 0.82), rng.uniform(0.35, 0.5), rng.uniform(0.5, 0.62)
    for side in (-1, 1):
        sketch.stroke(Part.WOOD, [(0.3 * side, 0.3), (0.18 * side, 0.75)], 0.07)
    half = [(0, -1), (0.45, -0.88), (wide, -0.35), (0.8 * wide, 0.1), (0.25, low)]
    outline = symmetric(half)
    sketch.blob(MAIN, outline)
    sketch.blob(LIGHT, [(band * x, y) for x, y in outline], on=MAIN)
    sketch.blob(MAIN, [(0.22 * x, y) for x, y in outline])
    sketch.box(Part.WOOD, -0.24, 0.68, 0.24, 1, 0.06)
    return sketch


def umbrella(rng: Generator) -> Sketch:
    sketch = Sketch()
    high, edge, num_panels = rng.uniform(-0.95, -0.8), rng.uniform(0.12, 0.25), rng.integers(3, 6)
    sketch.stroke(Part.WOOD, [(0, high - 0.1), (0, 0)], 0.1)
    hook = [(0.1, 0.88), (0.28, 0.86), (0.34, 0.7)]
    sketch.stroke(Part.WOOD, [(0, 0), (0, 0.72), *hook], 0.14)
    half = [(0, high), (0.5, 0.75 * high), (0.85, 0.25 * high), (0.98, edge), (0, edge)]
    sketch.blob(MAIN, symmetric(half))
    for panel in range(1, num_panels, 2):
        left, right = (1.1 * (2 * side / num_panels - 1) for side in (panel, panel + 1))
        sketch.polygon(DEEP, [(0, high), (right, edge + 0.1), (left, edge + 0.1)], on=MAIN)
    return sketch


def teapot(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, tall, spout = rng.uniform(0.54, 0.64), rng.uniform(0.54, 0.66), rng.uniform(-0.5, -0.35)
    sketch.stroke(DEEP, arc(-0.5, 0.2, 0.44, 0.38, 80, 280, 4), 0.18)
    points = [(0.4, 0), (0.66, -0.05), (0.76, spout), (1.02, spout), (0.92, 0.15), (0.5, 0.55)]
    sketch.polygon(MAIN, points)
    sketch.ellipse(DEEP, 0, -0.02 - tall, 0.15)
    sketch.box(DEEP, -0.35, 0.6, 0.35, 0.34 + tall, 0.06)
    sketch.ellipse(MAIN, 0, 0.25, wide, tall)
    if rng.integers(2):
        sketch.stroke(LIGHT, [(-0.8, 0.18), (0, 0.34), (0.8, 0.18)], 0.2, on=MAIN)
    else:
        for x in (-0.3, 0, 0.3):
            sketch.ellipse(LIGHT, x, 0.3, 0.11)
    sketch.ellipse(DEEP, 0, 0.29 - tall, 0.38, 0.2)
    return sketch


def ice_cream(rng: Generator) -> Sketch:
    sketch = Sketch()
    wide, tip, scoop = rng.uniform(0.5, 0.6), rng.uniform(0.75, 0.95), rng.uniform(0.44, 0.52)
    sketch.polygon(Part.STRAW, [(-wide, 0.1), (wide, 0.1), (0.08, tip), (-0.08, tip)])
    for side in (-1, 1):
        sketch.stroke(Part.WOOD, [(0.3 * side, 0), (-0.2 * side, tip)], 0.05, on=Part.STRAW)
    sketch.ellipse(DEEP, 0, 0, wide + 0.12, 0.28)
    sketch.ellipse(MAIN, 0, -0.3, wide + 0.08, scoop)
    sketch.ellipse(LIGHT, -0.22, -0.42, 0.12, 0.17, 20)
    sketch.ellipse(Part.ROSE, rng.uniform(-0.15, 0.2), -0.82, 0.17)
    return sketch
