"""Learning a dictionary on a GPU: tensors of the device in and out, and what a CPU learns."""

import numpy as np
import pytest
import torch

from tests.estimators.learners import LEARNERS, planted

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]
every_learner = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)


@every_learner
def test_a_gpu_learns_what_a_cpu_does(learner):
    signals, _ = planted(noise=0.1)
    expected = learner().fit(signals)
    found = learner().fit(torch.from_numpy(signals).cuda())
    assert found.components_.device.type == "cuda"
    np.testing.assert_allclose(found.components_.cpu().numpy(), expected.components_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.objective_, expected.objective_, rtol=1e-9)
    codes = found.transform(torch.from_numpy(signals).cuda())
    assert codes.device.type == "cuda"
    np.testing.assert_allclose(codes.cpu().numpy(), expected.transform(signals), atol=1e-7)


@every_learner
def test_files_go_from_a_gpu_to_a_cpu_and_back(learner, tmp_path):
    signals = torch.from_numpy(planted(dtype=np.float32)[0])
    found = learner().fit(signals.cuda())
    found.save(tmp_path / "learned")
    loaded = type(found).load(tmp_path / "learned")
    assert isinstance(loaded.components_, np.ndarray)
    assert loaded.score(signals) == pytest.approx(found.score(signals.cuda()), rel=1e-5)
    assert loaded.partial_fit(signals.cuda()).components_.device.type == "cuda"
