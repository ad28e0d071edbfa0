"""A model for others: a folder with `model.safetensors`, `config.json` and a model card, which is
also what a hub repository holds.

huggingface_hub's own mixin would write another config.json, so this uses its client instead.
"""

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from stellar.errors import UserError, first_line
from stellar.model.decoder import Decoder
from stellar.model.files.card import CARD, model_card
from stellar.model.files.config_json import HISTORY
from stellar.model.files.hub import HUB, UNREACHED, is_hub_id
from stellar.model.files.saving import save_model
from stellar.model.stellar import Stellar
from stellar.storage import place_files, reason_of


class SharingError(UserError):
    """A model cannot be written into a folder or sent to the hub; the message says why."""


def save_pretrained(model: Stellar, folder: Path, source: str | None = None) -> None:
    """What `Stellar.save_pretrained` does; `source` is what the card calls the model, by default
    the folder's name.
    """
    if model.learned_to_draw and not isinstance(model.decoder, Decoder):
        raise SharingError(
            "this model was loaded without its decoder; load it with purpose='reconstruct' to share"
        )
    parts: dict[str, nn.Module] = {"encoder": model.encoder}
    if model.learned_to_draw:
        parts["decoder"] = model.decoder
    parameters = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in parts.items()
    }
    name = source or folder.resolve().name

    def write(place: Path) -> None:
        save_model(place, model, _configuration(model))
        if not (folder / CARD).exists():
            card = model_card(model.config, model.history, parameters, name)
            (place / CARD).write_text(card, "utf-8")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        place_files(folder, write)
    except OSError as error:
        raise SharingError(
            f"{folder} cannot be written ({reason_of(error)}); make room there, or choose another"
        ) from error


def from_pretrained(source: str | Path, revision: str | None, local_files_only: bool) -> Stellar:
    """What `Stellar.from_pretrained` does."""
    import stellar  # its `load` stands above the model: it also builds what only training needs

    if is_hub_id(str(source)) and not Path(source).exists():
        source = HUB + str(source)
    return stellar.load(source, revision=revision, local_files_only=local_files_only)


def push_to_hub(model: Stellar, repo: str, private: bool | None) -> str:
    """What `Stellar.push_to_hub` does."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] (httpx or httpx2, as the hub has it)
    )

    hub = HfApi()
    try:
        with TemporaryDirectory() as folder:
            save_pretrained(model, Path(folder), repo)
            repo = hub.create_repo(repo, private=private, exist_ok=True).repo_id
            commit = hub.upload_folder(
                repo_id=repo,
                folder_path=folder,
                ignore_patterns=[CARD] if hub.file_exists(repo, CARD) else None,
                commit_message="A stellar model",
            )
    except UserError:
        raise
    except (HTTPError, *UNREACHED) as error:
        raise SharingError(
            f"{repo} cannot be written on the hub ({first_line(error)}); check its name (as "
            "you/pets), the connection, and that you are logged in with a token that may write: "
            "hf auth login"
        ) from error
    return commit.commit_url


def _configuration(model: Stellar) -> dict[str, Any]:
    """The content of config.json, without the path of the tokenizer's file on this machine."""
    decoder = model.config.decoder
    portable = replace(decoder, tokenizer=Path(decoder.tokenizer).name)
    content = {"model": asdict(replace(model.config, decoder=portable))}
    objective = getattr(model, "objective", None)  # of a model that still has its training heads
    if objective is not None:
        content["objective"] = asdict(objective)
    if model.history is not None:
        content[HISTORY] = asdict(model.history)
    return content
