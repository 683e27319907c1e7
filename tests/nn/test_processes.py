"""Two processes with a half of each batch get what one gets that has the whole."""

import pytest
import torch

from sparsefast.nn import processes
from tests.nn import process_script
from tests.nn.process_script import layers, trained
from tests.two_processes import run_two


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    for done in run_two(process_script.__file__, str(folder)):
        assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_sums_and_rows_of_two_processes(found):
    for rank, (told, _) in enumerate(found):
        assert told["x"].tolist() == [[rank, 10]]  # the argument is left alone
        assert told["total"].tolist() == [[1, 20]]
        assert told["largest"].tolist() == [[1, 10]]
        assert told["gathered"].tolist() == [[0, 10], [1, 10]]


def test_alone_a_process_has_what_it_has():
    x = torch.ones(2, 3)
    assert (processes.count(), processes.rank()) == (1, 0)
    assert processes.total(x) is processes.largest(x) is processes.gathered(x) is x


@pytest.mark.parametrize("name", layers())
def test_two_processes_train_what_one_does(found, name):
    alone = trained(layers()[name], 0, 1)
    assert len(alone["revived"]) > 0
    first, second = (told[name] for _, told in found)
    assert first.keys() == second.keys() == alone.keys()
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-12, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}")
        if key.startswith("start"):
            assert torch.equal(first[key], value), key
