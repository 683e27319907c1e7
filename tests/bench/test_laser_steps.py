"""Training steps in `sparsefast bench laser --variants train`: what they are held against, and what they need."""

import subprocess
import sys

import pytest
import torch

from sparsefast.bench.laser.peers import PlainDictionaryBottleneck
from sparsefast.nn import SparseBottleneck


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_plain_dictionary_bottleneck_does_what_ours_does(patch_size):
    torch.manual_seed(0)
    ours = SparseBottleneck(30, 8, 3, patch_size=patch_size, coefficient_bits=None, revive_every=0).double()
    peer = PlainDictionaryBottleneck(30, 8, 3, patch_size=patch_size).double()
    peer.dictionary.data.copy_(ours.dictionary.data)
    found = []
    for layer in (ours, peer):
        z = torch.randn(2, 8, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out, loss, _ = layer(z)
        ((out**3).sum() + 5 * loss).backward()
        found.append((out, loss, z.grad, layer.dictionary.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_steps_of_training_need_neither_lightning_nor_hydra():
    code = (
        "import sys; from sparsefast.bench.laser import report, steps\n"
        "steps.SETTINGS = {'few': dict(num_embeddings=16, num_hiddens=4, embedding_dim=2)}\n"
        "for row in steps.measure('few', 1, 'cpu', 1e-3): print(report.step_line(row))\n"
        "print([name for name in ('lightning', 'hydra', 'omegaconf', 'torchmetrics') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["[]"]), done.stderr
