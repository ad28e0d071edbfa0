"""Files from the Hugging Face hub: downloaded once, then read from the cache."""

from pathlib import Path

from stellar.errors import first_line
from stellar.model.files.strict_loading import WeightsError
from stellar.model.history import HUB_ID

HUB = "hf://"
"""What says that a model's name is that of a hub repository, not a path."""
DESCRIPTIONS = "*config.json"
"""config.json, and the preprocessor_config.json of a backbone."""
SAFETENSORS = (DESCRIPTIONS, "*.safetensors", "*.safetensors.index.json")
PICKLES = (DESCRIPTIONS, "*.bin", "*.bin.index.json", "*.pth", "*.ckpt")


UNREACHED = (OSError, ValueError, ImportError)
"""What keeps one from the hub beside its own refusals: no connection, a name or a proxy that is
none, and a proxy that needs another package.
"""


def is_hub_id(source: str) -> bool:
    """True for `owner/name`, unless it can only be a path: its folder is there."""
    return HUB_ID.fullmatch(source) is not None and not Path(source).parent.is_dir()


def fetch(
    repo: str,
    revision: str | None = None,
    local_files_only: bool = False,
    patterns: tuple[str, ...] = SAFETENSORS,
) -> Path:
    """The local folder of a hub repository, with the files that match `patterns`.

    `revision` is a branch, a tag or a commit; `local_files_only` makes no network call, as does
    HF_HUB_OFFLINE=1. A repository that has no safetensors gives its pickles. Raises WeightsError
    with a sentence when the files can be had neither from the cache nor from the hub.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] (httpx or httpx2, as the hub has it)
    )

    try:
        folder = Path(
            snapshot_download(
                repo,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=list(patterns),
            )
        )
    except (HTTPError, *UNREACHED) as error:
        raise WeightsError(_sentence(repo, revision, first_line(error))) from error
    wanted = [pattern for pattern in patterns if pattern != DESCRIPTIONS] or list(patterns)
    if not any(file for pattern in wanted for file in folder.glob(pattern)):
        if patterns == SAFETENSORS:
            return fetch(repo, revision, local_files_only, PICKLES)
        raise WeightsError(_sentence(repo, revision, f"no {', '.join(wanted)} is there"))
    return folder


def _sentence(repo: str, revision: str | None, reason: str) -> str:
    name = repo if revision is None else f"{repo} at {revision}"
    return (
        f"{name} can be had neither from the cache nor from the Hugging Face hub ({reason}); "
        "check the name and the connection, or give the path of a local file"
    )
