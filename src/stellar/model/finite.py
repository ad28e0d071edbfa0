"""What a model says of pictures is made of finite numbers, or is refused before it is used."""

from collections.abc import Callable

import numpy as np

from stellar.errors import UserError


def check_finite(what: str, values: np.ndarray, name_of: Callable[[int], str]) -> None:
    """Raises UserError where `values`, a model's `what` of some pictures with a row for each, are
    not finite; `name_of` names the picture of a row.
    """
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        precision = " in half precision" if values.dtype == np.float16 else ""
        raise UserError(
            f"what a model says of {name_of(int(finite.argmin()))}, its {what}, is not "
            f"finite{precision}; its weights are damaged, or it was trained until it diverged"
        )
