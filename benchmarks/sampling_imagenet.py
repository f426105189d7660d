"""What does a searched sampler bring on ImageNet-like folders, with the paper's protocol, on many GPUs?

    torchrun --nproc-per-node 8 benchmarks/sampling_imagenet.py --train imagenet/train --test imagenet/val \
        --model resnet50 --out runs/imagenet

The protocol: a shared training (a quarter of the length), one pass for the features of every image, trials
that fine-tune the shared weights under a candidate and are scored on images held out of the training folder,
a pick by the posterior mean, and two trainings from scratch, uniform and searched, with equal steps. Every
step is stored; a killed run goes on. Images are read and decoded as they are needed, by seeded workers. Two
numbers decide the price: ``--trials`` times ``--trial-epochs``.

Small enough for a laptop, with CIFAR-10 written out as folders:

    torchrun --nproc-per-node 2 benchmarks/sampling_imagenet.py --train small/train --test small/test \
        --model resnet18 --width 8 --image-size 32 --epochs 4 --batch-size 32 --trials 4 --out runs/small
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from localmin.sampling import PolicySpace, WeightedSampler, example_features, get_form
from localmin.sampling.engines import Observation, make_engine
from localmin.sampling.feature_table import table_from_sums
from localmin.sampling.surrogate import SamplerProcess, embed
from localmin.tasks.noise import flip_labels
from localmin.tasks.splits import stratified_split
from localmin.tasks.storage import write_json
from localmin.tasks.training import mix_seed

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CUTS = (1.2, 0.95, 0.85, 0.7, 0.55)
LOOKED_AT = 4_096


Images = Dataset[tuple[Tensor, int, int]]


class Folder(Images):
    """Images of class folders as (image, label, index), cropped at random or in the middle."""

    def __init__(self, root: Path, size: int, *, augment: bool) -> None:
        classes = sorted(path.name for path in root.iterdir() if path.is_dir())
        found = [(path, k) for k, name in enumerate(classes) for path in sorted((root / name).iterdir())]
        self.paths = [path for path, _ in found]
        self.labels = torch.tensor([label for _, label in found])
        self.num_classes, self.size, self.augment = len(classes), size, augment

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        with Image.open(self.paths[index]) as opened:
            image = opened.convert("RGB")
        image = self._random_crop(image) if self.augment else self._middle(image)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        normal = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
        return normal, int(self.labels[index]), index

    def _random_crop(self, image: Image.Image) -> Image.Image:
        """Cut 8 % or more of the area (small images: 60 %), at 3:4 to 4:3, and mirror half of them."""
        width, height = image.size
        least = 0.08 if self.size > 64 else 0.6
        draw = torch.rand(5)
        area = width * height * (least + (1 - least) * float(draw[0]))
        ratio = math.exp((2 * float(draw[1]) - 1) * math.log(4 / 3))
        w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
        left, top = int(draw[2] * (width - w + 1)), int(draw[3] * (height - h + 1))
        box = (left, top, left + max(1, w), top + max(1, h))
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if float(draw[4]) < 0.5 else image

    def _middle(self, image: Image.Image) -> Image.Image:
        """Bring the short side to 8/7 of the size and cut the middle; small images are cut whole."""
        short = min(image.size) * (7 / 8 if self.size > 64 else 1)
        left, top = (image.size[0] - short) / 2, (image.size[1] - short) / 2
        box = (left, top, left + short, top + short)
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)


class Block(nn.Module):
    """A residual block: two 3 x 3 convolutions, or a bottleneck of three."""

    def __init__(self, channels: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        self.out = width * (4 if bottleneck else 1)
        plan = [(width, 1, 1), (width, 3, stride), (self.out, 1, 1)] if bottleneck else [
            (width, 3, stride), (self.out, 3, 1),
        ]  # fmt: skip
        layers: list[nn.Module] = []
        before = channels
        for after, kernel, step in plan:
            layers += [
                nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            before = after
        self.change = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != self.out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, self.out, 1, stride, bias=False), nn.BatchNorm2d(self.out)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Add the change to the input."""
        return functional.relu(self.change(inputs) + self.shortcut(inputs))


def build_model(name: str, num_classes: int, width: int, image_size: int) -> nn.Module:
    """Build ResNet-18 or ResNet-50; images of at most 64 pixels get a stem that keeps their size."""
    depths = (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3)
    small = image_size <= 64
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Identity() if small else nn.MaxPool2d(3, 2, 1),
    ]
    channels = width
    for stage, depth in enumerate(depths):
        for number in range(depth):
            stride = 2 if stage > 0 and number == 0 else 1
            block = Block(channels, width * 2**stage, stride, bottleneck=name == "resnet50")
            layers.append(block)
            channels = block.out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


