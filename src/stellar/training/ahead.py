"""Making the next step's views while a GPU is at this one."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Iterator[Item], Generic[Item]):
    """An iterator whose next item can be made before it is asked for."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items, self.made = iter(items), []

    def make(self) -> None:
        """Make the next item now, if there is one."""
        if not self.made:
            self.made = list(islice(self.items, 1))

    def __next__(self) -> Item:
        self.make()
        if not self.made:
            raise StopIteration
        return self.made.pop()
