"""One model on the embedded scenes: every number of the report, with the protocol behind it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stellar.data.cutouts import Cutouts
from stellar.evaluation.localisation import adjusted_rand_index, segment
from stellar.evaluation.probes import ProbeScore, probe_matrix
from stellar.evaluation.reconstruction import psnr
from stellar.evaluation.scenes import (
    SceneBatch,
    SceneFeatures,
    collect,
    concatenate,
    encode_scenes,
    object_features,
)
from stellar.evaluation.throughput import images_per_second
from stellar.model.stellar import Stellar

_THROUGHPUT_BATCH = 64


@dataclass(frozen=True)
class SceneReport:
    """What a model draws again, finds and knows on held-out scenes, and how that was measured."""

    psnr: float
    """Of the reconstructions, in dB; the mean over held-out images."""
    ari: float
    """Adjusted Rand index of argmax L against the masks; the mean over held-out images."""
    images_per_second: float
    """Encoding, in batches of 64."""
    scores: tuple[ProbeScore, ...]
    """The matrix: S, L and the dense feature against material, place and digit."""
    num_train_scenes: int
    num_train_objects: int
    num_heldout_scenes: int
    num_heldout_objects: int
    seed: int
    """Of the scenes."""
    image_size: int
    patch_size: int
    num_sparse_tokens: int
    num_parameters: int
    """Of what encodes and draws: neither training heads nor a tokenizer."""
    device: str

    def score(self, feature: str, label: str, probe: str) -> ProbeScore:
        """One cell of the matrix. Raises KeyError if there is none of these names."""
        cells = {(score.feature, score.label, score.probe): score for score in self.scores}
        return cells[feature, label, probe]


def evaluate_scenes(
    model: Stellar, num_train: int = 1000, num_heldout: int = 1000, seed: int = 0
) -> SceneReport:
    """Evaluate a model on scenes of its image size.

    The probes learn from `num_train` training scenes; every number is of held-out scenes.
    """
    size = model.config.image_size
    train = collect(model, Cutouts("train", seed=seed, size=size), range(num_train))

    source = Cutouts("heldout", seed=seed, size=size)
    batches = encode_scenes(model, source, range(num_heldout))
    objects, decibels, rand_indices = zip(*(_judge(model, batch) for batch in batches), strict=True)
    heldout = concatenate(objects)
    images = torch.stack([source.read(index) for index in range(_THROUGHPUT_BATCH)])
    return SceneReport(
        psnr=torch.cat(decibels).mean().item(),
        ari=torch.cat(rand_indices).mean().item(),
        images_per_second=images_per_second(model, images),
        scores=probe_matrix(train, heldout),
        num_train_scenes=num_train,
        num_train_objects=len(train),
        num_heldout_scenes=num_heldout,
        num_heldout_objects=len(heldout),
        seed=seed,
        image_size=size,
        patch_size=model.config.patch_size,
        num_sparse_tokens=model.config.num_sparse_tokens,
        num_parameters=_num_parameters(model),
        device=_device_name(model.device),
    )


def _judge(model: Stellar, batch: SceneBatch) -> tuple[SceneFeatures, Tensor, Tensor]:
    """The objects' features, and each image's PSNR and ARI."""
    height, width = batch.images.shape[2:]
    found = segment(batch.factors.maps, (height, width)).cpu()
    with torch.inference_mode():
        drawn = model.reconstruct(batch.factors).cpu()
    return (
        object_features(batch),
        psnr(batch.images / 255, drawn),
        adjusted_rand_index(batch.instances, found),
    )


def _num_parameters(model: Stellar) -> int:
    parts = (model.encoder, model.factorization, model.decoder)
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type.upper()}, {threads} thread{'s' * (threads > 1)}"