@dataclass
class Job:
    """Everything the steps share."""

    options: argparse.Namespace
    train: Folder
    plain: Folder
    test: Folder
    kept: Tensor
    held_out: Tensor
    rank: int
    world: int
    device: torch.device

    @property
    def labels(self) -> Tensor:
        """Labels of the images that are trained on."""
        return self.train.labels[self.kept]

    def loader(self, data: Images, order: Sampler[int] | list[int], *, epoch: int = 0) -> DataLoader[Any]:
        """Read images in an order; the seeds of the reading processes follow from the epoch."""
        generator = torch.Generator().manual_seed(mix_seed(self.options.seed, epoch, self.rank))
        return DataLoader(
            data,
            batch_size=max(2, self.options.batch_size // self.world),
            sampler=order,
            num_workers=self.options.workers,
            pin_memory=self.device.type == "cuda",
            generator=generator,
        )

    def mine(self, count: int) -> list[int]:
        """Deal indices out to the ranks."""
        return list(range(self.rank, count, self.world))


def set_up(options: argparse.Namespace) -> Job:
    """Join the ranks, read the folders, hold images out for scoring, and add noise if asked for."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    train = Folder(options.train, options.image_size, augment=True)
    held = min(options.held_out_per_class * train.num_classes, len(train) // 5)
    held_out, kept = stratified_split(train.labels, [held, len(train) - held], seed=options.seed)
    train.labels = flip_labels(train.labels, options.noise, num_classes=train.num_classes, seed=options.seed)
    plain = Folder(options.train, options.image_size, augment=False)
    plain.labels = train.labels
    test = Folder(options.test, options.image_size, augment=False)
    rank = dist.get_rank() if world > 1 else 0
    return Job(options, train, plain, test, kept, held_out, rank, world, device)


def train_network(
    job: Job, weights: Tensor, epochs: int, *, start: dict[str, Tensor] | None = None, final: float = 0.0
) -> nn.Module:
    """Train under drawing weights, from scratch or from shared weights, on all ranks."""
    options = job.options
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mix_seed(options.seed, 1))
        model = build_model(options.model, job.train.num_classes, options.width, options.image_size)
    if start is not None:
        model.load_state_dict(start)
    model = model.to(job.device)
    net: nn.Module = DistributedDataParallel(model) if job.world > 1 else model
    peak = options.lr * (0.5 if start is not None else 1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=peak, momentum=0.9, weight_decay=options.weight_decay)
    sampler = WeightedSampler(weights, seed=options.seed, num_replicas=job.world, rank=job.rank)
    images_of = Subset(job.train, job.kept.tolist())
    steps = epochs * len(job.loader(images_of, sampler))
    step = 0
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        net.train()
        for images, labels, _ in job.loader(images_of, sampler, epoch=epoch):
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = peak * (final + (1 - final) * cosine)
            with torch.autocast(job.device.type, torch.bfloat16, enabled=job.device.type == "cuda"):
                loss = functional.cross_entropy(net(images.to(job.device)), labels.to(job.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
    if job.world > 1:
        # Every rank has statistics of its own; all shall score the same network.
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
    return model.eval()


@torch.no_grad()
def logits_of(
    job: Job, model: nn.Module, data: Images, count: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Give logits, labels and places of this rank's share of a data set."""
    places = job.mine(count)
    done = 0
    for images, labels, _ in job.loader(data, places):
        logits = model(images.to(job.device)).float()
        yield logits, labels.to(job.device), torch.tensor(places[done : done + len(labels)])
        done += len(labels)


def total(job: Job, values: Tensor) -> Tensor:
    """Add up over the ranks."""
    if job.world > 1:
        values = values.to(job.device)
        dist.all_reduce(values)
    return values.cpu()


def score(job: Job, model: nn.Module, data: Images, count: int) -> dict[str, float]:
    """Measure top-1 and top-5 accuracy."""
    hits = torch.zeros(2, dtype=torch.float64)
    for logits, labels, _ in logits_of(job, model, data, count):
        best = logits.topk(min(5, logits.shape[1]), 1).indices == labels[:, None]
        hits += torch.stack([best[:, 0].sum(), best.any(1).sum()]).double().cpu()
    top = total(job, hits) / count
    return {"top1": float(top[0]), "top5": float(top[1])}


def features_of(job: Job, model: nn.Module) -> dict[str, Tensor]:
    """Compute loss, renormed entropy and gradient bound of all training images in one pass."""
    values = torch.zeros(4, len(job.kept), dtype=torch.float64)
    for logits, labels, places in logits_of(job, model, Subset(job.plain, job.kept.tolist()), len(job.kept)):
        found = example_features(logits, labels)
        values[0, places] = found.loss.double().cpu()
        values[1, places] = found.renormed_entropy.double().cpu()
        values[2, places] = found.gradient_bound.double().cpu()
        values[3, places] = logits.argmax(1).double().cpu()
    return {"features": total(job, values)}


class Store:
    """Keep every step; rank 0 writes, all read."""

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, job.options.out
        self.path = self.folder / "record.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        asked = {key: str(value) for key, value in vars(job.options).items() if key not in ("out", "workers")}
        if self.record.setdefault("options", asked) != asked:
            raise SystemExit(f"{self.folder} holds a run with other options; give another --out")
        if job.world > 1:
            dist.barrier()

    def numbers(self, name: str, compute: Any) -> Any:
        """Compute JSON types once."""
        if name not in self.record:
            self.record[name] = compute()
            if self.job.rank == 0:
                write_json(self.path, self.record)
                print(name, json.dumps(self.record[name])[:160], flush=True)
        return self.record[name]

    def tensors(self, name: str, compute: Any) -> dict[str, Tensor]:
        """Compute tensors once."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            found = {key: value.detach().cpu().contiguous() for key, value in compute().items()}
            if self.job.rank == 0:
                save_file(found, path)
            if self.job.world > 1:
                dist.barrier()
        return load_file(path)


def search_policy(job: Job, store: Store) -> Tensor:
    """Run the paper's protocol; give the drawing weights of the pick."""
    options = job.options
    ones = torch.ones(len(job.kept), dtype=torch.float64)
    share_epochs = max(1, round(options.share * options.epochs))
    shared = store.tensors("shared", lambda: train_network(job, ones, share_epochs, final=0.5).state_dict())

    def compute() -> dict[str, Tensor]:
        model = build_model(options.model, job.train.num_classes, options.width, options.image_size)
        model.load_state_dict(shared)
        return features_of(job, model.to(job.device).eval())

    loss, entropy, gradient, predicted = store.tensors("features", compute)["features"]
    table = table_from_sums(loss, entropy, gradient, predicted.long(), source="one pass with shared weights")
    space = PolicySpace.fit(
        get_form(options.form), table, job.labels, num_classes=job.train.num_classes, kind=options.transform
    )
    seen = torch.randperm(len(space), generator=torch.Generator().manual_seed(options.seed))[:LOOKED_AT]
    engine = make_engine("sampler-process", seed=options.seed)
    tried: list[Observation] = []
    while len(tried) < options.trials:
        number = len(tried)
        z = space.cut(CUTS[number]) if number < len(CUTS) else engine.ask(space.thinned(seen), tried, 1)[0]
        weights = space.weights(z)

        def attempt(weights: Tensor = weights) -> float:
            model = train_network(job, weights, options.trial_epochs, start=shared)
            held = Subset(job.plain, job.held_out.tolist())
            return score(job, model, held, len(job.held_out))["top1"]

        found = store.numbers(f"trial {number}", attempt)
        point = torch.from_numpy(embed(weights[seen].numpy()[None])[0])
        tried.append(Observation(z, point, found, 0.0))
    points = np.stack([trial.point.numpy() for trial in tried])
    means = SamplerProcess(points, np.array([trial.score for trial in tried])).posterior(points).mean
    best = np.argsort(-means, kind="stable")[: min(3, len(tried))]
    z = space.form.canonical(torch.stack([tried[int(i)].z for i in best]).mean(0))
    if job.rank == 0:
        origin = {"model": options.model, "num_examples": len(space)}
        space.policy(z, origin=origin).save(store.folder / "policy.json")
    return space.weights(z)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True, help="folder of class folders")
    parser.add_argument("--test", type=Path, required=True, help="the same classes; scored once per training")
    parser.add_argument("--model", choices=("resnet18", "resnet50"), default="resnet18")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--batch-size", type=int, default=256, help="over all ranks")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--share", type=float, default=0.25, help="of a training, for the shared weights")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--trial-epochs", type=int, default=5)
    parser.add_argument("--held-out-per-class", type=int, default=50)
    parser.add_argument("--form", choices=("a", "b", "d", "e"), default="d")
    parser.add_argument("--transform", choices=("cdf", "cgf"), default="cgf")
    parser.add_argument("--noise", type=float, default=0.0, help="make this share of the labels wrong")
    parser.add_argument("--workers", type=int, default=4, help="reading processes per rank")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def final(job: Job, weights: Tensor) -> dict[str, float]:
    """Train from scratch and score on the test folder, once."""
    return score(job, train_network(job, weights, job.options.epochs), job.test, len(job.test))


def main() -> None:
    """Search, train both arms from scratch, and print the table."""
    options = parse()
    job = set_up(options)
    store = Store(job)
    weights = search_policy(job, store)
    rows = {}
    for name, drawn in (("uniform", torch.ones_like(weights)), ("searched", weights)):
        rows[name] = store.numbers(f"final {name}", partial(final, job, drawn))
    cost = options.share + options.trials * options.trial_epochs / options.epochs
    if job.rank == 0:
        for name, row in rows.items():
            print(f"{name:10s} top-1 {100 * row['top1']:.2f} %  top-5 {100 * row['top5']:.2f} %")
        print(f"the search cost {cost:.2f} trainings")
    if job.world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
