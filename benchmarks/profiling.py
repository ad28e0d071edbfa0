"""What a step spends its time in: the parts of the objective, the kinds of kernels, and the longest
of them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from stellar.model.decoder import Decoder
from stellar.model.encoder import Encoder
from stellar.model.vqgan import VQGAN
from stellar.objective import compared_views, global_views, reference, this_step
from stellar.objective.prototypes import PrototypeHead
from table import table

PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "encoder, forward": ((Encoder, "forward"), (Encoder, "encode_packed")),
    "tokenizer": ((VQGAN, "codes"),),
    "decoder, forward": ((Decoder, "forward"),),
    "heads": (
        (PrototypeHead, "forward"),
        (reference, "cross_entropy"),
        (reference, "mean_prototype"),
    ),
    "targets": ((reference, "assign"),),
    "matching": ((this_step, "match"),),
    "KoLeo": ((global_views, "koleo"), (compared_views, "koleo")),
}
"""Where each part's functions are looked up. The heads' gradient is taken on the way forward."""
KINDS = {
    "compiled": r"^triton",
    "attention": r"fmha|flash|attention|sdpa|dot_do_o|convert_dq|_softmax_backward",
    "convolutions": r"convol|fprop|dgrad|wgrad|implicit",
    "products of matrices": r"gemm|gemv|nvjet|cutlass|cublas|::mm$|::addmm$|::bmm$|linear",
    "optimizer": r"adam|multi_tensor|foreach",
}
"""Kinds of kernels, by what is in their names; the first that fits."""


def profile_of(run: Callable[[], object], device: torch.device, warm_up: int = 3) -> str:
    """Of one call, after others: tables as Markdown, then torch's own."""
    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * gpu]
    with named_parts():
        for _ in range(warm_up):
            run()
        start = perf_counter()
        run()
        seconds = perf_counter() - start
        with profile(activities=activities) as profiler:
            run()
    averages = profiler.key_averages()
    kernels, parts = Counter[str](), Counter[str]()
    for event in averages:
        on_cpu = event.device_type.name == "CPU"
        if event.key in PARTS:
            # A part's span on the GPU, which is an event too, would count the gaps in it.
            parts[event.key] += on_cpu * (event.device_time_total if gpu else event.cpu_time_total)
        elif not event.is_user_annotation and on_cpu is not gpu:  # kernels, where there is a GPU
            kernels[event.key] += event.self_device_time_total if gpu else event.self_cpu_time_total
    total = kernels.total()
    parts["the rest, and the way back through all of them"] = total - parts.total()
    sections = (
        f"one step: {1e3 * seconds:.1f} ms, of which {device.type} works {total / 1e3:.1f}",
        shares("part", parts, total),
        shares("kind of kernel", by_kind(kernels), total),
        averages.table(sort_by=f"self_{device.type}_time_total", row_limit=100),
    )
    return "\n\n".join(sections)


@contextmanager
def named_parts() -> Iterator[None]:
    """What the parts' functions do bears the name of the part."""
    found = [(owner, name, part) for part, places in PARTS.items() for owner, name in places]
    plain = [getattr(owner, name) for owner, name, _ in found]
    for (owner, name, part), function in zip(found, plain, strict=True):
        setattr(owner, name, record_function(part)(function))
    try:
        yield
    finally:
        for (owner, name, _), function in zip(found, plain, strict=True):
            setattr(owner, name, function)


def by_kind(microseconds: Counter[str]) -> Counter[str]:
    """The time of kernels, by their kind."""
    kinds: Counter[str] = Counter()
    for kernel, time in microseconds.items():
        fits = (kind for kind, names in KINDS.items() if re.search(names, kernel, re.IGNORECASE))
        kinds[next(fits, "the rest")] += time
    return kinds


def shares(title: str, microseconds: Counter[str], total: float) -> str:
    """Each in milliseconds and in percent of all, the longest first."""
    lines = [
        (name, f"{time / 1e3:.2f}", f"{time / total:.1%}")
        for name, time in microseconds.most_common()
    ]
    return table((title, "ms", "of all"), lines)
