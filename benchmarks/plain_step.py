"""The objective written down the plain way: what the fast step is measured against, and tested
against.

Everything at once: the views of all groups are encoded whole, every logit is materialised, q is a
matrix, and one backward pass goes through all of it. Same model, same terms, same numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stellar.model import Factors
from stellar.model.encoder import Tokens
from stellar.objective import Losses, PretrainingModel, Views
from stellar.objective.koleo import koleo
from stellar.objective.matching import match


def sinkhorn(logits: Tensor, temperature: float, iterations: int, scale: float) -> Tensor:
    q = torch.exp((logits - logits.amax(dim=0)) / temperature)
    for _ in range(iterations):
        q = q / q.sum(dim=0) ** scale
        q = q / q.sum(dim=1, keepdim=True)
    return q


def cross_entropy(logits: Tensor, q: Tensor, temperature: float) -> Tensor:
    return -(q * F.log_softmax(logits / temperature, dim=1)).sum(dim=1).mean()


def logits_of(head: torch.nn.Module, tokens: Tensor) -> Tensor:
    return head(tokens) @ head.get_parameter("prototypes").T


def plain_step(model: PretrainingModel, views: Views) -> tuple[Tensor, Losses]:
    """The total, with its graph, and the terms."""
    config = model.objective
    images = len(views.full)
    factors = model.encode(views.full)
    masked = model.encoder(views.masked, views.keep)
    local = model.encoder(views.local)

    def tokens_of(encoded: Tokens | Factors) -> tuple[Tensor, Tensor]:
        """S, and what its head reads of it."""
        sparse = encoded.sparse
        if isinstance(encoded, Factors):
            shares = encoded.spatial
        else:
            sparse, shares = model.factorization(encoded.dense, sparse)
        shares = shares / shares.sum(dim=1, keepdim=True)
        pooled = torch.einsum("bpk,bpd->bkd", shares, encoded.dense)
        return sparse, sparse + pooled if config.pooled_dense else sparse

    sparse, read = tokens_of(factors)
    masked_sparse, masked_read = tokens_of(masked)
    tokens, cls = (
        logits_of(model.sparse_head, read),
        logits_of(model.cls_head, factors.cls),
    )
    masked_tokens = logits_of(model.sparse_head, masked_read)
    masked_cls, local_cls = (
        logits_of(model.cls_head, masked.cls),
        logits_of(model.cls_head, local.cls),
    )

    target_sparse = sparse.detach()
    with torch.no_grad():
        target_tokens, target_cls = tokens, cls
        if model.teacher is not None:
            assert views.second is not None
            taught = model.teacher.encoder(views.second)
            target_sparse, taught_read = tokens_of(taught)
            target_tokens = logits_of(model.teacher.sparse_head, taught_read)
            target_cls = logits_of(model.teacher.cls_head, taught.cls)
        balance = (config.target_temperature, config.sinkhorn_iterations, config.sinkhorn_scale)
        q, q_cls = sinkhorn(target_tokens, *balance), sinkhorn(target_cls, *balance)
        q = q.unflatten(0, (images, -1))

    def index_of(sparse: Tensor, target: Tensor) -> Tensor:
        epsilon, iterations = config.matching_epsilon, config.matching_iterations
        return match(sparse.detach(), target.detach(), epsilon, iterations)

    def rows_of(q: Tensor, index: Tensor) -> Tensor:
        return q.gather(1, index[:, :, None].expand(-1, -1, q.shape[2])).flatten(0, 1)

    def matched(sparse: Tensor) -> Tensor:
        views_of_one = len(sparse) // images
        index = index_of(sparse, target_sparse.repeat_interleave(views_of_one, dim=0))
        return rows_of(q.repeat_interleave(views_of_one, dim=0), index)

    def repeated_cls(logits: Tensor) -> Tensor:
        return q_cls.repeat_interleave(len(logits) // images, dim=0)

    tau = config.prediction_temperature
    own = q.flatten(0, 1) if model.teacher is None else matched(sparse)
    token_clustering = cross_entropy(tokens, own, tau)
    cls_clustering = cross_entropy(cls, q_cls, tau)
    if config.global_alignment != "off":
        assert views.second is not None
        second = model.encoder(views.second)
        sparse2, read2 = tokens_of(second)
        tokens2 = logits_of(model.sparse_head, read2)
        cls2 = logits_of(model.cls_head, second.cls)
        with torch.no_grad():
            q2, q2_cls = sinkhorn(tokens2, *balance), sinkhorn(cls2, *balance)
            to_full, to_second = index_of(sparse2, sparse), index_of(sparse, sparse2)
            if config.global_alignment == "published":
                to_second = to_full
            wanted = rows_of(q2.unflatten(0, (images, -1)), to_second)
        halves = (
            cross_entropy(tokens, wanted, tau),
            cross_entropy(tokens2, rows_of(q, to_full), tau),
        )
        token_clustering = (halves[0] + halves[1]) / 2
        cls_clustering = (cross_entropy(cls, q2_cls, tau) + cross_entropy(cls2, q_cls, tau)) / 2
    losses = Losses(
        reconstruction=reconstruction(
            model, views.full, model.decoder(factors.lowrank, factors.grid)
        ),
        token_clustering=token_clustering,
        cls_clustering=cls_clustering,
        set_alignment=cross_entropy(masked_tokens, matched(masked_sparse), tau),
        cls_masked=cross_entropy(masked_cls, repeated_cls(masked_cls), tau),
        cls_local=cross_entropy(local_cls, repeated_cls(local_cls), tau),
        koleo=koleo(sparse) + koleo(masked_sparse),
    )
    total = losses.total(model.weights)
    assert total is not None
    return total, losses


def reconstruction(model: PretrainingModel, images: Tensor, prediction: Tensor) -> Tensor:
    if model.config.decoder.target == "pixels":
        return F.mse_loss(prediction, images)
    return F.cross_entropy(prediction.flatten(0, 1), model.codes(images).flatten())
