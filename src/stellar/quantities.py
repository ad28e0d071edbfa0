"""Numbers as people read and type them."""


def counted(count: int, noun: str) -> str:
    """1 step, 2,000 steps."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def digits(value: int | float) -> str:
    """Three of them, or a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def scaled(value: int | float, unit: str = "") -> str:
    """Three digits and a prefix: 1.28 M, 671 GFLOP."""
    prefixes = ["", "k", "M", "G", "T", "P", "E", "Z"]
    power = 0
    while abs(value) >= 999.5 and power < len(prefixes) - 1:
        value, power = value / 1000, power + 1
    return f"{digits(value)} {prefixes[power]}{unit}".strip()


def whole_number(text: str) -> int | None:
    """What plain digits say, 18 at most; None for anything else. Of more than 4,300 Python raises,
    and there are digits of which `int` knows nothing.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
