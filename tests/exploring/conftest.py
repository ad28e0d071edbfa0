"""A page's server at work, and a visitor who was let in."""

import threading
from collections.abc import Iterator

import pytest
from visiting import Visitor

import stellar
from stellar.data import open_embedded
from stellar.exploring import Gallery, Server, Workbench
from stellar.exploring.workbench import Named

NUM_SCENES = 40


@pytest.fixture(scope="session")
def workbench() -> Iterator[Workbench]:
    """The model and the scenes that come along; they stay as they are."""
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SCENES)
    workbench = Workbench([Named("stellar-scenes", model)], Gallery(scenes, "scenes"))
    yield workbench
    workbench.close()


@pytest.fixture(scope="session")
def address(workbench: Workbench) -> Iterator[str]:
    """Of a server that answers."""
    pytest.importorskip("uvicorn")
    server = Server(workbench, port=0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.address
    server.stop()
    thread.join()


@pytest.fixture
def visitor(address: str) -> Visitor:
    return Visitor(address).let_in()
