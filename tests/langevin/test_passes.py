"""Noise in blocks: the same draws and the same step as all at once, for every way that tensors can be cut."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.langevin import (
    LangevinDynamics,
    NonReversibleLangevin,
    PairwiseRotation,
    UnderdampedLangevin,
    passes,
)
from localmin.langevin.passes import NoiseRoom, move
from localmin.langevin.updates import Update, first_order_update, underdamped_schemes, underdamped_update

SHAPES = [(7,), (3, 11), (0,), (), (40,), (2, 2)]
UPDATES: dict[str, Update] = {"overdamped": first_order_update(0.3, 0.6)}
for scheme in underdamped_schemes:
    UPDATES[scheme] = underdamped_update(scheme, 0.4, 1.3, 0.6, 0.0)


def _tensors(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def _step(update: Update, *, contiguous: bool = True) -> tuple[list[Tensor], torch.Generator]:
    x, v, g = _tensors(1), _tensors(2), _tensors(3)
    if not contiguous:  # one such tensor sends all the other way
        g[1] = g[1].T.contiguous().T
    generator = torch.Generator().manual_seed(4)
    if update.operations[0].name == "push":
        v = []
    move(update, x, v, g, generator)
    return [*x, *v], generator


@pytest.mark.parametrize("block", [16, 33, 1000])
@pytest.mark.parametrize("name", UPDATES)
def test_blocks_make_the_step_that_whole_tensors_make(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_BLOCK", block)
    cut, generator = _step(UPDATES[name])
    whole, other = _step(UPDATES[name], contiguous=False)
    assert torch.equal(generator.get_state(), other.get_state())
    for a, b in zip(cut, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_every_number_gets_its_own_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_BLOCK", 16)
    x = [torch.zeros(shape) for shape in SHAPES]
    move(first_order_update(0.5, 1.0), x, [], [torch.zeros(shape) for shape in SHAPES], torch.Generator())
    drawn = torch.cat([one.reshape(-1) for one in x])
    assert len(set(drawn.tolist())) == drawn.numel() == 85


def test_a_room_is_used_again_and_asks_for_a_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "_BLOCK", 64)
    like = [torch.zeros(1000), torch.zeros(30)]
    room, seen = NoiseRoom(like, 1), set()
    for _ in range(2):
        for _, noises in room.blocks((like, [], []), [1.0], torch.Generator()):
            seen |= {part.untyped_storage().data_ptr() for part in noises[0]}
            assert noises[0][0].untyped_storage().nbytes() == 64 * 4
    assert len(seen) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda p: LangevinDynamics(p, lr=0.1, temperature=0.5),
        lambda p: UnderdampedLangevin(p, lr=0.1, friction=1.0, temperature=0.5, scheme="exponential"),
        lambda p: NonReversibleLangevin(p, lr=0.1, temperature=0.5, skew=PairwiseRotation(1.0)),
    ],
)
def test_memory_formats_make_the_same_path(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_BLOCK", 16)
    paths = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(torch.ones(3, 2, 4, 4).to(memory_format=memory_format))
        bias = nn.Parameter(torch.ones(5))
        optimizer = make([weight, bias])
        for _ in range(3):
            weight.grad, bias.grad = weight.detach().clone(), bias.detach().clone()
            optimizer.step()
        paths.append((weight.detach().contiguous(), bias.detach()))
    torch.testing.assert_close(paths[0], paths[1])


def test_noise_needs_a_generator() -> None:
    with pytest.raises(InputError, match="Generator"):
        move(UPDATES["overdamped"], [torch.zeros(2)], [], [torch.zeros(2)])
