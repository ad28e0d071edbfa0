"""The answers to the page's questions, over HTTP."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from stellar.errors import UserError
from stellar.exploring.bodies import Bodies, TooLarge, TooSlow
from stellar.exploring.finder import Finder, Sought
from stellar.exploring.gallery import NoPicture
from stellar.exploring.payload import of_concepts, of_hit, of_look, of_the_page, png, view
from stellar.exploring.steps import Step, read_steps
from stellar.exploring.turns import MOST_WAITING, Busy, Turns
from stellar.exploring.workbench import ExploreError
from stellar.images import UnreadableImage, framed
from stellar.json_text import parse_json
from stellar.searching import Hit
from stellar.styles import style_of

LARGEST_QUESTION, LARGEST_PICTURE = 1 << 20, 32 << 20
"""Bytes of a question, and of a picture that is given."""
AT_ONCE = 4
"""Pictures of that size, given by all visitors, that are in memory before they are kept."""
MOST_LISTED = 200
PAGE = files("stellar.exploring.page")
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
STATUS = {NoPicture: 404, TooSlow: 408, TooLarge: 413, UnreadableImage: 422}
"""Of errors that are not the question's."""


class Answer(Response):
    """JSON in ASCII: names of files may hold what UTF-8 cannot."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


def make_app(finder: Finder) -> Starlette:
    """The page and its answers; guard.py keeps others out."""
    answers = Answers(finder)
    return Starlette(
        routes=[
            Route("/", page_file),
            Route("/page/{name}", page_file),
            Route("/api/start", answers.start),
            Route("/api/pictures", answers.pictures),
            Route("/api/pictures/{key}/thumbnail", answers.thumbnail),
            Route("/api/pictures/{key}/view", answers.view),
            Route("/api/pictures/{key}/input", answers.input),
            Route("/api/concepts", answers.concepts, methods=["POST"]),
            Route("/api/concepts/name", answers.name, methods=["POST"]),
            Route("/api/look", answers.look, methods=["POST"]),
            Route("/api/python", answers.python, methods=["POST"]),
            Route("/api/search", answers.search, methods=["POST"]),
            Route("/api/words", answers.words, methods=["POST"]),
            Route("/api/bring", answers.bring, methods=["POST"]),
        ],
        exception_handlers={
            UserError: _sentence, OSError: _of_the_machine, Busy: _busy, HTTPException: _no_such,
            ClientDisconnect: _gone, Exception: _our_fault,
        },
    )  # fmt: skip


async def page_file(request: Request) -> Response:
    """A file of the page; only those that are there, by their names."""
    name = request.path_params.get("name", "index.html")
    known = {each.name for each in PAGE.iterdir()}
    kind = TYPES.get(PurePosixPath(name).suffix)
    if name not in known or kind is None:
        raise HTTPException(404)
    if name == "page.css":
        return Response(style_of("stellar.exploring.page"), media_type=kind)
    return Response(PAGE.joinpath(name).read_bytes(), media_type=kind)


class Answers:
    """Of one workbench, and who finds its pictures."""

    def __init__(self, finder: Finder) -> None:
        self._finder, self._workbench, self._turns = finder, finder.workbench, Turns()
        self._questions = Bodies(LARGEST_QUESTION, together=MOST_WAITING * LARGEST_QUESTION)
        self._pictures = Bodies(LARGEST_PICTURE, together=AT_ONCE * LARGEST_PICTURE)

    async def start(self, _: Request) -> Response:
        return Answer(of_the_page(self._finder))

    async def pictures(self, request: Request) -> Response:
        asked, gallery = request.query_params, self._workbench.gallery
        start = _number(asked.get("start", "0"), "start")
        count = min(MOST_LISTED, _number(asked.get("count", "60"), "count"))
        total, keys = await self._turns.run(
            lambda: gallery.listed(start, count, asked.get("name", "")[:200])
        )
        listed = [{"key": key, "name": gallery.name(key)} for key in keys]
        return Answer({"total": total, "pictures": listed})

    async def thumbnail(self, request: Request) -> Response:
        key, gallery = request.path_params["key"], self._workbench.gallery
        made = await self._turns.run(lambda: gallery.thumbnail(key, self._channels))
        return Response(made, media_type="image/jpeg")

    async def view(self, request: Request) -> Response:
        key = request.path_params["key"]

        def work() -> tuple[bytes, str]:
            pixels = self._workbench.gallery.read(key, self._channels)
            return view(framed(pixels, self._workbench.fit))

        data, kind = await self._turns.run(work)
        return Response(data, media_type=kind)

    async def input(self, request: Request) -> Response:
        key = request.path_params["key"]
        number = _number(request.query_params.get("model", "0"), "model")
        data = await self._turns.run(lambda: png(self._workbench.encoded(key, number).image))
        return Response(data, media_type="image/png")

    async def look(self, request: Request) -> Response:
        asked = await self._asked(request)
        key, number, steps = _picture(asked)

        def work() -> dict[str, Any]:
            look = self._workbench.look(key, number, steps)
            return of_look(look, None if number else self._finder.concepts_of(look.factors))

        return Answer(await self._turns.run(work))

    async def python(self, request: Request) -> Response:
        asked = await self._asked(request)
        key, number, steps = _picture(asked)
        code = await self._turns.run(lambda: self._workbench.as_python(key, number, steps))
        return Answer({"code": code})

    async def search(self, request: Request) -> Response:
        asked = await self._asked(request)
        key, steps = None, []
        if asked.get("picture") is not None:
            key, _, steps = _picture(asked)
        wanted = Sought(_numbers(asked, "tokens"), _numbers(asked, "concepts"))
        unwanted = Sought(_numbers(asked, "without"), _numbers(asked, "withoutConcepts"))
        box, count = asked.get("box"), _count(asked)
        return await self._found(
            lambda: self._finder.search(key, steps, wanted, unwanted, box, count)
        )

    async def words(self, request: Request) -> Response:
        asked = await self._asked(request)
        texts, box, count = asked.get("texts"), asked.get("box"), _count(asked)
        if not isinstance(texts, list) or any(not isinstance(text, str) for text in texts):
            raise ExploreError("texts must be a list of texts")
        return await self._found(lambda: self._finder.search_words(texts, box, count))

    async def _found(self, search: Callable[[], list[Hit]]) -> Response:
        found = await self._turns.run(lambda: [of_hit(hit, self._finder) for hit in search()])
        return Answer({"hits": found, "indexed": self._finder.num_indexed})

    async def concepts(self, request: Request) -> Response:
        await self._asked(request)
        found = await self._turns.run(lambda: of_concepts(self._finder))
        return Answer({"concepts": found, "indexed": self._finder.num_indexed})

    async def name(self, request: Request) -> Response:
        asked = await self._asked(request)
        number, name = asked.get("concept"), asked.get("name")
        if type(number) is not int or not isinstance(name, str):
            raise ExploreError("a concept is named by its number and a text")
        names = await self._turns.run(lambda: self._finder.name_concept(number, name))
        return Answer({"names": names})

    async def bring(self, request: Request) -> Response:
        """A picture, as the body; its name is only shown."""
        name = request.query_params.get("name", "picture")[:200]
        gallery = self._workbench.gallery
        async with self._pictures.of(request) as data:
            key = await self._turns.run(lambda: gallery.bring(name, data, self._channels))
        return Answer({"key": key, "name": gallery.name(key)})

    async def _asked(self, request: Request) -> dict[str, Any]:
        async with self._questions.of(request) as body:
            return _asked(body)

    @property
    def _channels(self) -> int:
        return self._workbench.models[0].model.config.in_chans


def _asked(body: bytes) -> dict[str, Any]:
    """The JSON object of a question. Raises ExploreError."""
    try:
        asked = parse_json(body)
    except ValueError as error:
        raise ExploreError("a question is a JSON object") from error
    if not isinstance(asked, dict):
        raise ExploreError("a question is a JSON object")
    return asked


def _picture(asked: dict[str, Any]) -> tuple[str, int, list[Step]]:
    """The picture's key, the model's number and the steps of an edit."""
    key, number = asked.get("picture"), asked.get("model", 0)
    if not isinstance(key, str) or type(number) is not int:
        raise ExploreError("a question names a picture by its key, and a model by its number")
    return key, number, read_steps(asked.get("steps", []))


def _count(asked: dict[str, Any]) -> int:
    if type(count := asked.get("count", 12)) is not int:
        raise ExploreError("count must be a whole number")
    return count


def _numbers(asked: dict[str, Any], name: str) -> list[int]:
    values = asked.get(name, [])
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise ExploreError(f"{name} must be a list of whole numbers")
    if len(values) > 64:
        raise ExploreError(f"{name} are at most 64")
    return values


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ExploreError(f"{name} must be a whole number, got {text[:40]!r}")
    return int(text)


def _sentence(_: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    return Answer({"error": str(error)}, status)


def _of_the_machine(_: Request, error: Exception) -> Response:
    """A disk that is gone or full, no file handles."""
    return Answer({"error": getattr(error, "strerror", None) or str(error)}, 500)


def _gone(_: Request, __: Exception) -> Response:
    """Nobody is there any more to be answered."""
    return Response(status_code=400)


def _busy(_: Request, __: Exception) -> Response:
    sentence = "the machine is busy with other requests; try again in a moment"
    return Answer({"error": sentence}, 503, {"Retry-After": "1"})


def _no_such(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return Answer({"error": "there is no such thing here"}, status)


def _our_fault(_: Request, __: Exception) -> Response:
    sentence = "something went wrong; the terminal of stellar explore says what"
    return Answer({"error": sentence}, 500)
