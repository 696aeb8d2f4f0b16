"""What one training step is shown: the same places of everything, noise where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from singan_toolkit.training.crops import Batch, Cropper, ScaleData


def material(
    height: int, width: int, pool: int = 1, amplitude: float = 0.0, grey: bool = False, reflect: bool = False
) -> ScaleData:
    """Pictures whose values tell where they were taken from; none is zero."""
    rows, columns = torch.meshgrid(torch.arange(height) + 1.0, torch.arange(width) + 1.0, indexing="ij")
    real = torch.stack([rows, columns, rows * 100 + columns])[None]
    samples = torch.cat([real + 10_000 * (n + 1) for n in range(pool)])
    return ScaleData(real, samples, None, real + 0.25, torch.full_like(real, 0.125), amplitude, grey, reflect)


def cropper(data: ScaleData, crop: int, batch: int = 4, seed: int = 0) -> Cropper:
    return Cropper(data, crop, batch, torch.Generator().manual_seed(seed))


def padded(picture: Tensor, reflect: bool = False) -> Tensor:
    margin = ((0, 0), (0, 0), (5, 5), (5, 5))
    return torch.from_numpy(np.pad(picture.numpy(), margin, mode="reflect" if reflect else "constant"))


def places(batch: Batch) -> list[tuple[int, int]]:
    """Row and column of each crop's first pixel."""
    return [(int(crop[0, 0, 0]) - 1, int(crop[1, 0, 0]) - 1) for crop in batch.real]


with_and_without_reflection = pytest.mark.parametrize("reflect", [False, True], ids=["zeros", "reflected"])


@with_and_without_reflection
@pytest.mark.parametrize("drawing", ["pool", "fresh"])
@pytest.mark.parametrize("size", [(40, 50), (16, 40), (12, 40), (16, 16), (14, 12), (3, 40), (1, 1)])
def test_crops_are_the_same_region_of_everything(size: tuple[int, int], drawing: str, reflect: bool) -> None:
    data = material(*size, pool=3, reflect=reflect)
    samples = data.samples

    def fresh(numbers: Sequence[int]) -> Tensor:
        return samples[torch.tensor(numbers) % 3]

    if drawing == "fresh":
        data = replace(data, samples=data.real, fresh=fresh)
    height, width = min(16, size[0]), min(16, size[1])
    source = cropper(data, crop=16)
    for _ in range(20):
        source.refill(1)
        batch = source.draw()
        assert batch.base.shape == (4, 3, height, width)
        assert batch.noisy.shape == (4, 3, height + 10, width + 10)
        assert batch.real.shape[1:] == (3, height, width)
        assert batch.reconstruction_noisy.shape[1:] == (3, height + 10, width + 10)
        reals = batch.real.expand(4, -1, -1, -1)
        for n, (row, column) in enumerate(places(batch) if len(batch.real) > 1 else [(0, 0)] * 4):
            inner = (slice(None), slice(row, row + height), slice(column, column + width))
            outer = (slice(None), slice(row, row + height + 10), slice(column, column + width + 10))
            which = round(float(batch.base[n, 0, 0, 0] - reals[n, 0, 0, 0])) // 10_000 - 1
            sample = samples[which]
            base, noisy = batch.reconstruction_base, batch.reconstruction_noisy
            assert torch.equal(reals[n], data.real[0][inner])
            assert torch.equal(batch.base[n], sample[inner])
            assert torch.equal(batch.noisy[n], padded(sample[None], reflect)[0][outer])
            assert torch.equal(base.expand(4, -1, -1, -1)[n], data.reconstruction_base[0][inner])
            whole = padded(data.reconstruction_base + data.reconstruction_noise, reflect)[0]
            assert torch.equal(noisy.expand(4, -1, -1, -1)[n], whole[outer])


@with_and_without_reflection
@pytest.mark.parametrize("crop", [0, 60])
def test_without_a_crop_the_whole_picture_is_drawn(crop: int, reflect: bool) -> None:
    data = material(20, 30, reflect=reflect)
    batch = cropper(data, crop, batch=3).draw()
    assert torch.equal(batch.real, data.real)
    assert torch.equal(batch.base, data.samples.expand(3, -1, -1, -1))
    assert torch.equal(batch.noisy, padded(data.samples, reflect).expand(3, -1, -1, -1))
    assert torch.equal(batch.reconstruction_base, data.reconstruction_base)


