"""One GPU: how exact and how fast each precision is, beside the card's own rate; search in a million places.

The first tables compare with the same network in float64, on random pictures of 640x480 pixels. Times are
from uint8 on the host to the descriptor on the host: of one image, and of batches of 16 that four threads
send. `of the card` is the share of the rate of large products in bfloat16, which run as long as the batches:
a card that works for half a second lowers its clock. The baseline is torch as it
comes, layer by layer in float32 with the ten bits of TF32. The last table has places drawn at random, 512
numbers each, and queries near some of them.

Weights are those of `benchmarks.backbones`. Its `--device cuda` measures recall, and `benchmarks.peers
--device cuda` runs the original projects' code.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._measure import all_seconds, parser, print_table
from benchmarks.backbones import subject
from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import TORCH_PRECISIONS
from netvlad_core.model.torch_engine import TorchEngine, to_input
from netvlad_core.search import open_index

_GPU = torch.device("cuda")
_BATCH, _THREADS = 16, 4
_SIDE = 8192  # of the product
_SECONDS = 1.0  # of products, about those of a row's batches
_BASELINE = "torch as it comes"
_DIMENSION, _QUERIES, _WANTED = 512, 200, 20


def pictures(count: int) -> list[np.ndarray]:
    """Random images (480, 640, 3) uint8."""
    noise = np.random.default_rng(0).integers(0, 256, (count, 30, 40, 3), np.uint8)
    return [cv2.resize(picture, (640, 480)) for picture in noise]


def bfloat16_rate(seconds: float) -> float:
    """Operations a second of large products of random numbers, one after the other for some time."""
    a, b = torch.randn(2, _SIDE, _SIDE, device=_GPU).bfloat16()
    products, start = 0, perf_counter()
    while perf_counter() < start + seconds:
        for _ in range(10):
            a @ b
        torch.cuda.synchronize()
        products += 10
    return products * 2 * _SIDE**3 / (perf_counter() - start)


def operations(network: PlaceNetwork, image: np.ndarray) -> int:
    """Floating-point operations of one image."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(to_input(torch.from_numpy(image[None]).to(_GPU), network.spec.preprocessing))
    return counter.get_total_flops()


def exact(network: PlaceNetwork, images: Sequence[np.ndarray]) -> np.ndarray:
    """Descriptors by the network in float64."""
    doubled = copy.deepcopy(network).double()
    with torch.inference_mode():
        inputs = [to_input(torch.from_numpy(i[None]).to(_GPU), network.spec.preprocessing) for i in images]
        return torch.cat([doubled(each.double()) for each in inputs]).cpu().numpy()


@contextmanager
def tf32(is_allowed: bool) -> Iterator[None]:
    """Whether convolutions of float32 round to ten bits, in all threads."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, is_allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def describe(extractor: Extractor, images: Sequence[np.ndarray], with_tf32: bool) -> np.ndarray:
    with tf32(with_tf32):
        return extractor(images)


def rate(extractor: Extractor, images: Sequence[np.ndarray], batches: int) -> float:
    """Images a second of batches that several threads send, each warmed up."""
    ready, done = threading.Barrier(_THREADS + 1), threading.Barrier(_THREADS + 1)

    def send() -> None:
        for _ in range(4):
            extractor(images[:_BATCH])
        ready.wait()
        for _ in range(batches):
            extractor(images[:_BATCH])
        done.wait()

    for _ in range(_THREADS):
        threading.Thread(target=send).start()
    ready.wait()
    start = perf_counter()
    done.wait()
    return _THREADS * batches * _BATCH / (perf_counter() - start)


def network_rows(backbone: str, rounds: int, card: float) -> Iterator[list[str]]:
    images = pictures(2 * _BATCH)
    with TemporaryDirectory() as folder:
        about = subject(backbone, None, Path(folder))
        network = fit_network(lambda: iter(images), about.spec, about.weights, device="cuda")
    network = network.eval().to(_GPU)
    cost, expected = operations(network, images[0]), exact(network, images)
    engines = {_BASELINE: TorchEngine(copy.deepcopy(network), "cuda")}
    for precision in TORCH_PRECISIONS:
        engines[precision] = TorchEngine(copy.deepcopy(network), "cuda", precision, is_own=True)
    extractors = {name: Extractor(engine) for name, engine in engines.items()}
    found, calls = {}, {}
    for name, extractor in extractors.items():
        found[name] = describe(extractor, images, name == _BASELINE)
        calls[name] = partial(describe, extractor, images[:1], name == _BASELINE)
    for call in calls.values():
        call()  # the second image of a shape makes its graph
    seconds = all_seconds(calls, rounds)
    for name, extractor in extractors.items():
        difference = np.abs(found[name] - expected).max()
        similarity = np.einsum("nd,nd->n", found[name].astype(np.float64), expected).min()
        with tf32(name == _BASELINE):
            of_batches = rate(extractor, images, max(2, rounds // 4))
        faster = median(a / b for a, b in zip(seconds[_BASELINE], seconds[name], strict=True))
        yield [
            about.title, name, f"{difference:.1e}", f"{similarity:.5f}", f"{1e3 * median(seconds[name]):.2f}",
            f"{1e3 * quantiles(seconds[name], n=10)[-1]:.2f}", f"{faster:.1f}", f"{of_batches:.0f}",
            f"{100 * of_batches * cost / card:.0f} %",
        ]  # fmt: skip


def search_rows(places: int, rounds: int) -> Iterator[list[str]]:
    random = np.random.default_rng(0)
    rows = random.standard_normal((places, _DIMENSION), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    right = random.integers(0, places, _QUERIES)
    queries = rows[right] + 0.02 * random.standard_normal((_QUERIES, _DIMENSION), np.float32)
    indices = {}
    for backend, device in (("numpy", "cpu"), ("torch", "cuda"), ("faiss", "cuda")):
        start = perf_counter()
        try:
            indices[backend] = open_index(rows, backend, device), perf_counter() - start
        except NetvladError as error:
            print(f"{backend}: {error}", flush=True)
    calls = {name: lambda i=index: i.search(queries[:1], _WANTED) for name, (index, _) in indices.items()}
    seconds = all_seconds(calls, rounds)
    for name, (index, opening) in indices.items():
        start = perf_counter()
        found = index.search(queries, _WANTED)[1][:, 0]
        together = perf_counter() - start
        faster = median(a / b for a, b in zip(seconds["numpy"], seconds[name], strict=True))
        yield [
            name, f"{opening:.2f}", f"{1e3 * median(seconds[name]):.2f}", f"{faster:.0f}",
            f"{1e3 * together / _QUERIES:.2f}", f"{100 * (found == right).mean():.1f}",
        ]  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--backbones", nargs="*", choices=BACKBONES, default=["vgg16", "efficientnet_lite0"], metavar="B"
    )
    arguments.add_argument("--places", type=int, default=1_000_000, help="(default: %(default)s; 0: none)")
    arguments.add_argument("--rounds", type=int, default=100, help="of the timing (default: %(default)s)")
    options = arguments.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here")
    card = bfloat16_rate(_SECONDS)
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {card / 1e12:.0f} TFLOP/s in bfloat16\n"
    )
    header = ["network", "precision", "difference", "similarity", "ms", "90 %", "times as fast", "images/s"]
    for backbone in options.backbones:
        print_table([*header, "of the card"], list(network_rows(backbone, options.rounds, card)))
        print(flush=True)
    if options.places:
        header = ["search by", "opened in s", "ms a query", "times as fast", "ms of 200", "R@1"]
        print_table(header, list(search_rows(options.places, max(3, options.rounds // 5))))


if __name__ == "__main__":
    main()
