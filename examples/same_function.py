"""Two networks with different weights: the same function? How far apart? Which neurons differ?"""

import torch
from torch import nn

from localmin import realization
from localmin.networks import ReLUNetwork


def main() -> None:
    """Disguise a network, recognise it, change it a little, and find the change."""
    torch.manual_seed(0)  # an example's own initialisation; localmin itself never touches the global seed
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    network = ReLUNetwork.from_module(model)

    # Permute and rescale the neurons, and split the first one in two.
    first = torch.cat([network.weights[0], 2.0 * network.weights[0][:1]]) * 3.0
    bias = torch.cat([network.bias_vectors[0], 2.0 * network.bias_vectors[0][:1]]) * 3.0
    second = torch.cat([network.weights[1], network.weights[1][:, :1] / 4.0], dim=1) / 3.0
    second[:, 0] /= 2.0
    order = torch.randperm(7)
    disguised = ReLUNetwork([first[order], second[:, order]], [bias[order], network.bias_vectors[1]])

    answer = realization.same_function(model, disguised)
    assert answer.verdict == "equal"
    assert answer.recheck(model, disguised)
    print(f"disguised: {answer.verdict}, outputs within {answer.upper_bound:.1e} of the scale everywhere")

    form = realization.normal_form(disguised)
    assert form.network.widths == (3, 6, 2)
    assert form.report.num_merged == 1

    # Change one output weight by a millionth.
    changed_weight = second[:, order].clone()
    changed_weight[0, 0] += 1e-6
    changed = ReLUNetwork([first[order], changed_weight], [bias[order], network.bias_vectors[1]])
    answer = realization.same_function(model, changed)
    assert answer.verdict == "different"
    assert answer.witness is not None
    x = answer.witness[None]
    assert float((model(x) - changed(x)).detach().abs().max()) > answer.threshold
    print(f"changed: {answer.verdict}, outputs differ by {answer.gap:.1e} at the witness")

    found = realization.compare_networks(model, changed)
    assert len(found.differences) == 1
    assert found.seminorm is not None
    assert found.seminorm.exact
    print(f"largest difference of a derivative: {found.seminorm.value:.2e}, one kink differs")

    # Close functions need not have close parameters.
    pair = realization.opposite_directions_two(k=1000.0)
    stability = realization.inverse_stability(pair.network, pair.target)
    assert stability.epsilon.value < 1.01e-3
    assert stability.nearest.exact
    assert abs(stability.nearest.distance - 1.0) < 1e-9
    print("a function 0.001 away has no parameters closer than 1.0")


if __name__ == "__main__":
    main()
