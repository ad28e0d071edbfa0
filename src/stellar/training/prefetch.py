"""Making the next step's views while a GPU is at this one."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetch(Iterator[Item], Generic[Item]):
    """An iterator whose next item can be made before it is asked for. An error in making it is
    raised only when it is asked for, so that the step that is under way comes to its end.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.items, self.made = iter(items), []
        self.failure: Exception | None = None

    def make(self) -> None:
        """Make the next item now, if there is one."""
        if self.made or self.failure is not None:
            return
        try:
            self.made = list(islice(self.items, 1))
        except Exception as failure:  # of any kind: whoever asks for the item gets it
            self.failure = failure

    def __next__(self) -> Item:
        self.make()
        if self.failure is not None:
            raise self.failure
        if not self.made:
            raise StopIteration
        return self.made.pop()
