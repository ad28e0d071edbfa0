"""Words find what they mean, where it is: with a tower whose vectors are a linear map of colour, so
that what has to be found is known.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from tiny_towers import save_tiny

import stellar
from stellar.aligning import Alignment, align
from stellar.aligning.align import AlignError, read_captions
from stellar.aligning.examples import LARGEST, token_examples, token_part
from stellar.cli import main
from stellar.cli.explore import Options, words_of
from stellar.config import ConfigError, ModelConfig
from stellar.data import DataError, ImageFolder, Scenes, open_embedded
from stellar.data.scenes.palette import COLOURS as NAMES
from stellar.images import InputError
from stellar.model import Stellar
from stellar.searching import Index, SearchError, open_index, read_words
from words import COLOURS, ColourTower

NUM_INDEXED = 150
DOCS = (Path(__file__).parents[2] / "docs/words.md").read_text()


@pytest.fixture(scope="module")
def model() -> Stellar:
    return stellar.load("stellar-scenes")


@pytest.fixture(scope="module")
def aligned(model: Stellar) -> Alignment:
    source = open_embedded("scenes", "tuning", model.config)
    return align(model, ColourTower(), source, count=300)


@pytest.fixture(scope="module")
def scenes(model: Stellar) -> Scenes:
    return open_embedded("scenes", "heldout", model.config, length=NUM_INDEXED)


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, model: Stellar, scenes: Scenes, aligned: Alignment
) -> Index:
    """Of held-out scenes, with words."""
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("aligned")
    (folder / "scenes").mkdir()
    for number in range(NUM_INDEXED):
        pixels = scenes.read(number).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"scenes/{number:03}.png")
    stellar.embed(model, folder / "scenes", folder / "scenes.parquet", num_workers=0)
    stellar.build_index(
        folder / "scenes.parquet", folder / "scenes.index", folder / "scenes", words=aligned.words
    )
    return open_index(folder / "scenes.index")


def shows(scenes: Scenes, path: str, colour: str, left: bool | None = None) -> bool:
    """Whether a scene has a thing of this colour, in its left half or its right."""
    for item in scenes.scene(int(path.removesuffix(".png"))).objects:
        if NAMES[item.colour] == colour and (left is None or (item.centre[1] < 0.5) == left):
            return True
    return False


def test_tokens_say_colours(aligned: Alignment) -> None:
    assert aligned.cosine > aligned.baseline + 0.05
    assert aligned.num_examples > 400
    assert not aligned.unreadable


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_a_word_finds_its_things_and_finds_them_at_a_place(
    index: Index, scenes: Scenes, colour: str
) -> None:
    words, text = index.words, ColourTower().texts([colour]).numpy()
    assert words is not None
    hits = index.search_words(text, words, count=10)
    assert sum(shows(scenes, hit.path, colour) for hit in hits) >= 8
    for where in ("left", "right"):
        hits = index.search_words(text, words, where=where, count=8)
        assert sum(shows(scenes, hit.path, colour, where == "left") for hit in hits) >= 5
    every = [shows(scenes, f"{number}.png", colour) for number in range(NUM_INDEXED)]
    assert np.mean(every) < 0.4


def test_two_words_find_both(index: Index, scenes: Scenes) -> None:
    words = index.words
    assert words is not None
    hits = index.search_words(ColourTower().texts(["red", "green"]).numpy(), words, count=4)
    both = [shows(scenes, hit.path, "red") and shows(scenes, hit.path, "green") for hit in hits]
    assert sum(both) >= 3
    assert len(hits[0].matches) == 2


def test_an_approximate_index_finds_nearly_the_same(index: Index, tmp_path: Path) -> None:
    folder, words = index.folder.parent, index.words
    assert words is not None
    stellar.build_index(folder / "scenes.parquet", tmp_path / "near.index", exact_up_to=10)
    near = open_index(tmp_path / "near.index")
    assert near.approximate
    text = ColourTower().texts(["blue"]).numpy()
    exact = [hit.path for hit in index.search_words(text, words)]
    assert len(set(exact) & {hit.path for hit in near.search_words(text, words)}) >= 9
    assert exact == [hit.path for hit in near.search_words(text, words, exact=True)]
    assert near.words is None


def test_words_of_another_model_or_fit_are_refused(
    index: Index, tmp_path: Path, small: ModelConfig, aligned: Alignment
) -> None:
    torch.manual_seed(1)
    source = open_embedded("scenes", "tuning", small)
    other = align(Stellar(small).eval(), ColourTower(), source, count=20).words
    with pytest.raises(SearchError, match=r"of another model \(.*\) than the index"):
        index.search_words(np.ones((1, 16), np.float32), other)
    with pytest.raises(SearchError, match=r"of another model \(.*\) than the index"):
        stellar.build_index(
            index.folder.parent / "scenes.parquet", tmp_path / "new.index", words=other
        )
    assert not (tmp_path / "new.index").exists()
    squashed = replace(aligned.words, origin=replace(aligned.words.origin, fit="squash"))
    with pytest.raises(SearchError, match=r"fit squash, and the index .* again with --fit crop"):
        index.search_words(ColourTower().texts(["blue"]).numpy(), squashed)
    with pytest.raises(SearchError, match=r"texts of .* vectors of 16 .*, got shape \(1, 3\)"):
        index.search_words(np.ones((1, 3), np.float32), aligned.words)


def test_words_are_read_as_they_were_written(tmp_path: Path, aligned: Alignment) -> None:
    aligned.words.save(tmp_path / "words.safetensors")
    read = read_words(tmp_path / "words.safetensors")
    assert read.origin == aligned.words.origin
    assert np.array_equal(read.weight, aligned.words.weight)
    data = (tmp_path / "words.safetensors").read_bytes()
    for spoiled in (b"", data[: len(data) // 2], b"no words", data.replace(b"weight", b"height")):
        (tmp_path / "words.safetensors").write_bytes(spoiled)
        with pytest.raises(SearchError, match="is damaged, or not what stellar align wrote"):
            read_words(tmp_path / "words.safetensors")
    deep = {"stellar_words": "[" * 100_000}
    save_file({"weight": np.eye(2)}, tmp_path / "words.safetensors", metadata=deep)
    with pytest.raises(SearchError, match="is damaged, or not what stellar align wrote"):
        read_words(tmp_path / "words.safetensors")
    with pytest.raises(SearchError, match=r"but .* does not exist"):
        read_words(tmp_path / "nothing.safetensors")


def test_a_token_shows_its_part_of_the_picture() -> None:
    picture = torch.zeros(3, 40, 80)
    picture[0, 20:, :20] = 1
    token = torch.zeros(4, 8)
    token[2:, :2] = 1
    part = token_part(picture, token, torch.full((3,), 0.5))
    assert part.shape[1] in range(22, 30)  # a square around 20 x 20, with a margin; cut at the edge
    assert part.shape[2] in range(20, 28)
    assert part[0].mean() > 0.6
    assert token_part(picture, torch.zeros(4, 8), torch.zeros(3)).shape == (3, 40, 80)


def test_parts_of_large_pictures_are_cut_of_smaller_ones(tmp_path: Path, model: Stellar) -> None:
    """And show the same."""

    class Sizes(ColourTower):
        def pictures(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
            seen.extend(max(each.shape[1:]) for each in pictures)
            return super().pictures(pictures)

    seen: list[int] = []
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    for name, size in (("few.png", (600, 500)), ("many.png", (2400, 2000))):
        image.resize(size).save(tmp_path / name)
    found, _ = token_examples(model, Sizes(), ImageFolder(tmp_path), range(2), "squash", 0)
    assert seen == [600, LARGEST]
    assert found.target[0] @ found.target[1] > 0.99


def test_the_same_seed_gives_the_same_examples_and_unreadable_ones_are_named(
    tmp_path: Path, model: Stellar
) -> None:
    for number in range(3):
        pixels = torch.rand(30, 40, 3).mul(255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    source = ImageFolder(tmp_path)

    def some(seed: int) -> tuple[np.ndarray, list[str]]:
        found, unread = token_examples(model, ColourTower(), source, range(3), "crop", 2, seed)
        assert set(found.picture) == {0, 2}
        return found.sparse, unread

    first, unread = some(0)
    assert unread == ["1.png"]
    assert np.array_equal(first, some(0)[0])


def test_where_no_token_has_a_hundredth_of_a_picture_the_whole_is_learned_from(
    small: ModelConfig,
) -> None:
    even = replace(small, num_sparse_tokens=128, spatial_temperature=1e3)
    scenes = open_embedded("scenes", "tuning", small)
    found, _ = token_examples(Stellar(even).eval(), ColourTower(), scenes, range(3), "crop", 2)
    assert found.picture.tolist() == [0, 1, 2]


def captioned(folder: Path, scenes: Scenes, count: int) -> Path:
    """Scenes of one thing, each with its colour as its caption."""
    lines, number = ["path,text"], 0
    while len(lines) <= count:
        (item, *more) = scenes.scene(number).objects
        if not more and NAMES[item.colour] in COLOURS:
            pixels = scenes.read(number).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / f"{number}.png")
            lines.append(f"{number}.png,{NAMES[item.colour]}")
        number += 1
    (folder / "texts.csv").write_text("\n".join(lines))
    return folder / "texts.csv"


def test_captions_are_learned_from(tmp_path: Path, model: Stellar) -> None:
    table = captioned(tmp_path, open_embedded("scenes", "tuning", model.config), 100)
    found = align(model, ColourTower(), captions=table)
    assert (found.num_examples, found.num_held_out) == (100, 10)
    assert found.rank < 0.2
    path, *rest = table.read_text().splitlines()
    pictures, texts = zip(*(line.split(",") for line in rest), strict=True)
    mixed = np.random.default_rng(0).permutation(texts)
    lines = [f"{picture},{text}" for picture, text in zip(pictures, mixed, strict=True)]
    table.write_text("\n".join([path, *lines]))
    assert align(model, ColourTower(), captions=table).rank > 0.25


def test_pictures_with_several_captions_are_held_out_with_all_of_them(
    tmp_path: Path, model: Stellar
) -> None:
    table = captioned(tmp_path, open_embedded("scenes", "tuning", model.config), 20)
    head, *rows = table.read_text().splitlines()
    more = [f"./{row}" for row in rows]
    table.write_text("\n".join([head, *rows, *more]))
    found = align(model, ColourTower(), captions=table)
    assert (found.num_examples, found.num_held_out) == (40, 4)
    files, texts = read_captions(table)
    assert (len(files), {len(each) for each in texts}) == (20, {2})
    table.write_text("\n".join([head, *rows[:19], *more[:19]]))
    with pytest.raises(AlignError, match="at least 20 pictures, of which 19 were read"):
        align(model, ColourTower(), captions=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; expected path,text"),
        ("path,label\n", "has the columns path,label; expected path,text"),
        ("path,text\nz.png,cat\n", "line 2: z.png is no file"),
        ("path,text\n,cat\n", "line 2: an empty path is no file"),
        ("path,text\na.png,\n", "line 2: a.png has no text"),
        ('path,text\na.png,"x"y\n', "cannot be read as a CSV file"),
    ],
)
def test_wrong_captions_are_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "texts.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_captions(tmp_path / "texts.csv")


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_aligned_is_a_sentence(model: Stellar, tmp_path: Path) -> None:
    source = open_embedded("scenes", "tuning", model.config)
    with pytest.raises(AlignError, match="give pictures, or a CSV file of captions, and not both"):
        align(model, ColourTower())
    with pytest.raises(InputError, match="fit must be crop or squash, got resize"):
        align(model, ColourTower(), source, fit="resize")
    with pytest.raises(ConfigError, match="count must be a whole number of at least 20, got 3"):
        align(model, ColourTower(), source, count=3)
    with pytest.raises(AlignError, match="expected a tower, as load_tower gives one, got 'openai/"):
        align(model, "openai/clip-vit-base-patch32", source)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="crops must be a whole number of at least 1, got '4'"):
        align(model, ColourTower(), source, crops="4")  # pyright: ignore[reportArgumentType]
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    for pictures in (tmp_path, str(tmp_path / "a.png"), [tmp_path / "a.png"]):
        with pytest.raises(AlignError, match="at least 20 pictures, of which 1 were read"):
            align(model, ColourTower(), pictures)


def test_from_pictures_to_hits_on_the_command_line(
    tmp_path: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tiny random CLIP: that it runs, as it is typed."""
    pytest.importorskip("transformers")
    tower, words = save_tiny(tmp_path / "clip", "clip"), tmp_path / "words.safetensors"
    folder = index.folder.parent
    call = ["align", "stellar-scenes", "--to", str(tower), "--data", str(folder / "scenes"),
            "--count", "30", "--out", str(words)]  # fmt: skip
    assert main(call) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"150 examples; on 15 held out, cosine 0\.\d+ \(of the mean: 0\.\d+\), and", told
    )
    call = ["search", str(index.folder), "a red boat", "--words", str(words), "--where", "right"]
    assert main([*call, "--out", str(tmp_path / "hits.html")]) == 0
    told = capsys.readouterr()
    assert (told.out.count(".png"), told.err) == (10, "")
    assert "Most like a red boat, at right" in (tmp_path / "hits.html").read_text()
    new = tmp_path / "new.index"
    call = ["index", str(folder / "scenes.parquet"), "--out", str(new), "--words", str(words)]
    assert main(call) == 0
    assert main(["search", str(new), "a red boat", "cat", "--count", "2"]) == 0
    told = capsys.readouterr()
    assert told.out.count(".png") == 2
    assert told.err == ""
    assert main(["search", str(new), "red", "boat", "--count", "2"]) == 0
    assert capsys.readouterr().err == (
        "pictures with 'red' and 'boat'; quote words that belong together\n"
    )
    found = words_of(Options(index=new), stellar.open_index(new))
    assert found is not None
    assert found.texts(["a red boat", "cat"]).shape == (2, found.words.width)
    for text in ("red \ud800", "red \udcff"):  # of a page, and of bytes that are no UTF-8
        with pytest.raises(stellar.UserError, match=r"made of whole characters, got 'red \\ud"):
            found.texts([text])
        assert main(["search", str(new), text]) == 1
        assert "made of whole characters" in capsys.readouterr().err
    given = words_of(Options(index=index.folder, words=words), index)
    assert given is not None
    assert given.words.origin == found.words.origin


