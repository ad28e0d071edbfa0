"""The page for everybody: a folder of files that a Hugging Face Space, or any machine with Docker,
starts.

It holds the model, some pictures, and an app file. Nobody needs a token there, and what visitors
bring along is seen by themselves alone.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from stellar.config import Fit
from stellar.data import EMBEDDED, ImageFolder, ImageSource, Scenes, open_embedded
from stellar.data.folder import ImageFiles, evenly_spread
from stellar.errors import UserError
from stellar.exploring.gallery import Gallery
from stellar.exploring.workbench import Named, Workbench
from stellar.model import Stellar
from stellar.storage import hidden, writing

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
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "{PORT}")))
'''
REQUIREMENTS = "stellar-vision[explore,search]\n"
DOCKERFILE = """FROM python:3.11-slim
RUN useradd -m -u 1000 user
WORKDIR /home/user/app
COPY --chown=user . .
RUN pip install --no-cache-dir -r requirements.txt
USER user
CMD ["python", "app.py"]
"""
README = """---
title: {title}
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
`pip install -r requirements.txt` and `python app.py` start it on any machine, at port {port}. Until
stellar-vision is on PyPI, put its wheel beside this file and its name into requirements.txt.

The licences of the model and of the pictures are for you to state.
"""


@dataclass(frozen=True)
class About:
    """`showcase.json`."""

    title: str
    fit: Fit
    pictures: str
    """The folder of the pictures, or the name of embedded scenes."""


def write_showcase(
    folder: Path, model: Stellar, source: ImageSource, title: str, fit: Fit = "crop"
) -> int:
    """Write the files into a new folder; the number of pictures that go along. Raises UserError for
    a folder that is there, and NotWritten.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; choose another --export, or remove it")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"the folder {folder.parent} does not exist; create it")
    temporary = hidden(folder)
    with writing(folder):
        try:
            temporary.mkdir()
            model.save_pretrained(temporary / MODEL)
            pictures, count = _copied(source, temporary)
            about = {"title": title, "fit": fit, "pictures": pictures}
            texts = {
                ABOUT: json.dumps(about, indent=2), "app.py": APP, "Dockerfile": DOCKERFILE,
                "requirements.txt": REQUIREMENTS,
                "README.md": README.format(title=json.dumps(title)[1:-1], port=PORT),
            }  # fmt: skip
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return count


def open_showcase(folder: Path) -> ASGIApp:
    """What the app file serves. Raises UserError for a folder that `write_showcase` did not write,
    and MissingPackage.
    """
    from stellar.exploring.app import make_app
    from stellar.exploring.guard import OpenDoor

    try:
        about = About(**json.loads((folder / ABOUT).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder} is not what stellar explore --export wrote ({error})") from error
    model = Stellar.from_pretrained(folder / MODEL).eval().requires_grad_(False)
    if about.pictures in EMBEDDED:
        source = open_embedded(about.pictures, "heldout", model.config, length=MOST_PICTURES)
    else:
        source = ImageFolder(folder / about.pictures, model.config.in_chans)
    gallery = Gallery(source, about.title, shared=True)
    return OpenDoor(make_app(Workbench([Named(about.title, model)], gallery, about.fit)))


def _copied(source: ImageSource, folder: Path) -> tuple[str, int]:
    """Where the pictures are, and how many: files as they are, scenes by their name."""
    if isinstance(source, Scenes):
        return next(name for name, ground in EMBEDDED.items() if ground == source.ground), min(
            len(source), MOST_PICTURES
        )
    if not isinstance(source, ImageFiles):
        raise UserError("pictures for others are a folder, or scenes; shards cannot be exported")
    indices = list(evenly_spread(source, MOST_PICTURES))
    for index in indices:
        target = folder / PICTURES / source.path(index).relative_to(source.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path(index), target)
    return PICTURES, len(indices)
