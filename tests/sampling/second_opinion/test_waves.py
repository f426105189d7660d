"""Vectors described by random waves."""

import torch

from localmin.sampling.second_opinion import leave_one_out_predictions, wave_features


def clouds(n: int, *, columns: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, columns, generator=generator)


def test_products_of_waves_approach_a_gaussian_kernel() -> None:
    vectors = clouds(40)
    waves = wave_features(vectors, seed=1, num_waves=200_000)[:, :200_000].double()
    kernel = 2 * waves @ waves.T / 200_000
    standard = (vectors - vectors.mean(0)) / vectors.std(0, correction=0)
    distances = torch.cdist(standard, standard).double()
    # The width is the median distance over random pairs; the same one must explain all entries.
    far = distances[0].argmax()
    width = distances[0, far] / (-2 * kernel[0, far].clamp_min(1e-9).log()).sqrt()
    expected = torch.exp(-(distances**2) / (2 * width**2))
    torch.testing.assert_close(kernel, expected, rtol=0, atol=0.03)
    assert 0.7 < float(width) / float(distances[distances > 0].median()) < 1.4


def test_scale_and_constant_columns_do_not_matter() -> None:
    vectors = clouds(60)
    plain = wave_features(vectors, seed=2, num_waves=8)
    torch.testing.assert_close(
        wave_features(1e4 * vectors + 3, seed=2, num_waves=8), plain, rtol=0, atol=1e-3
    )
    constant = torch.cat([vectors, torch.full((60, 1), 0.1)], 1)
    assert torch.equal(wave_features(constant, seed=2, num_waves=8)[:, -1], torch.zeros(60))


def test_vectors_stand_beside_the_waves_where_they_are_not_longer() -> None:
    vectors = clouds(60)
    assert wave_features(vectors, seed=2, num_waves=5).shape == (60, 10)
    assert wave_features(vectors, seed=2, num_waves=4).shape == (60, 4)


def test_an_outlier_is_clipped() -> None:
    vectors = clouds(60)
    vectors[3, 0] = 1e6
    features = wave_features(vectors, seed=2, num_waves=8)
    assert float(features.abs().max()) == 4.0
    assert torch.isfinite(features).all()


def test_equal_examples_are_described_alike() -> None:
    features = wave_features(torch.ones(10, 3), seed=0, num_waves=4)
    assert torch.equal(features, features[:1].expand(10, -1))


def test_rings_are_told_apart_though_no_line_does() -> None:
    generator = torch.Generator().manual_seed(7)
    angles = 6.28 * torch.rand(300, generator=generator)
    labels = torch.arange(300) % 2
    rings = (1.0 + labels)[:, None] * torch.stack([angles.cos(), angles.sin()], 1)
    values = leave_one_out_predictions(wave_features(rings, seed=0, num_waves=60), labels, num_classes=2)
    assert float((values.argmax(1) == labels).double().mean()) > 0.98
    line = leave_one_out_predictions(rings, labels, num_classes=2)
    assert float((line.argmax(1) == labels).double().mean()) < 0.7
