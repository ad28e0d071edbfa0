"""Errors that are meant for users: one sentence that says what was expected, what came, and what
to do.
"""


class UserError(ValueError):
    """Base of every such error; the command line prints its message and exits with 1."""


class MissingPackage(UserError, ImportError):
    """An optional package is needed; the message says how to install it."""


class FailedElsewhere(UserError):
    """Another process of the same run failed; the message says which, and why if it could tell."""


class Interrupted(UserError):
    """Ctrl-C or SIGTERM ended what the same call goes on with, as a training with a checkpoint."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; the name of its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
