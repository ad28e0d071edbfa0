"""A model goes into a folder or to the hub and comes back, with a card that tells how it came
about.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub.constants
import huggingface_hub.utils
import pytest
import torch
from PIL import Image

import stellar
from stellar.config import ModelConfig, ObjectiveConfig
from stellar.load_model import Purpose
from stellar.model import Stellar
from stellar.model.files.config_json import CONFIG
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.pretrained import SharingError
from stellar.model.files.strict_loading import WeightsError
from stellar.model.history import History
from stellar.objective import PretrainingModel

NOWHERE = "http://127.0.0.1:9"
HISTORY = History(
    data="pets",
    num_images=1000,
    init="facebook/vit-mae-base",
    steps=500,
    total_steps=800,
    batch_size=64,
    metrics={"step": 500, "loss": 9.87654, "effective_rank": 12.0},
)


@pytest.fixture
def model(small: ModelConfig) -> Stellar:
    model = Stellar(small)
    model.history = HISTORY
    return model


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_saved_is_what_comes_back(tmp_path: Path, model: Stellar) -> None:
    model.save_pretrained(tmp_path / "pets")
    assert names(tmp_path / "pets") == {WEIGHTS, CONFIG, "README.md"}
    for again in (Stellar.from_pretrained(tmp_path / "pets"), stellar.load(tmp_path / "pets")):
        assert again.config == model.config
        assert again.history == HISTORY
        assert fingerprint(again) == fingerprint(model)


def test_the_card_tells_what_there_is_to_know(tmp_path: Path, model: Stellar) -> None:
    model.save_pretrained(tmp_path / "pets")
    card = (tmp_path / "pets/README.md").read_text()
    header = card.split("---\n")[1]
    assert "# license: fill in" in header
    assert "library_name: stellar-vision" in header
    for fact in (
        "| data | pets, 1,000 images |",
        "| started from | facebook/vit-mae-base |",
        "| steps | 500 of 800 |",
        "| passes over the data | 32.0 |",
        "step 500, that is, on training data",
        "| loss | 9.877 |",
        "| patches | 4 x 4 of 4 px |",
        "| sparse tokens | 3 of width 24 |",
    ):
        assert fact in card


def test_the_python_of_the_card_runs(
    tmp_path: Path, model: Stellar, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path / "pets")
    (block,) = re.findall(
        r"```python\n(.*?)```", (tmp_path / "pets/README.md").read_text(), flags=re.DOTALL
    )
    assert len(block.splitlines()) == 3
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30), "teal").save("photo.jpg")
    found: dict[str, Any] = {}
    exec(block, found)
    assert found["factors"].sparse.shape == (1, 3, 24)


def test_an_edited_card_stays(tmp_path: Path, model: Stellar) -> None:
    (tmp_path / "README.md").write_text("license: mit")
    (tmp_path / "notes.txt").write_text("mine")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "license: mit"
    assert names(tmp_path) == {WEIGHTS, CONFIG, "README.md", "notes.txt"}


def test_without_a_history_the_card_says_so(tmp_path: Path, small: ModelConfig) -> None:
    Stellar(small).save_pretrained(tmp_path)
    assert "Nothing is recorded about its training." in (tmp_path / "README.md").read_text()
    assert Stellar.from_pretrained(tmp_path).history is None


def test_paths_of_this_machine_stay_here(tmp_path: Path, small: ModelConfig) -> None:
    secret = tmp_path / "secret"
    decoder = replace(small.decoder, target="codes", tokenizer=str(secret / "vqgan.bin"))
    Stellar(replace(small, decoder=decoder)).save_pretrained(tmp_path / "pets")
    content = (tmp_path / "pets" / CONFIG).read_text()
    assert "secret" not in content
    assert json.loads(content)["model"]["decoder"]["tokenizer"] == "vqgan.bin"


def test_training_heads_go_along(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig
) -> None:
    """So that training can go on from what was shared."""
    model = PretrainingModel(small, small_objective)
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / CONFIG).read_text())
    assert content["objective"]["num_prototypes"] == small_objective.num_prototypes
    assert fingerprint(Stellar.from_pretrained(tmp_path)) == fingerprint(model)
    again = stellar.load(tmp_path, purpose="pretrain").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


def test_from_the_cache_of_the_hub(
    tmp_path: Path, model: Stellar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit, repo = "0123456789" * 4, tmp_path / "models--me--pets"
    model.save_pretrained(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(commit)
    for revision in (None, "main", commit):
        again = Stellar.from_pretrained("me/pets", revision, local_files_only=True)
        assert fingerprint(again) == fingerprint(model)
    with pytest.raises(WeightsError, match="me/dogs can be had neither"):
        Stellar.from_pretrained("me/dogs", local_files_only=True)


def test_half_a_model_is_not_shared(tmp_path: Path, model: Stellar) -> None:
    model.save_pretrained(tmp_path / "pets")
    half = stellar.load(tmp_path / "pets", purpose="encode")
    with pytest.raises(SharingError, match="purpose='reconstruct'"):
        half.save_pretrained(tmp_path / "half")
    assert names(tmp_path) == {"pets"}


@pytest.mark.parametrize("purpose", ["encode", "reconstruct"])
def test_a_model_that_never_learned_to_draw_is_whole_without_its_decoder(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig, purpose: Purpose
) -> None:
    objective = replace(small_objective, reconstruction_weight=0.0)
    PretrainingModel(small, objective).save_pretrained(tmp_path / "run")
    model = stellar.load(tmp_path / "run", purpose=purpose)
    model.save_pretrained(tmp_path / "saved")
    again = stellar.load(tmp_path / "saved")
    assert not model.can_draw
    assert not again.can_draw
    assert fingerprint(again) == fingerprint(model)
    again.save_pretrained(tmp_path / "once more")
    for folder in ("run", "saved", "once more"):
        card = (tmp_path / folder / "README.md").read_text()
        assert "It cannot draw the image: its training had no reconstruction term." in card
        assert "| decoder | none |" in card
        assert "model.reconstruct" not in card


def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path: Path, model: Stellar) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SharingError, match="file cannot be written"):
        model.save_pretrained(tmp_path / "file")


class Hub(BaseHTTPRequestHandler):
    """The few addresses of the hub that an upload asks for; keeps what was committed."""

    has_card = False
    created: str
    committed: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.send_response(200 if self.has_card else 404)
        if self.has_card:
            self.send_header("ETag", '"abc"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", "0")
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()

    def do_GET(self) -> None:
        self._answer({"sha": "0" * 40, "siblings": [], "id": "me/pets", "private": False})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Authorization"] == "Bearer hf_mine"
        address = f"http://{self.headers['Host']}/me/pets"
        if self.path == "/api/repos/create":
            type(self).created = json.loads(body)["name"]
            self._answer({"url": address})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self._answer(
                {
                    "files": [
                        {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for file in files
                    ]
                }
            )
        elif self.path.endswith("/commit/main"):
            lines = [json.loads(line) for line in body.splitlines()]
            type(self).committed = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            self._answer(
                {"commitUrl": f"{address}/commit/1", "commitOid": "1" * 40, "success": True}
            )
        else:
            self._answer({})

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT and HF_TOKEN do when a process starts."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_mine")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine, which huggingface_hub talks to."""

    class OfThisTest(Hub):
        pass

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    # Before version 1, sessions that were made offline stay so.
    getattr(huggingface_hub.utils, "reset_sessions", lambda: None)()
    server = ThreadingHTTPServer(("127.0.0.1", 0), OfThisTest)
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch)
    Thread(target=server.serve_forever, daemon=True).start()
    yield OfThisTest
    server.shutdown()
    server.server_close()


