import pytest
import torch
from torch import nn

from lipstream.realtime.lipsync.folding import fold
from lipstream.realtime.lipsync.metadata import Region
from lipstream.realtime.lipsync.network import Wav2Lip


@pytest.fixture(params=[("paint", "published"), ("copy", "both")], ids=lambda param: param[0])
def network(request: pytest.FixtureRequest) -> Wav2Lip:
    """A random network whose batch norms do something."""
    torch.manual_seed(5)
    head, ear = request.param
    network = Wav2Lip(0.125, 96, head, ear=ear).eval().requires_grad_(requires_grad=False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.get_buffer("running_var")):
                values.uniform_(0.5, 1.5)
            for values in (layer.bias, layer.get_buffer("running_mean")):
                values.normal_(std=0.2)
    network.output_block[1].get_parameter("weight").mul_(10)
    return network


@pytest.mark.parametrize("region", [None, Region(48, 96, 12, 84)])
def test_a_folded_network_draws_the_same(network: Wav2Lip, region: Region | None) -> None:
    folded = fold(network)
    mel, face = torch.rand(2, 1, 80, 16) * 8 - 4, torch.rand(2, 6, 96, 96)
    expected = network.decode(mel, network.encode_face(face, region), face[:, 3:], region)
    drawn = folded.decode(mel, folded.encode_face(face, region), face[:, 3:], region)
    assert expected.std() > 0.05, "there is something to compare"
    torch.testing.assert_close(drawn, expected, atol=2e-5, rtol=0)


def test_folding_leaves_the_network_as_it_was(network: Wav2Lip) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert not any(getattr(layer, "residual", False) for layer in folded.modules())
