"""JSON that others may have written or damaged."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """What the text says. Raises ValueError for what is no JSON, and for what is nested so deeply
    that Python would raise RecursionError, which nobody expects of a file.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply to be read") from error
