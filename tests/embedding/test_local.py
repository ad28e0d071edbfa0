"""Embedding: the file, its readers, restarts, broken images."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from stellar.config import ConfigError, Fit, ModelConfig
from stellar.data.folder import DataError
from stellar.embedding import (
    EmbeddingError,
    describe_embeddings,
    embed,
    global_tokens,
    read_embeddings,
    row_groups,
)
from stellar.embedding.embedder import Embedder
from stellar.errors import UserError
from stellar.images import InputError, fitted, read_image
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.saving import save_model
from stellar.processes.launch import Ranks
from stellar.storage import NotWritten


def test_every_row_is_what_the_model_says(tmp_path: Path, model: Stellar, photos: Path) -> None:
    result = embed(model, photos, tmp_path / "out.parquet", batch_size=4)
    assert (result.num_images, result.num_unreadable) == (6, 1)
    assert (tmp_path / "out.parquet.unreadable.txt").read_text().startswith("broken.jpg\t")
    found = read_embeddings(tmp_path / "out.parquet")
    assert found.paths == ["0.png", "2.png", "4.png", "b/1.png", "b/3.png", "b/5.png"]
    assert found.tokens.shape == (6, 3, 24)
    assert found.maps.shape == (6, 3, 4, 4)
    assert found.tokens.dtype == np.float16
    for row, path in enumerate(found.paths):
        image = fitted(read_image(photos / path), "crop", model.config)[None]
        with torch.no_grad():
            factors = model.encode(image)
        for value, expected in (
            (found.cls[row], factors.cls[0]),
            (found.tokens[row], factors.sparse[0]),
            (found.maps[row], factors.maps[0]),
        ):
            exact = torch.from_numpy(value.astype(np.float32))
            similarity = torch.cosine_similarity(exact.flatten(), expected.flatten(), dim=0)
            assert similarity > 0.999


def test_the_file_explains_itself(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "out.parquet")
    embeddings = read_embeddings(tmp_path / "out.parquet")
    shapes = "cls (6, 24), tokens (6, 3, 24), maps (6, 3, 4, 4)"
    assert repr(embeddings) == f"Embeddings(6 pictures: {shapes})"
    metadata = embeddings.metadata
    assert metadata["model_sha256"] == fingerprint(model)
    assert metadata["shapes"] == {"cls": [24], "tokens": [3, 24], "maps": [3, 4, 4]}
    assert "square" in metadata["preprocessing"]
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.names == ["path", "cls", "tokens", "maps", "size", "modified"]
    assert schema.field("tokens").type == pa.list_(pa.float16(), 72)


def test_fewer_tokens_make_smaller_rows(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "all.parquet")
    embed(model, photos, tmp_path / "two.parquet", tokens=2)
    whole, two = (read_embeddings(tmp_path / f"{name}.parquet") for name in ("all", "two"))
    assert two.metadata["shapes"] == {"cls": [24], "tokens": [2, 24], "maps": [2, 4, 4]}
    assert two.metadata["strongest_of"] == 3
    assert "strongest_of" not in whole.metadata
    for row, path in enumerate(two.paths):
        factors = model.encode(photos / path).strongest(2)
        np.testing.assert_allclose(two.tokens[row], factors.sparse[0].detach(), atol=0.05)
        np.testing.assert_allclose(two.maps[row], factors.maps[0].detach(), atol=0.05)
    assert np.array_equal(two.cls, whole.cls)


@pytest.mark.usefixtures("unchecked")
def test_a_number_of_tokens_may_be_of_numpy(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "two.parquet", tokens=2)
    number: Any = np.int64(2)
    assert embed(model, photos, tmp_path / "two.parquet", tokens=number).num_images == 6
    assert read_embeddings(tmp_path / "two.parquet").tokens.shape == (6, 2, 24)


@pytest.mark.parametrize("tokens", [0, 4])
def test_no_more_tokens_than_there_are(
    tmp_path: Path, model: Stellar, photos: Path, tokens: int
) -> None:
    with pytest.raises(EmbeddingError, match=f"1 to 3 of them can be kept, got tokens = {tokens}"):
        embed(model, photos, tmp_path / "out.parquet", tokens=tokens)
    assert not list(tmp_path.glob("out*"))


def test_a_model_without_tokens_has_nothing_to_embed(
    tmp_path: Path, small: ModelConfig, photos: Path
) -> None:
    model = Stellar(replace(small, num_sparse_tokens=0)).eval()
    with pytest.raises(EmbeddingError, match="holds tokens and maps, and this model has none"):
        embed(model, photos, tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


def test_a_call_that_was_stopped_goes_on_with_as_many_tokens_alone(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Rows of two lengths never end up in one file."""
    ranks = Ranks(1, 2)  # which makes all parts, and not the end of it
    embed(model, photos, tmp_path / "out.parquet", part_size=2, tokens=2, ranks=ranks)
    with pytest.raises(
        EmbeddingError, match=r"parts of an embedding with other --tokens; remove it"
    ):
        embed(model, photos, tmp_path / "out.parquet", part_size=2)
    assert embed(model, photos, tmp_path / "out.parquet", part_size=2, tokens=2).num_images == 6


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_it_agrees_with_encode(tmp_path: Path, model: Stellar, photos: Path, fit: Fit) -> None:
    sixteen = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(sixteen).save(photos / "16.png")
    embed(model, photos, tmp_path / "out.parquet", fit=fit)
    found = read_embeddings(tmp_path / "out.parquet")
    assert found.metadata["fit"] == fit
    assert ("largest centred square" in found.metadata["preprocessing"]) == (fit == "crop")
    factors = model.encode([photos / path for path in found.paths], fit=fit)
    for ours, expected in ((found.tokens, factors.sparse), (found.maps, factors.maps)):
        exact = torch.from_numpy(ours.astype(np.float32))
        assert torch.cosine_similarity(exact.flatten(1), expected.flatten(1)).min() > 0.999