def test_the_hub_gets_the_files_that_load_reads(
    tmp_path: Path, model: Stellar, hub: type[Hub]
) -> None:
    address = model.push_to_hub("me/pets")
    assert address.endswith("/me/pets/commit/1")
    assert hub.created in ("me/pets", "pets")
    assert hub.committed.keys() == {WEIGHTS, CONFIG, "README.md"}
    assert 'from_pretrained("me/pets")' in hub.committed["README.md"].decode()
    for name, content in hub.committed.items():
        (tmp_path / name).write_bytes(content)
    assert fingerprint(Stellar.from_pretrained(tmp_path)) == fingerprint(model)


def test_the_card_on_the_hub_stays(model: Stellar, hub: type[Hub]) -> None:
    hub.has_card = True
    model.push_to_hub("me/pets")
    assert hub.committed.keys() == {WEIGHTS, CONFIG}


@pytest.mark.parametrize("repo", ["me/pets", "me/../pets"])
def test_without_a_network_there_is_a_sentence(
    model: Stellar, monkeypatch: pytest.MonkeyPatch, repo: str
) -> None:
    point_to(NOWHERE, monkeypatch)
    with pytest.raises(SharingError, match=rf"{repo} cannot be written on the hub .*hf auth"):
        model.push_to_hub(repo)


def test_without_a_token_there_is_a_sentence(
    model: Stellar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_to(NOWHERE, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(SharingError, match="cannot be written on the hub"):
        model.push_to_hub("me/pets")
