"""The page for everybody: a folder of files that a Hugging Face Space, or any machine with Docker,
starts.

It holds the model, some pictures, and an app file. Nobody needs a token there, and what visitors
bring along is seen by themselves alone.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stellar.config import Fit
from stellar.data import EMBEDDED, ImageFolder, ImageSource, Scenes, open_embedded
from stellar.data.embedded import name_of
from stellar.data.folder import ImageFiles, evenly_spread
from stellar.errors import UserError
from stellar.exploring.finder import Finder
from stellar.exploring.gallery import Gallery, NoPicture
from stellar.exploring.serving import packages
from stellar.exploring.workbench import Named, Workbench
from stellar.images import UnreadableImage
from stellar.json_text import parse_json
from stellar.model import Stellar
from stellar.searching import KeptConcepts
from stellar.searching.tables import CONCEPTS
from stellar.storage import filled, hidden, one_line

if TYPE_CHECKING:  # who writes it needs no Starlette
    from starlette.types import ASGIApp

MOST_PICTURES = 200
"""That go along, evenly spread."""
ABOUT, MODEL, PICTURES = "showcase.json", "model", "pictures"
PORT = 7860

APP = f'''"""The page of stellar explore, for everybody."""

import os
from pathlib import Path

import uvicorn

from stellar.exploring.showcase import open_showcase

app = open_showcase(Path(__file__).parent)

if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "{PORT}")
    uvicorn.run(app, host=host, port=int(port))
'''
REQUIREMENTS = "stellar-vision[explore,search]\n"
DOCKERFILE = """FROM python:3.11-slim
RUN useradd -m -u 1000 user
WORKDIR /home/user/app
ENV HOST=0.0.0.0
COPY --chown=user . .
RUN pip install --no-cache-dir -r requirements.txt
USER user
CMD ["python", "app.py"]
"""
README = """---
title: {quoted}
emoji: \N{EYES}
colorFrom: blue
colorTo: gray
sdk: docker
app_port: {port}
tags:
- stellar
---

# {title}

What is in pictures, and where, without labels: the tokens of a
[STELLAR](https://arxiv.org/abs/2602.01905) model, to look at, to edit and to search with.
`pip install -r requirements.txt` and `python app.py` start it on any machine, at port {port}, for
that machine alone; with `HOST=0.0.0.0`, as in the Dockerfile, for everybody who can reach it.
Until stellar-vision is on PyPI, put its wheel beside this file and its name into requirements.txt.

The licences of the model and of the pictures are for you to state.
"""


@dataclass(frozen=True)
class About:
    """`showcase.json`."""

    title: str
    fit: Fit
    pictures: str
    """The folder of the pictures, or the name of embedded scenes."""
    concepts: int | None = None
    """Of pictures; None: those of the file beside this one, or as many as usual."""


@dataclass(frozen=True)
class Taken:
    """The pictures that go along."""

    place: str
    """Their folder, or the name of embedded scenes."""
    count: int
    left_out: int = 0
    """Files that the page would not show: they cannot be read, or lead out of the folder."""


def write_showcase(
    folder: Path,
    model: Stellar,
    source: ImageSource,
    title: str,
    fit: Fit = "crop",
    concepts: int | KeptConcepts | None = None,
) -> Taken:
    """Write the files into a new folder; with so many concepts, or those that an index of the model
    keeps. Raises UserError for a folder that is there and for pictures of which none can be shown,
    and NotWritten.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; choose another --export, or remove it")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"the folder {folder.parent} does not exist; create it")
    temporary = hidden(folder)
    with filled(temporary, folder):
        model.save_pretrained(temporary / MODEL)
        taken = _copied(source, temporary)
        count = concepts if isinstance(concepts, int) else None
        if isinstance(concepts, KeptConcepts):
            concepts.save(temporary / CONCEPTS)
        about = asdict(About(title, fit, taken.place, count))
        heading = one_line(title)
        quoted = json.dumps(heading, ensure_ascii=False)  # which is YAML too
        texts = {
            ABOUT: json.dumps(about, indent=2), "app.py": APP, "Dockerfile": DOCKERFILE,
            "requirements.txt": REQUIREMENTS,
            "README.md": README.format(title=heading, quoted=quoted, port=PORT),
        }  # fmt: skip
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.rename(folder)
    return taken


def open_showcase(folder: Path) -> "ASGIApp":
    """What the app file serves. Raises UserError for a folder that `write_showcase` did not write,
    and MissingPackage.
    """
    _, app, guard = packages()
    try:
        about = About(**parse_json((folder / ABOUT).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder} is not what stellar explore --export wrote ({error})") from error
    model = Stellar.from_pretrained(folder / MODEL).eval().requires_grad_(False)
    if about.pictures in EMBEDDED:
        source = open_embedded(about.pictures, "heldout", model.config, length=MOST_PICTURES)
    else:
        source = ImageFolder(folder / about.pictures, model.config.in_chans)
    gallery = Gallery(source, about.title, shared=True)
    workbench = Workbench([Named(about.title, model, MODEL)], gallery, about.fit)
    kept = folder / CONCEPTS
    finder = Finder(
        workbench, num_concepts=about.concepts, kept_concepts=kept if kept.exists() else None
    )
    return guard.OpenDoor(app.make_app(finder))


def _copied(source: ImageSource, folder: Path) -> Taken:
    """What the page would show: files as they are, scenes by their name."""
    if isinstance(source, Scenes):
        return Taken(name_of(source), min(len(source), MOST_PICTURES))
    if not isinstance(source, ImageFiles):
        raise UserError(
            "pictures for others are a folder, or scenes; put single files, or what is in shards, "
            "into a folder, and export that"
        )
    indices, left_out, gallery = evenly_spread(source, MOST_PICTURES), 0, Gallery(source, PICTURES)
    for index in indices:
        try:
            gallery.read(str(index), source.channels)
        except (NoPicture, UnreadableImage):
            left_out += 1
            continue
        target = folder / PICTURES / source.path(index).relative_to(source.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path(index), target)
    if left_out == len(indices):
        raise UserError(
            f"none of the pictures in {source.root} can be shown: they cannot be read, or are "
            "links that lead out of it; choose another folder"
        )
    return Taken(PICTURES, len(indices) - left_out, left_out)