def test_fits_of_several_sizes_are_refused(tmp_path: Path, model: Stellar, photos: Path) -> None:
    with pytest.raises(InputError, match=r"must be crop or squash, got pad; encode pictures"):
        embed(model, photos, tmp_path / "out.parquet", fit="pad")
    assert not (tmp_path / "out.parquet.parts").exists()


def test_a_restart_does_not_repeat_finished_parts(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    embed(model, photos, tmp_path / "whole.parquet", batch_size=1, part_size=2)
    encoded = []

    def interrupt_the_fourth(_encoder: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        encoded.append(len(inputs[0]))
        if len(encoded) == 4:
            raise KeyboardInterrupt

    model.encoder.register_forward_pre_hook(interrupt_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        embed(model, photos, tmp_path / "out.parquet", batch_size=1, part_size=2)
    assert not (tmp_path / "out.parquet").exists()
    result = embed(model, photos, tmp_path / "out.parquet", batch_size=1)
    assert len(encoded) == 4 + (6 - 2)
    assert (result.num_images, result.num_unreadable) == (6, 1)
    ours, theirs = (read_embeddings(tmp_path / n) for n in ("out.parquet", "whole.parquet"))
    assert ours.paths == theirs.paths
    assert np.array_equal(ours.tokens, theirs.tokens)
    assert not (tmp_path / "out.parquet.parts").exists()


def test_an_interrupted_call_leaves_no_worker_and_goes_on(tmp_path: Path, model: Stellar) -> None:
    """Ctrl-C reaches the whole process group, as a terminal sends it."""
    photos, saved, out = tmp_path / "photos", tmp_path / "model", tmp_path / "out.parquet"
    for folder in (photos, saved):
        folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    for number in range(1000):
        (photos / f"{number}.png").symlink_to(tmp_path / "red.png")
    save_model(saved, model)
    call = ["embed", saved, photos, "--out", out, "--batch-size", "1", "--num-workers", "2"]
    call += ["--part-size", "200"]
    with subprocess.Popen(
        [sys.executable, "-m", "stellar", *map(str, call)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs inherit an ignored SIGINT, and the tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not list(tmp_path.glob("out.parquet.parts/data/[0-9]*.parquet")):
            assert process.poll() is None, "it ended before it could be interrupted"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output.endswith("stopped; the same command goes on where it was\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not out.exists()
    (tmp_path / "out.parquet.parts/.1.000000000800.parquet").write_bytes(b"half-wri")
    done: list[int] = []
    assert embed(model, photos, out, progress=lambda n, _: done.append(n)).num_images == 1000
    assert min(done) >= 200


def test_parts_of_another_model_are_refused(
    tmp_path: Path, small: ModelConfig, model: Stellar, photos: Path
) -> None:
    embed(model, photos, tmp_path / "out.parquet", ranks=Ranks(1, 2))
    with pytest.raises(EmbeddingError, match="parts of an embedding of another model; remove it"):
        embed(Stellar(small).eval(), photos, tmp_path / "out.parquet")


def test_it_is_said_in_what_another_embedding_differs(
    tmp_path: Path, small: ModelConfig, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    with pytest.raises(EmbeddingError, match="is an embedding with another --fit; remove it"):
        embed(model, photos, out, fit="squash")
    with pytest.raises(EmbeddingError, match="is an embedding with other --tokens; remove it"):
        embed(model, photos, out, tokens=small.num_sparse_tokens)
    fewer = Stellar(replace(small, num_sparse_tokens=2)).eval()
    (photos / "z.png").write_bytes(min(photos.iterdir()).read_bytes())
    with pytest.raises(EmbeddingError, match="is an embedding of another model; remove it"):
        embed(fewer, photos, out)


@pytest.mark.parametrize("said", [b"[" * 100_000, b"[]", b"{"])
def test_a_file_that_says_nonsense_of_itself_is_no_embedding(
    tmp_path: Path, model: Stellar, photos: Path, said: bytes
) -> None:
    file = tmp_path / "out.parquet"
    embed(model, photos, file)
    pq.write_table(pq.read_table(file).replace_schema_metadata({b"stellar": said}), file)
    for read in (
        read_embeddings,
        lambda path: next(row_groups(path)),
        lambda path: next(global_tokens(path)),
    ):
        with pytest.raises(EmbeddingError, match=r"is not an embedding .* or is damaged"):
            read(file)
    with pytest.raises(EmbeddingError, match="exists and is no embedding"):
        embed(model, photos, file)


def test_metadata_that_another_program_dropped_are_said_to_be_lacking(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """And what the sentence says brings them back, and the types as well."""
    original, file = tmp_path / "out.parquet", tmp_path / "filtered.parquet"
    embed(model, photos, original)
    found = pq.read_table(original).slice(1, 3)
    loose = {
        name: found[name].cast(pa.large_string() if name == "path" else pa.large_list(pa.float64()))
        for name in ("path", "cls", "tokens", "maps")
    }
    table = pa.table({**loose, "size": found["size"], "modified": found["modified"]})
    pq.write_table(table, file)
    for read in (
        read_embeddings,
        describe_embeddings,
        lambda path: next(row_groups(path)),
        lambda path: next(global_tokens(path)),
    ):
        with pytest.raises(EmbeddingError, match=r"lacks the metadata 'stellar', .* table\.cast\("):
            read(file)
    pq.write_table(table.cast(pq.read_schema(original)), file)
    assert read_embeddings(file).paths == read_embeddings(original).paths[1:4]


def test_columns_that_are_missing_or_of_another_kind_are_named(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    embed(model, photos, tmp_path / "out.parquet")
    whole = pq.read_table(tmp_path / "out.parquet")
    pq.write_table(whole.drop_columns(["maps"]), tmp_path / "less.parquet")
    with pytest.raises(EmbeddingError, match="is damaged: it has no column maps"):
        read_embeddings(tmp_path / "less.parquet")
    loose = whole["cls"].cast(pa.list_(pa.float16()))
    pq.write_table(whole.set_column(1, "cls", loose), tmp_path / "loose.parquet")
    with pytest.raises(EmbeddingError, match="is damaged: its cls are not of shape"):
        read_embeddings(tmp_path / "loose.parquet")


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_an_embedding_that_may_not_be_read_is_not_called_damaged(
    open_folder: Path,
    without_rights: Callable[[], AbstractContextManager[None]],
    model: Stellar,
    photos: Path,
    name: str,
) -> None:
    photos, out = photos.rename(open_folder / "photos"), open_folder / name
    embed(model, photos, out, part_size=4)
    last = max(out.iterdir()) if out.is_dir() else out
    reads = (
        read_embeddings,
        describe_embeddings,
        lambda path: list(row_groups(path)),
        lambda path: list(global_tokens(path)),
        lambda path: embed(model, photos, path),
    )
    for place in (last, out):
        place.chmod(0)
        with without_rights():
            for read in reads if place == last else reads[:-1]:
                with pytest.raises(EmbeddingError) as caught:
                    read(out)
                assert str(caught.value) == (
                    f"{place} cannot be read (Permission denied); make it readable, or name another"
                )


def test_a_place_where_nothing_may_be_written_is_named(
    open_folder: Path,
    without_rights: Callable[[], AbstractContextManager[None]],
    model: Stellar,
    photos: Path,
) -> None:
    """And not the hidden folder beside it."""
    photos = photos.rename(open_folder / "photos")
    for name, mode in (("ro", 0o555), ("closed", 0)):
        (open_folder / name).mkdir()
        (open_folder / name).chmod(mode)
        out = open_folder / name / "out.parquet"
        with without_rights(), pytest.raises(NotWritten) as caught:
            embed(model, photos, out)
        assert str(caught.value).startswith(f"{out} cannot be written (Permission denied); ")


def test_bad_calls_get_a_sentence(tmp_path: Path, model: Stellar, photos: Path) -> None:
    (tmp_path / "out.parquet").write_text("mine")
    with pytest.raises(EmbeddingError, match="exists and is no embedding"):
        embed(model, photos, tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_text() == "mine"
    with pytest.raises(EmbeddingError, match="is not an embedding"):
        read_embeddings(tmp_path / "out.parquet")
    with pytest.raises(EmbeddingError, match="does not exist; create it"):
        embed(model, photos, tmp_path / "nowhere" / "out.parquet")
    with pytest.raises(DataError, match="does not exist"):
        embed(model, tmp_path / "nowhere", tmp_path / "new.parquet")
    with pytest.raises(ConfigError, match=r"batch_size must be .* at least 1, got 0"):
        embed(model, photos, tmp_path / "new.parquet", batch_size=0)
    (tmp_path / "taken").mkdir()
    with pytest.raises(EmbeddingError, match="taken exists and is no embedding"):
        embed(model, photos, tmp_path / "taken")
    with pytest.raises(EmbeddingError, match=r"but .*taken holds no \.parquet files"):
        read_embeddings(tmp_path / "taken")
    assert not (tmp_path / "new.parquet.parts").exists()


@pytest.mark.usefixtures("unchecked")
def test_values_that_make_no_sense_leave_nothing(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    before, out = set(tmp_path.iterdir()), tmp_path / "new.parquet"
    for who, options, message in (
        (model, {"num_workers": -1}, "num_workers must be a whole number from 0 .* got -1"),
        (model, {"batch_size": "8"}, "batch_size must be a whole number .* got '8'"),
        (model, {"part_size": 0}, "part_size must be a whole number of at least 1, got 0"),
        (model, {"tokens": "4"}, "can be kept, got tokens = '4'"),
        (model, {"tokens": 2.0}, r"can be kept, got tokens = 2\.0"),
        (model, {"tokens": True}, "can be kept, got tokens = True"),
        (model, {"tokens": np.bool_(True)}, "can be kept, got tokens = "),
        ("stellar-scenes", {}, "gives one, got 'stellar-scenes'"),
        (nn.Linear(2, 2), {}, "gives one, got a Linear"),
    ):
        with pytest.raises(UserError, match=message):
            embed(who, photos, out, **options)  # pyright: ignore
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_any_precision_embed_in_their_own(
    tmp_path: Path,
    model: Stellar,
    photos: Path,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the machine is faster in bf16."""
    monkeypatch.setattr("stellar.precision.cpu_gains_by_bf16", lambda: True)
    embed(model.to(dtype), photos, tmp_path / "new.parquet")
    images = fitted(read_image(sorted(photos.glob("*.*"))[0]), "crop", model.config)[None]
    seen = Embedder(model).encode(images)[1]
    torch.testing.assert_close(seen, model.encode(images).sparse.half().flatten(1))


def test_progress_counts_every_image(tmp_path: Path, model: Stellar, photos: Path) -> None:
    calls: list[tuple[int, int]] = []
    embed(
        model, photos, tmp_path / "out.parquet", batch_size=2,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[-1] == (7, 7)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_where_nothing_can_be_read_there_is_no_result(tmp_path: Path, model: Stellar) -> None:
    for number in range(3):
        (tmp_path / f"pictures/{number}\nx.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / f"pictures/{number}\nx.jpg").write_bytes(b"nothing")
    for out in (tmp_path / "x.parquet", tmp_path / "parts"):
        with pytest.raises(EmbeddingError, match=r"none of 3 images could be read; .* says why"):
            embed(model, tmp_path / "pictures", out, part_size=2)
        assert not out.exists()
        lines = out.with_name(f"{out.name}.unreadable.txt").read_text().splitlines()
        assert [line.split("\t")[0] for line in lines] == ["0\\nx.jpg", "1\\nx.jpg", "2\\nx.jpg"]
    assert not list(tmp_path.glob("*.parts"))


def test_nobody_is_told_to_remove_their_pictures(model: Stellar, photos: Path) -> None:
    with pytest.raises(EmbeddingError, match="exists and is no embedding; choose another --out"):
        embed(model, photos, photos)
    with pytest.raises(EmbeddingError, match="/ exists and is no embedding; choose another --out"):
        embed(model, photos, "/")


def test_a_name_that_no_file_can_have_is_a_sentence(model: Stellar, photos: Path) -> None:
    with pytest.raises(NotWritten, match=r"long cannot be written \(File name too long\)"):
        embed(model, photos, photos / ("long" * 63))  # its parts have a longer one
    for out in ("long" * 75 + ".parquet", "long" * 75 + "/x.parquet"):
        with pytest.raises(UserError, match=r"long.* cannot be a path here"):
            embed(model, photos, photos / out)
