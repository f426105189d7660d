import pytest
import torch

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization import invariants, normal_form, same_function, symmetry_normal_form
from localmin.realization.row_clusters import cluster_rows

F64 = torch.float64


def test_cancelling_parallels_and_dead_neurons_leave_one() -> None:
    first = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 3.0]], dtype=F64)
    form = normal_form(ReLUNetwork([first, torch.tensor([[1.0, -2.0, 5.0, 1.0]], dtype=F64)]))
    assert form.network.weights[0].tolist() == [[0.0, pytest.approx(3**0.5)]]
    assert form.network.biases is None
    report = form.report
    assert (report.num_dead, report.num_merged, report.num_cancelled, report.num_constant) == (1, 1, 1, 0)
    assert report.to_dict()["num_neurons_after"] == 1


def test_opposite_directions_are_kept() -> None:
    network = ReLUNetwork([torch.tensor([[1.0], [-1.0]], dtype=F64), torch.tensor([[1.0, -1.0]], dtype=F64)])
    assert normal_form(network).report.num_neurons_after == 2
    assert invariants(network).num_kinks == 0


def test_constants_go_into_the_output_bias() -> None:
    network = ReLUNetwork(
        [torch.tensor([[0.0], [0.0], [1.0]], dtype=F64), torch.tensor([[3.0, 5.0, 1.0]], dtype=F64)],
        [torch.tensor([2.0, -2.0, 1.0], dtype=F64), None],
    )
    form = normal_form(network)
    assert form.network.bias_vectors[1].tolist() == [6.0]
    assert form.report.num_constant == 2
    assert same_function(network, form.network).verdict == "equal"


def test_equal_directions_with_different_offsets_do_not_merge() -> None:
    network = ReLUNetwork(
        [torch.ones(2, 1, dtype=F64), torch.ones(1, 2, dtype=F64)],
        [torch.tensor([0.0, 1.0], dtype=F64), None],
    )
    assert normal_form(network).report.num_merged == 0


def test_near_directions_are_reported_and_merged_only_within_the_tolerance() -> None:
    gap = 1e-11
    first = torch.tensor([[1.0, 0.0], [1.0, gap], [0.0, 1.0]], dtype=F64)
    network = ReLUNetwork([first, torch.tensor([[1.0, 1.0, 2.0]], dtype=F64)])
    apart = normal_form(network).report
    assert apart.num_merged == 0
    assert apart.num_near_groups == 1
    assert apart.smallest_near_gap == pytest.approx(gap, rel=1e-3)
    merged = normal_form(network, tolerance_relative=1e-10)
    assert merged.report.num_merged == 1
    assert merged.report.largest_merged_gap == pytest.approx(gap / 2, rel=1e-3)
    x = torch.tensor([[-1e-12, 1.0], [1.0, 5.0], [0.0, -1.0]], dtype=F64)
    change = (network(x) - merged.network(x)).abs().amax(dim=1)
    assert (change <= merged.report.residual * (x.square().sum(dim=1) + 1).sqrt() + 1e-15).all()


def test_small_neurons_are_dropped_relative_to_the_rest() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64)
    network = ReLUNetwork([first, torch.tensor([[1e-5, 1e4]], dtype=F64)])
    assert normal_form(network).report.num_neurons_after == 2
    form = normal_form(network, tolerance_relative=1e-8)
    assert form.report.num_neurons_after == 1
    assert form.report.residual == pytest.approx(1e-5)


def test_affine_and_deep_networks_are_refused() -> None:
    with pytest.raises(InputError, match="affine"):
        normal_form(ReLUNetwork([torch.ones(1, 2)]))
    with pytest.raises(InputError, match="hidden layer"):
        normal_form(ReLUNetwork([torch.ones(2, 2)] * 3))
    with pytest.raises(InputError, match="tolerance_relative"):
        normal_form(ReLUNetwork([torch.ones(2, 2)] * 2), tolerance_relative=-1.0)


def test_sorting_does_not_split_ties_by_rounding() -> None:
    points = torch.tensor([[1.0, 3.0], [1.0 + 4e-16, 1.0], [1.0 - 2e-16, 2.0]], dtype=F64)
    assert cluster_rows(points, 1e-12).tolist() == [2, 0, 1]
    assert cluster_rows(points, 0.0).tolist() == [1, 2, 0]


def test_clusters_agree_with_comparing_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        points = torch.randint(0, 3, (30, 3), generator=generator).to(F64)
        noisy = points + 1e-13 * torch.randn(30, 3, generator=generator, dtype=F64)
        labels = cluster_rows(noisy, 1e-10)
        rows = [tuple(row) for row in points.tolist()]
        expected = [sum(other < row for other in rows) for row in rows]
        assert labels.tolist() == expected


def test_invariants_reproduce_the_function() -> None:
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(-1, 2, (12, 2), generator=generator).to(F64)
    bias = torch.randint(-1, 2, (12,), generator=generator).to(F64)
    second = torch.randn(3, 12, generator=generator, dtype=F64)
    network = ReLUNetwork([first, second], [bias, second[:, 0]])
    found = invariants(network)
    assert found.num_kinks < 12
    x = torch.randn(100, 2, generator=generator, dtype=F64)
    assert torch.allclose(found(x), network(x), atol=1e-13)
    # The gradient jumps by v hᵀ across each hyperplane: a second difference isolates it.
    for normal, offset, jump in zip(found.normals, found.offsets, found.jumps, strict=True):
        tangent = torch.stack([-normal[1], normal[0]])
        p, step = -offset * normal + 0.377 * tangent, 1e-6
        rows = torch.stack([p + step * normal, p - step * normal, p])
        values = network(rows)
        assert torch.allclose((values[0] + values[1] - 2 * values[2]) / step, jump, atol=1e-6)


def test_symmetry_normal_form_drops_unused_neurons() -> None:
    first = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]], dtype=F64)
    second = torch.tensor([[1.0, 5.0, 0.0], [2.0, 5.0, 0.0]], dtype=F64)
    form = symmetry_normal_form(ReLUNetwork([first, second, torch.ones(1, 2, dtype=F64)]))
    assert form.widths == (2, 1, 2, 1)
    x = torch.tensor([[0.3, 0.9]], dtype=F64)
    network = ReLUNetwork([first, second, torch.ones(1, 2, dtype=F64)])
    assert torch.allclose(form(x), network(x))