def test_words_find_the_folder_of_their_tower_from_anywhere(
    tmp_path: Path,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was named as it lies; where it is gone, that is said, and nothing else is looked for."""
    pytest.importorskip("transformers")
    tower = save_tiny(tmp_path / "towers/clip", "clip")
    monkeypatch.chdir(tmp_path)
    pictures = str(index.folder.parent / "scenes")
    call = ["align", "stellar-scenes", "--to", "towers/clip", "--data", pictures, "--count", "20"]
    assert main([*call, "--out", "w.safetensors"]) == 0
    assert read_words("w.safetensors").origin.tower == str(tower.resolve())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    call = ["search", str(index.folder), "a red boat", "--words", "../w.safetensors"]
    assert main(call) == 0
    tower.rename(tmp_path / "gone")
    capsys.readouterr()
    assert main(call) == 1
    told = capsys.readouterr().err
    assert f"the folder {tower.resolve()}, which the words were made with, is not here" in told


def test_every_command_of_the_docs_runs(
    tmp_path: Path,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a tiny random CLIP in a folder that is called as the published one."""
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "openai/clip-vit-base-patch32", "clip")
    (tmp_path / "photos").symlink_to(index.folder.parent / "scenes")
    blocks = re.findall(r"```sh\n(.*?)```", DOCS, flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    assert [line[1] for line in lines] == ["embed", "align", "index", "search", "search", "align"]
    texts = [f"photos/{number:03}.png,a red boat" for number in range(30)]
    Path("texts.csv").write_text("\n".join(["path,text", *texts]))
    for line in lines:
        capsys.readouterr()
        assert main(line[1:]) == 0, (line, capsys.readouterr().err)
    told = capsys.readouterr().out  # of the last one, which learns from captions
    assert "30 examples; on 3 held out" in told
    assert "in the median (by chance: 50%) -> words.safetensors" in told
    assert "cosine" not in told
    (block,) = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert len(names["hits"]) == 10


@pytest.mark.parametrize("texts", [[""], [" "], ["boat", "\t"]])
def test_an_empty_text_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], texts: list[str]
) -> None:
    """A tower has vectors of it as well, which find anything."""
    assert main(["search", str(tmp_path), *texts]) == 1
    assert "a text to search by says something, got an empty one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("align stellar-scenes --to nowhere --data scenes --out w.txt", "ends in .safetensors"),
        ("align stellar-scenes --to {tmp} --data scenes --out {tmp}/w.safetensors",
         "cannot be loaded as a model of pictures and texts"),
        ("align stellar-scenes --to x --data scenes --out {tmp}/no/w.safetensors",
         "no does not exist; create it"),
        ("align nowhere --to x --out {tmp}/w.safetensors", "give pictures, or a CSV file"),
        ("align nowhere --to x --data scenes --count 3 --out {tmp}/w.safetensors",
         "count must be a whole number of at least 20, got 3"),
        ("align nowhere --to x --data scenes --crops 0 --out {tmp}/w.safetensors",
         "crops must be a whole number of at least 1, got 0"),
        ("align nowhere --to x --captions {tmp}/no.csv --out {tmp}/w.safetensors", "no.csv"),
        ("align stellar-scenes --to {tmp}/clip --data scenes --out {tmp}/w.safetensors",
         "expected a folder with a model of pictures and texts, but"),
        ("search {tmp} boat --like a.png", "got --like a.png and the words 'boat'; leave one"),
        ("search {tmp} boat --token 3", "--token, --at and --model are for --like PATH, not for"),
        ("search {tmp} boat --model stellar-scenes", "are for --like PATH, not for words"),
        ("search {tmp} --like a.png --words {tmp}/w", "--words is for a search by words, not for"),
        ("explore --words {tmp}/w", "--words is for a search in an index; name that with --index"),
        ("search {tmp} boat --pictures {tmp}", "--pictures is for the page; name it with --out"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], call: str, message: str
) -> None:
    assert main(call.format(tmp=tmp_path).split()) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_an_index_without_words_says_how_to_get_some(
    tmp_path: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    stellar.build_index(index.folder.parent / "scenes.parquet", tmp_path / "bare.index")
    assert words_of(Options(), stellar.open_index(tmp_path / "bare.index")) is None
    assert main(["search", str(tmp_path / "bare.index"), "boat"]) == 1
    assert "knows no words; learn some with stellar align" in capsys.readouterr().err
