"""Embedding on a Ray cluster: the cores of all machines read and decode; a few actors, each with
its GPU, encode and write.

A row that travels through Ray Data is a whole part: first its number, then its pictures, then the
number again once its file is there. The files are those of the other engines, on a disk that all
machines share, so what is done stays done when the cluster dies.
"""

import pickle
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from stellar.config import Fit, check_count
from stellar.data.folder import Stamped
from stellar.data.picture_batches import picture_batches
from stellar.data.sources import open_source, whole_path
from stellar.embedding.beginning import open_parts
from stellar.embedding.embedder import Embedder
from stellar.embedding.finishing import EmbedResult, finish
from stellar.embedding.parts import PART_SIZE, Parts
from stellar.errors import MissingPackage
from stellar.model import Stellar
from stellar.precision import choose_device
from stellar.storage import at_home

Row = dict[str, Any]


def embed_on_ray(
    model: Stellar,
    folder: str | Path,
    out: str | Path,
    batch_size: int = 64,
    num_encoders: int = 1,
    gpus_each: float = 1,
    fit: Fit = "crop",
    part_size: int = PART_SIZE,
    tokens: int | None = None,
) -> EmbedResult:
    """As `embed`, on the cluster that `ray.init` joined, or else on this machine.

    `num_encoders` actors hold copies of the model, with `gpus_each` GPUs; 0 encodes on CPUs. Raises
    as `embed` does, and MissingPackage without Ray.
    """
    check_count(batch_size, "batch_size")
    check_count(part_size, "part_size")
    check_count(num_encoders, "num_encoders")
    ray = the_package()
    embedder = Embedder(deepcopy(model).cpu(), fit, tokens)
    source = open_source(whole_path(str(folder)), model.config.in_chans)
    parts = open_parts(Path(at_home(out)).resolve(), source, embedder, part_size)
    if missing := parts.missing():
        embedded = ray.put(embedder)
        # Parts that take rows over are looked at here, where those of the whole earlier embedding
        # are in memory; others by the tasks.
        numbers = [
            {
                "number": number,
                "part": pickle.dumps(parts.earlier and parts.look_at(number, source)),
            }
            for number in missing
        ]
        rows: Any = ray.data.from_items(numbers, override_num_blocks=len(numbers))
        reading = {
            "parts": ray.put(replace(parts, earlier=None)),
            "embedder": embedded,
            "source": ray.put(source),
            "batch_size": batch_size,
        }
        rows = rows.map(_read, fn_kwargs=reading)
        encoders = ray.data.ActorPoolStrategy(size=num_encoders)
        rows.map(
            _Encoder,
            fn_constructor_kwargs={"parts": ray.put(parts), "embedder": embedded},
            compute=encoders,
            num_gpus=gpus_each,
        ).materialize()
    return finish(parts)


def the_package() -> Any:
    """Ray. Raises MissingPackage where it is not installed."""
    try:
        import_module("ray.data")
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "embedding on a cluster needs Ray: pip install 'stellar-vision[ray]'"
        ) from error


def _read(row: Row, parts: Any, embedder: Any, source: Any, batch_size: int) -> Row:
    """The pictures of a part, with their paths; names and reasons of those that it lacks."""
    ray = the_package()
    where: Parts = ray.get(parts)
    pictures: Stamped = ray.get(source)
    encoder: Embedder = ray.get(embedder)
    part = pickle.loads(row["part"]) or where.look_at(row["number"], pictures)
    batches = [
        (batch.indices, batch.images, batch.unreadable)
        for batch in picture_batches(
            pictures, part.to_encode, encoder.fit, encoder.model.config, batch_size
        )
    ]
    return {"number": row["number"], "pictures": pickle.dumps((part, batches))}


class _Encoder:
    """An actor that holds the model: the pictures of a part become its file."""

    def __init__(self, parts: Any, embedder: Any) -> None:
        ray = the_package()
        self.parts: Parts = ray.get(parts)
        self.embedder: Embedder = ray.get(embedder)
        self.embedder.model.to(choose_device("auto"))

    def __call__(self, row: Row) -> Row:
        part, batches = pickle.loads(row["pictures"])
        rows = [
            (indices, self.embedder(part.names_of(indices), images))
            for indices, images, _ in batches
            if indices
        ]
        self.parts.write(part, rows, [left_out for *_, some in batches for left_out in some])
        return {"number": row["number"]}
