"""What the page asks, and what it is answered."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visiting import Visitor

from stellar.exploring import Workbench
from stellar.exploring.overview import NUM_EXAMPLES


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def image(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_the_page_and_its_parts_are_there(visitor: Visitor) -> None:
    page = visitor.ask("/")
    assert page.headers["content-type"].startswith("text/html")
    parts = [part.partition('"')[0] for part in page.data.decode().split('"/page/')[1:]]
    assert {"main.js", "page.css"} <= set(parts)
    for name in (*parts, "view.js", "maps.js"):
        part = visitor.ask(f"/page/{name}")
        assert part.status == 200
        assert part.headers["content-type"].partition("/")[0] in ("text", "image")
        assert b"http://" not in part.data.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in part.data


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "__init__.py", "../app.py", "%00"])
def test_nothing_else_is(visitor: Visitor, name: str) -> None:
    assert visitor.ask(f"/page/{name}").status == 404


def test_it_starts_with_models_and_pictures(visitor: Visitor) -> None:
    start = visitor.ask("/api/start").json
    assert start["models"] == [
        {"name": "stellar-scenes", "patch": 3, "size": 48, "tokens": 12, "draws": True}
    ]
    assert start["count"] == 40
    assert [len(colour) for colour in start["colours"]] == 24 * [3]
    listed = visitor.ask("/api/pictures?start=38&count=9").json
    assert [each["key"] for each in listed["pictures"]] == ["38", "39"]
    assert listed["total"] == 40
    assert visitor.ask("/api/pictures?name=heldout/0/7").json["total"] == 1


def test_pictures_small_whole_and_as_the_model_sees_them(
    visitor: Visitor, workbench: Workbench
) -> None:
    assert image(visitor.ask("/api/pictures/3/thumbnail").data).size == (48, 48)
    expected = workbench.gallery.source.read(3).permute(1, 2, 0).numpy()
    for what in ("view", "input"):
        answer = visitor.ask(f"/api/pictures/3/{what}")
        assert answer.headers["content-type"] == "image/png"
        assert np.array_equal(np.array(image(answer.data)), expected)


def test_a_look_has_maps_and_a_drawing(visitor: Visitor, workbench: Workbench) -> None:
    steps = [{"kind": "paint", "token": 2, "patches": [0, 1], "share": 1}]
    look = visitor.ask("/api/look", {"picture": "3", "model": 0, "steps": steps}).json
    maps = floats(look["maps"]).reshape(12, *look["grid"])
    assert np.allclose(maps.sum(axis=0), 1, atol=1e-5)
    assert maps[2, 0, :2].tolist() == [1, 1]
    assert look["tokens"][2]["share"] == pytest.approx(maps[2].mean(), abs=1e-6)
    drawn = np.array(image(base64.b64decode(look["drawing"].partition(",")[2])))
    from stellar.exploring.steps import read_steps

    expected = workbench.look("3", 0, read_steps(steps)).drawing
    assert expected is not None
    assert np.abs(drawn / 255 - expected.permute(1, 2, 0).numpy()).max() < 0.003


def test_it_is_written_as_python_and_searched(visitor: Visitor) -> None:
    pytest.importorskip("lancedb")
    question = {"picture": "3", "steps": [{"kind": "scale", "token": 1, "factor": 2}]}
    assert "edits.scaled(factors, 1, 2.0)" in visitor.ask("/api/python", question).json["code"]
    asked = {**question, "tokens": [1, 2], "without": [0], "box": [0, 0, 0.5, 1], "count": 3}
    found = visitor.ask("/api/search", asked).json
    assert found["indexed"] == 40
    assert len(found["hits"]) == 3
    for hit in found["hits"]:
        assert hit["key"] != "3"
        assert floats(hit["map"]).shape == (256,)
        assert visitor.ask(f"/api/pictures/{hit['key']}/view").status == 200


def test_concepts_have_examples_and_are_searched_for(visitor: Visitor) -> None:
    pytest.importorskip("lancedb")
    answer = visitor.ask("/api/concepts", {}).json
    assert answer["indexed"] == 40
    assert len(answer["concepts"]) == 24
    assert sum(each["share"] for each in answer["concepts"]) <= 1
    first = answer["concepts"][0]
    assert floats(first["where"]).shape == (256,)
    assert 1 <= len(first["examples"]) <= min(NUM_EXAMPLES, first["pictures"])
    example = first["examples"][0]
    look = visitor.ask("/api/look", {"picture": example["key"]}).json
    assert 0 in look["concepts"]
    found = visitor.ask("/api/search", {"concepts": [0], "withoutConcepts": [1], "count": 3}).json
    assert len(found["hits"]) == 3


def test_it_is_searched_by_words(worded_address: str, visitor: Visitor) -> None:
    pytest.importorskip("lancedb")
    asked = Visitor(worded_address).let_in()
    assert asked.ask("/api/start").json["words"] is True
    assert visitor.ask("/api/start").json["words"] is False
    found = asked.ask("/api/words", {"texts": ["3 2"], "count": 3}).json
    assert found["indexed"] == 40
    assert found["hits"][0]["key"] == "3"
    assert found["hits"][0]["tokens"] == [2]
    answer = asked.ask("/api/words", {"texts": ["boat"]})
    assert (answer.status, answer.json["error"]) == (400, "the tower is not here")


def test_a_picture_is_brought_and_looked_at(visitor: Visitor) -> None:
    buffer = BytesIO()
    Image.new("RGB", (90, 60), "teal").save(buffer, format="PNG")
    answer = visitor.ask("/api/bring?name=my%20cat.png", buffer.getvalue()).json
    assert answer["name"] == "my cat.png"
    look = visitor.ask("/api/look", {"picture": answer["key"]}).json
    assert look["size"] == [90, 60]
    assert look["frame"] == pytest.approx([1 / 6, 0, 2 / 3, 1])


def steps(**step: Any) -> dict[str, Any]:
    return {"picture": "3", "steps": [step]}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/look", {"picture": "400"}, 404, "no such picture"),
        ("/api/look", {"picture": "0000000000009999"}, 404, "no such picture"),
        ("/api/look", steps(kind="scale", token=1, factor=1e39), 400, "0 to 1,000,000 times"),
        ("/api/look", steps(kind="scale", token=1, factor=10**400), 400, "is too large"),
        (
            "/api/look",
            b'{"picture": "3", "steps": [{"kind": "scale", "token": 1, "factor": NaN}]}',
            400,
            "0 to 1,000,000 times",
        ),
        ("/api/look", steps(kind="scale", token=1), 400, "needs factor"),
        ("/api/look", {"picture": "3", "steps": [{"kind": "\ud800"}]}, 400, "must be one of"),
        ("/api/search", {"picture": "3", "count": True}, 400, "count must be a whole number"),
        ("/api/search", {"picture": "3", "box": [0, 0, 1, 10**400]}, 400, "a box is x0,y0,x1,y1"),
        ("/api/search", {"picture": "3", "box": [0, 0, 1, None]}, 400, "a box is x0,y0,x1,y1"),
        ("/api/look", {"picture": 3}, 400, "names a picture by its key"),
        ("/api/look", {"picture": "3", "model": "x"}, 400, "names a picture by its key"),
        ("/api/look", {"picture": "3", "model": 5}, 400, "there is no model 5"),
        ("/api/look", {"picture": "3", "steps": [{"kind": "x"}]}, 400, "step 1 must be one of"),
        ("/api/look", [], 400, "a question is a JSON object"),
        ("/api/look", b"{", 400, "a question is a JSON object"),
        ("/api/look", b"\xff", 400, "a question is a JSON object"),
        ("/api/look", b"[" * 100_000, 400, "a question is a JSON object"),
        ("/api/search", {"picture": "3", "tokens": "1"}, 400, "tokens must be a list"),
        ("/api/search", {"concepts": 1}, 400, "concepts must be a list"),
        ("/api/search", {"concepts": [24]}, 400, "the concepts are 0 to 23"),
        ("/api/concepts/name", {"concept": 1, "name": 2}, 400, "by its number and a text"),
        ("/api/concepts/name", {"concept": True, "name": ""}, 400, "by its number and a text"),
        ("/api/concepts/name", {"concept": 1, "name": "boat"}, 400, "names of concepts last in an"),
        ("/api/search", {"withoutConcepts": ["1"]}, 400, "withoutConcepts must be a list"),
        ("/api/search", {"tokens": [1]}, 400, "a search needs a picture"),
        ("/api/search", {}, 400, "a search needs a picture, or concepts"),
        ("/api/search", {"picture": "3", "tokens": [True]}, 400, "tokens must be a list"),
        ("/api/search", {"picture": "3", "tokens": 65 * [1]}, 400, "tokens are at most 64"),
        ("/api/search", {"picture": "3", "box": [0, 0, 1]}, 400, "a box is x0,y0,x1,y1"),
        ("/api/search", {"picture": "3", "box": [0.5, 0, 0.2, 1]}, 400, "a box is x0,y0,x1,y1"),
        ("/api/search", {"picture": "3", "count": 1e9}, 400, "count must be a whole number"),
        ("/api/search", {"picture": "3", "count": 1000}, 400, "1 to 100 pictures"),
        ("/api/words", {"texts": ["a boat"]}, 400, "knows no words; learn some with stellar align"),
        ("/api/words", {"texts": "a boat"}, 400, "texts must be a list of texts"),
        ("/api/words", {"texts": [1]}, 400, "texts must be a list of texts"),
        ("/api/words", {"texts": [], "count": True}, 400, "count must be a whole number"),
        ("/api/bring?name=a.png", b"no picture", 422, "cannot read a.png"),
        ("/api/pictures?count=many", None, 400, "count must be a whole number, got 'many'"),
        ("/api/pictures/3/input?model=-1", None, 400, "model must be a whole number"),
        ("/api/pictures/400/thumbnail", None, 404, "no such picture"),
        ("/api/nothing", None, 404, "no such thing"),
    ],
)
def test_a_wrong_question_gets_a_sentence(
    visitor: Visitor, path: str, body: Any, status: int, message: str
) -> None:
    answer = visitor.ask(path, body)
    assert answer.status == status
    assert message in answer.json["error"]
    assert "\n" not in answer.json["error"]
