"""`stellar explore`."""

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError
from stellar.quantities import counted

if TYPE_CHECKING:
    from stellar.exploring import Gallery, Workbench
    from stellar.exploring.finder import Wording
    from stellar.model import Stellar
    from stellar.searching import Index

DESCRIPTION = """See what is where in pictures, edit it, and search with it, in the browser.

  stellar explore                                       drawn scenes, and the model that comes along
  stellar explore runs/photos photos
  stellar explore runs/photos photos --index photos.index
  stellar explore runs/photos photos --compare stellar-b16
  stellar explore runs/photos photos --export space               for others, as a Space of the hub

The page is on this machine alone, and closed to others. Ctrl-C ends it. It needs Starlette and
uvicorn: pip install 'stellar-vision[explore]'."""
NUM_SCENES = 500


@dataclass(frozen=True)
class Options:
    """What to look at, with what."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")] = "stellar-scenes"
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    pictures: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURES")
    ] = ("scenes",)
    """A folder of pictures, shards, or files. By default `scenes`, the embedded held-out ones."""
    index: Path | None = None
    """What stellar index made of these pictures, to search in. Up to 1,000 of a folder need
    none."""
    words: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """What stellar align wrote, to search by words; by default, what the index was made with."""
    concepts: int | None = None
    """In how many groups the tokens of the pictures are shown; with more, they are finer. None:
    those that the index keeps (stellar concepts), else 24."""
    compare: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """A second model, to see the same pictures with its eyes, side by side."""
    fit: Literal["crop", "squash"] = "crop"
    """How pictures come to the model's size: crop: the largest centred square; squash: all of
    it."""
    port: int | None = None
    """Of the page; by default 8420, or a free one where that is taken."""
    browser: Annotated[bool, tyro.conf.arg(help="Open the page in the browser.")] = True
    tokenizer: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The MaskGIT-VQGAN file, for models that reconstruct its codes; published models find it."""
    export: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Write the page, with this model and up to 200 of the pictures, as a Hugging Face Space, and
    show nothing here. With --index, its concepts and their names go along."""
    device: str = "auto"
    """auto, cpu or cuda."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "explore", arguments, DESCRIPTION)
    if options.export is not None:
        _check_export(options)
    from stellar.cli.terminal import is_quiet
    from stellar.config import check_count
    from stellar.exploring import Finder, Server, Workbench
    from stellar.exploring.serving import private_page
    from stellar.exploring.workbench import Named
    from stellar.load_model import load
    from stellar.precision import choose_device
    from stellar.searching import open_index

    if options.concepts is not None:
        check_count(options.concepts, "concepts")
    device = choose_device(options.device)
    tokenizer = None if options.tokenizer is None else str(options.tokenizer)

    def loaded(name: str, revision: str | None = None) -> Named:
        model = load(name, device, tokenizer, revision=revision)
        return Named(name, model, tokenizer=tokenizer, revision=revision)

    models = [loaded(options.model, options.revision)]
    if options.compare is not None:
        models.append(loaded(options.compare))
    index = None if options.index is None else open_index(options.index)
    gallery = _gallery(options.pictures, models[0].model)
    wording = words_of(options, index)
    workbench = Workbench(models, gallery, options.fit)
    finder = Finder(workbench, index, wording, options.concepts)
    if options.export is not None:
        return _export(options, workbench, index)
    try:
        server = Server(finder, options.port)
        if not is_quiet():
            pictures = counted(len(gallery.source), "picture")
            print(f"{pictures} of {gallery.title}, seen by {options.model}")
        print(server.address, flush=True)
        if not is_quiet():
            print("Ctrl-C ends it", flush=True)
        with private_page(server.address) as page:
            if options.browser:  # some end only when the browser does
                Thread(target=webbrowser.open, args=(page,), daemon=True).start()
            server.serve()
    finally:
        finder.close()
    return 0


def words_of(options: Options, index: "Index | None") -> "Wording | None":
    """The words of the index, or those that are named."""
    from stellar.cli.towers import texts_of
    from stellar.exploring.finder import Wording
    from stellar.searching import read_words

    if options.words is not None and index is None:
        raise UserError("--words is for a search in an index; name that with --index")
    words = index.words if index and options.words is None else None
    if options.words is not None and index is not None:
        words = read_words(options.words)
        words.check(index.contents.model)
    return None if words is None else Wording(words, texts_of(words, options.device))


def _check_export(options: Options) -> None:
    """Raises UserError for what a Space cannot have."""
    if options.words is not None:
        raise UserError("--export writes a page that does not search by words; leave --words out")
    if options.compare is not None:
        raise UserError("--export takes one model; leave --compare out")


def _export(options: Options, workbench: "Workbench", index: "Index | None") -> int:
    """Of an index, its concepts go along, where no others are asked for."""
    from stellar.exploring.showcase import write_showcase

    assert options.export is not None
    kept = None if index is None else index.kept_concepts
    if index is not None and kept is None and options.concepts is None:
        raise UserError(
            f"--export takes of an index the concepts that it keeps, and {index.folder} keeps "
            "none; name some with stellar concepts, or leave --index out"
        )
    taken = write_showcase(
        options.export, workbench.models[0].model, workbench.gallery.source,
        Path(options.model).name, options.fit, options.concepts or kept,
    )  # fmt: skip
    pictures = counted(taken.count, "picture")
    print(f"{pictures} -> {options.export}; try it: python {options.export / 'app.py'}")
    if taken.left_out:
        print(f"{taken.left_out} left out, which cannot be read, or are links out of the folder")
    return 0


def _gallery(pictures: Sequence[str], model: "Stellar") -> "Gallery":
    from stellar.data import EMBEDDED, open_embedded, open_pictures
    from stellar.exploring import Gallery

    if not pictures:
        raise UserError("explore needs pictures: a folder, files, or scenes")
    title = pictures[0] if len(pictures) == 1 else f"{len(pictures)} files"
    if len(pictures) == 1 and pictures[0] in EMBEDDED:
        return Gallery(
            open_embedded(pictures[0], "heldout", model.config, length=NUM_SCENES), title
        )
    return Gallery(open_pictures(pictures, model.config), title)