@with_and_without_reflection
@pytest.mark.parametrize("crop", [0, 14])
def test_with_noise_padding_noise_of_its_own_lies_around_the_picture_too(crop: int, reflect: bool) -> None:
    data = material(18, 22, amplitude=0.5, reflect=reflect)
    data = replace(data, reconstruction_noise=F.pad(data.reconstruction_noise, (5, 5, 5, 5)))
    source, felt = cropper(data, crop, batch=8), []
    for _ in range(40):
        batch = source.draw()
        for n, (row, column) in enumerate(places(batch) if crop else [(0, 0)] * 8):
            height, width = batch.noisy.shape[-2:]
            cut = padded(data.samples, reflect)[0][:, row : row + height, column : column + width]
            felt.append(batch.noisy[n] - cut)
    noise = torch.stack(felt)
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)
    assert (noise != 0).float().mean() > 0.99
    if not crop:
        beyond, mirrored = noise[..., :5, 5:-5].flatten(), noise[..., 6:11, 5:-5].flip(-2).flatten()
        assert abs(np.corrcoef(beyond.numpy(), mirrored.numpy())[0, 1]) < 0.05


@with_and_without_reflection
@pytest.mark.parametrize("crop", [0, 14])
@pytest.mark.parametrize("grey", [True, False])
def test_noise_is_white_inside_the_picture_and_zero_or_mirrored_beyond(crop: int, grey: bool, reflect: bool) -> None:
    data = material(18, 22, amplitude=0.5, grey=grey, reflect=reflect)
    inside = padded(torch.ones_like(data.real))[0]
    mirrored_rows, mirrored_columns = (np.pad(np.arange(size), 5, mode="reflect") + 5 for size in (18, 22))
    source, felt, neighbours = cropper(data, crop, batch=8), [], []
    for _ in range(40):
        batch = source.draw()
        height, width = batch.noisy.shape[-2:]
        for n, (row, column) in enumerate(places(batch) if crop else [(0, 0)] * 8):
            cut = (slice(None), slice(row, row + height), slice(column, column + width))
            noise = batch.noisy[n] - padded(data.samples, reflect)[0][cut]
            if reflect:
                mirror = noise[:, mirrored_rows[row : row + height] - row]
                assert torch.equal(noise, mirror[:, :, mirrored_columns[column : column + width] - column])
            else:
                assert not noise[inside[cut] == 0].any()
            felt.append(noise[inside[cut] == 1].view(3, -1))
            own = noise[0, 5:-5, 5:-5]
            neighbours += [(own[1:] * own[:-1]).flatten(), (own[:, 1:] * own[:, :-1]).flatten()]
    assert abs(torch.cat(neighbours).mean().item()) < 0.01
    noise = torch.cat(felt, dim=1)
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)
    assert abs(noise.mean().item()) < 0.01
    channels = np.corrcoef(noise.numpy())
    np.testing.assert_allclose(channels, np.ones((3, 3)) if grey else np.eye(3), atol=0.02)


def test_crops_cover_the_borders_too() -> None:
    data = material(40, 48)
    source = cropper(data, crop=16)
    rows, columns = np.zeros(40), np.zeros(48)
    for _ in range(300):
        for row, column in places(source.draw()):
            rows[row : row + 16] += 1
            columns[column : column + 16] += 1
    for seen in (rows, columns):
        assert seen.min() > 0.3 * np.median(seen)
        assert seen.max() < 3 * np.median(seen)


def test_every_sample_of_the_pool_is_used() -> None:
    data = material(20, 20, pool=5)
    source = cropper(data, crop=12)
    used = {round(float(base[0, 0, 0])) // 10_000 for _ in range(30) for base in source.draw().base}
    assert used == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("batch", [1, 5, 20])
def test_fresh_samples_are_used_once_each(batch: int) -> None:
    made: list[int] = []

    def fresh(numbers: Sequence[int]) -> Tensor:
        made.extend(numbers)
        return torch.cat([torch.full((1, 3, 20, 20), number + 1.0) for number in numbers])

    data = material(20, 20)
    source = cropper(ScaleData(**{**vars(data), "fresh": fresh}), crop=12, batch=batch)
    used = []
    for _ in range(60):
        source.refill(1)
        used += [float(base[0, 0, 0]) for base in source.draw().base]
    assert len(set(used)) == len(used) == 60 * batch
    assert made == list(range(len(made)))
    assert len(made) <= len(used) + 20


def test_the_same_random_numbers_draw_the_same_crops() -> None:
    data = material(30, 30, pool=3, amplitude=0.1)
    first, again, other = (cropper(data, 14, seed=seed).draw() for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(vars(first).values(), vars(again).values(), strict=True))
    assert not torch.equal(first.noisy, other.noisy)
