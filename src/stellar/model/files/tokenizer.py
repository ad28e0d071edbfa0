"""The frozen MaskGIT-VQGAN of models that reconstruct codes: from a file, or from the hub."""

from pathlib import Path

from stellar.errors import first_line
from stellar.model.files.locating import find_file, locate_tokenizer
from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tensors import read_state
from stellar.model.vqgan import VQGAN


def fetch_tokenizer(num_codes: int, local_files_only: bool = False) -> VQGAN:
    """The published tokenizer from the hub's cache, or downloaded into it. Raises WeightsError."""
    return load_tokenizer(locate_tokenizer(local_files_only), num_codes)


def load_tokenizer(path: Path, num_codes: int) -> VQGAN:
    """The frozen MaskGIT-VQGAN, from the published pickle (tensors only, no code is run) or a
    safetensors file, for a decoder that names so many codes. Raises WeightsError.
    """
    if not path.exists():
        raise WeightsError(f"the tokenizer's file {path} does not exist")
    try:
        tokenizer = VQGAN.from_state(read_state(find_file(path)))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path} does not hold a MaskGIT-VQGAN: {first_line(error)}") from error
    if tokenizer.num_codes != num_codes:
        raise WeightsError(
            f"the tokenizer {path} has {tokenizer.num_codes:,} codes, and the decoder names "
            f"{num_codes:,} (model.decoder.num_codes); set them alike, or give its own tokenizer"
        )
    return tokenizer
