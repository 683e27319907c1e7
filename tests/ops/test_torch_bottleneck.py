"""The operator of the dictionary bottleneck: the values and derivatives of what its parts compose, however it runs."""

import pytest
import torch
from torch.func import grad as grad_of
from torch.func import vmap
from torch.nn.functional import normalize

import sparsefast
from sparsefast.nn.code_loss import code_loss
from sparsefast.ops import bottleneck_native, torch_native
from sparsefast.ops.straight_through import straight_through
from sparsefast.ops.torch_bottleneck import bottleneck

COMMITMENT, WEIGHT = 0.25, 1.5
# Features, atoms, entries and the shape of the latent: three features and others, images that end within a vector,
# several blocks of signals, more entries than features, rows.
SIZES = [
    (3, 16, 3, (2, 3, 21, 23)),
    (3, 40, 2, (3, 3, 20, 41)),
    (3, 300, 1, (1, 3, 9, 9)),
    (3, 16, 5, (1, 3, 8, 7)),
    (64, 128, 8, (2, 64, 13, 7)),
    (7, 20, 4, (2, 7, 8, 9)),
    (33, 50, 5, (70, 33)),
    (3, 16, 2, (1500, 3)),
    (5, 9, 2, (0, 5)),
]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
implicitly = pytest.mark.parametrize("implicit", [False, True], ids=["ste", "implicit"])
normalized = pytest.mark.parametrize("normalize_atoms", [True, False], ids=["unit", "as given"])


@pytest.fixture(params=["kernels", "composed"])
def way(request, monkeypatch):
    """Both ways that the operator computes; the second is that of other devices."""
    if request.param == "composed":
        monkeypatch.setattr(bottleneck_native, "runs", lambda x: False)
        monkeypatch.setattr(torch_native, "_module", lambda: None)
    else:
        pytest.importorskip("sparsefast.kernels.cpu.bottleneck", reason="nothing is compiled")
    return request.param


def problem(size, dtype=torch.float64, seed=0):
    n_features, n_atoms, n_nonzero, shape = size
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(shape, generator=generator, dtype=dtype)
    norms = 0.3 + torch.rand(n_atoms, 1, generator=generator, dtype=dtype)
    atoms = torch.randn(n_atoms, n_features, generator=generator, dtype=dtype) * norms
    return latent.requires_grad_(), atoms.requires_grad_(), n_nonzero


def run(latent, atoms, n_nonzero, normalize_atoms, implicit):
    return bottleneck(
        latent, atoms, n_nonzero, normalize_atoms=normalize_atoms, implicit=implicit, commitment=COMMITMENT,
        weight=WEIGHT,
    )  # fmt: skip


def composed(latent, dictionary, n_nonzero, normalize_atoms, implicit):
    """What the operator stands for: reconstruction, loss, code."""
    atoms = normalize(dictionary, dim=1) if normalize_atoms else dictionary
    signals = latent if latent.ndim == 2 else latent.permute(0, 2, 3, 1)
    code = sparsefast.omp(signals, atoms, n_nonzero, gradient="implicit" if implicit else "none")
    fields = code.indices, code.values.detach(), code.counts, code.status, code.n_atoms
    constant = sparsefast.SparseCode._make(*fields).decode(atoms)
    loss = code_loss(signals, constant, COMMITMENT, WEIGHT)
    out = code.decode(atoms) if implicit else straight_through(signals, constant)
    return out if latent.ndim == 2 else out.permute(0, 3, 1, 2), loss, code


def close(found, wanted, scale=1.0):
    rtol = 1e-10 if found.dtype == torch.float64 else 1e-4  # systems have condition numbers up to some hundreds
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=rtol * scale)


# Images in planes and pixel by pixel; rows are as they are.
LAYOUTS = [
    (size, layout)
    for layout in (torch.contiguous_format, torch.channels_last)
    for size in SIZES
    if len(size[-1]) == 4 or layout is torch.contiguous_format
]


@pytest.mark.parametrize(("size", "layout"), LAYOUTS, ids=str)
@implicitly
@normalized
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_is_what_its_parts_compose(size, layout, implicit, normalize_atoms, dtype, way):
    latent, atoms, s = problem(size, dtype)
    if latent.ndim == 4:
        latent = latent.detach().contiguous(memory_format=layout).requires_grad_()
    found = run(latent, atoms, s, normalize_atoms, implicit)
    out, loss, code = composed(latent, atoms, s, normalize_atoms, implicit)
    assert torch.equal(found.indices, code.indices)
    assert torch.equal(found.counts, code.counts)
    assert torch.equal(found.status, code.status)
    assert torch.equal(found.values, code.values)
    assert torch.equal(found.reconstruction, out)
    assert found.reconstruction.stride() == latent.stride()
    used = torch.arange(s) < code.counts[..., None]
    assert torch.equal(found.usage, torch.bincount(code.indices[used], minlength=len(atoms)))
    if not latent.numel():
        assert loss.isnan() and found.loss.isnan()
        return
    close(found.loss, loss)
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(x.shape, generator=generator, dtype=dtype) for x in (out, loss, code.values)]
    for of_values in (False, True)[: 1 + implicit]:
        ours = [found.reconstruction, found.loss, found.values][: 2 + of_values]
        theirs = [out, loss, code.values][: 2 + of_values]
        a, b = (
            torch.autograd.grad(outs, (latent, atoms), cotangents[: 2 + of_values], retain_graph=True)
            for outs in (ours, theirs)
        )
        close(a[0], b[0], b[0].abs().max())
        # Where atoms span all, only what is rounded moves them.
        close(a[1], b[1], max(b[1].abs().max(), cotangents[0].abs().max()))


def test_every_instruction_set_has_these_gradients():
    native = pytest.importorskip("sparsefast._C", reason="nothing is compiled")
    in_use = native.isa()
    for size in SIZES[:-1]:
        for implicit in (False, True):
            latent, atoms, s = problem(size)
            out, loss, _ = composed(latent, atoms, s, False, implicit)
            wanted = torch.autograd.grad((out, loss), (latent, atoms), (out.detach(), torch.ones_like(loss)))
            try:
                for isa in native.isas():
                    native.set_isa(isa)
                    found = run(latent, atoms, s, False, implicit)
                    close(found.reconstruction, out)
                    cotangents = out.detach(), torch.ones_like(loss)
                    of = torch.autograd.grad(found[:2], (latent, atoms), cotangents)
                    close(of[0], wanted[0])
                    close(of[1], wanted[1], max(1, wanted[1].abs().max()))
            finally:
                native.set_isa(in_use)


@implicitly
def test_each_gradient_alone(implicit, way):
    latent, atoms, s = problem(SIZES[4])
    both = torch.autograd.grad(run(latent, atoms, s, True, implicit).loss, (latent, atoms))
    for i, fixed in enumerate(((latent, atoms.detach()), (latent.detach(), atoms))):
        of = torch.autograd.grad(run(*fixed, s, True, implicit).loss, (latent, atoms)[i])[0]
        torch.testing.assert_close(of, both[i], rtol=1e-12, atol=1e-14)
    out = run(latent, atoms, s, True, implicit).reconstruction
    assert (torch.autograd.grad(out.sum(), atoms, allow_unused=True)[0] is not None) == implicit


@normalized
@pytest.mark.parametrize("size", [(3, 8, 2, (1, 3, 2, 3)), (3, 8, 3, (5, 3)), (6, 9, 3, (1, 6, 2, 2))], ids=str)
def test_implicit_gradients_are_the_derivatives(size, normalize_atoms, way):
    latent, atoms, s = problem(size)

    def outputs(latent, atoms):
        found = run(latent, atoms, s, normalize_atoms, True)
        return found.reconstruction, found.values

    assert torch.autograd.gradcheck(outputs, (latent, atoms))


@normalized
@pytest.mark.parametrize("size", [SIZES[1], SIZES[5], SIZES[6]], ids=str)
def test_straight_through_is_differentiated_twice(size, normalize_atoms, way):
    latent, atoms, s = problem(size)
    weights = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def second(outputs):
        out, loss, *_ = outputs(latent, atoms, s, normalize_atoms, False)
        first = torch.autograd.grad((out.square() * weights).sum() + 3 * loss, (latent, atoms), create_graph=True)
        return torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), (latent, atoms))

    for a, b in zip(second(run), second(composed), strict=True):
        close(a, b, b.abs().max())


def test_implicit_is_differentiated_once(way):
    latent, atoms, s = problem(SIZES[5])
    out = run(latent, atoms, s, True, True).reconstruction
    (first,) = torch.autograd.grad(out.square().sum(), latent, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        first.sum().backward()


@implicitly
@pytest.mark.parametrize("size", [SIZES[0], SIZES[4]], ids=str)
def test_a_signal_that_is_not_finite_spoils_itself_alone(size, implicit, way):
    latent, atoms, s = problem(size)
    with torch.no_grad():
        latent[1, 2, 3, 4] = torch.nan
    found = run(latent, atoms, s, True, implicit)
    assert found.counts[1, 3, 4] == 0
    bad = found.reconstruction.isnan()
    assert bad[1, :, 3, 4].all() and bad.sum() == size[0]
    assert found.loss.isnan()
    of_latent, of_atoms = torch.autograd.grad(found.reconstruction.sum(), (latent, atoms), allow_unused=True)
    if implicit:
        assert torch.equal(of_latent.isnan(), bad)
        assert of_atoms.isfinite().all()


def test_an_atom_that_is_not_finite_is_never_used(way):
    latent, atoms, s = problem(SIZES[0])
    with torch.no_grad():
        atoms[0] = torch.inf
        latent[0, :, 0, 0] = 0  # whose entries are padding, which names atom 0
    found = run(latent, atoms, s, False, False)
    assert found.usage[0] == 0
    if way == "kernels":  # the others multiply what is padding
        assert found.reconstruction.isfinite().all()


def test_an_atom_of_no_length_has_a_gradient(way):
    latent, atoms, s = problem(SIZES[5])
    with torch.no_grad():
        atoms[3] = 0
    found, wanted = (torch.autograd.grad(f(latent, atoms, s, True, False)[1], atoms)[0] for f in (run, composed))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_the_reconstruction_may_be_overwritten():
    latent, atoms, s = problem(SIZES[0])
    found = run(latent, atoms, s, True, True)
    (torch.relu_(found.reconstruction).sum() + found.loss).backward()
    assert latent.grad.abs().max() > 0


def test_without_gradients_nothing_is_kept_for_them():
    latent, atoms, s = problem(SIZES[0])
    with torch.no_grad():
        found = run(latent, atoms, s, True, True)
    assert not len(found.residual) and not len(found.sums)
    assert not found.reconstruction.requires_grad
    assert not run(latent, atoms, s, True, False).values.requires_grad


@implicitly
def test_results_do_not_depend_on_threads_or_strides(implicit):
    latent, atoms, s = problem((5, 40, 3, (2, 5, 150, 151)), torch.float32)
    grad = torch.ones_like(latent)

    def results(z, threads):
        sparsefast.set_num_threads(threads)
        found = run(z, atoms, s, True, implicit)
        return *found, *torch.autograd.grad((found[0], found[1]), (z, atoms), (grad, torch.ones_like(found[1])))

    wide = torch.empty(2, 5, 150, 302)[..., ::2].copy_(latent.detach()).requires_grad_()
    try:
        one = results(latent, 1)
        for others in (results(latent, 2), results(wide, 1)):
            assert all(map(torch.equal, one, others))
    finally:
        sparsefast.set_num_threads(None)


def test_a_dictionary_that_changes_is_seen():
    latent, atoms, s = problem(SIZES[4])
    run(latent, atoms, s, True, True)
    with torch.no_grad():
        atoms[5] *= -1
        atoms[6, 7] += 0.5
    wanted = composed(latent, atoms, s, True, True)
    assert torch.equal(run(latent, atoms, s, True, True).reconstruction, wanted[0])


@implicitly
def test_the_transforms_of_torch_func(implicit):
    latent, atoms, s = problem((6, 9, 3, (2, 6, 2, 3)))
    latent, atoms = latent.detach(), atoms.detach()

    def loss(latent, atoms, function=run):
        out, loss, *_ = function(latent, atoms, s, True, implicit)
        return out.pow(3).sum() + loss

    found = grad_of(loss, argnums=(0, 1))(latent, atoms)
    leaves = latent.clone().requires_grad_(), atoms.clone().requires_grad_()
    wanted = torch.autograd.grad(loss(*leaves, function=composed), leaves)
    torch.testing.assert_close(found, wanted)
    each = vmap(grad_of(loss), in_dims=(0, None))(latent[:, None], atoms)
    alone = [grad_of(loss)(x[None], atoms) for x in latent]
    torch.testing.assert_close(each, torch.stack(alone))


@implicitly
def test_torch_can_check_the_operators(implicit):
    latent, atoms, s = problem((4, 9, 2, (1, 4, 3, 2)))
    operators = torch.ops.sparsefast
    arguments = (s, True, implicit, COMMITMENT, WEIGHT, True, not implicit)
    torch.library.opcheck(operators.bottleneck.default, (latent, atoms, *arguments))
    rows = latent.detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(operators.bottleneck.default, (rows, atoms, *arguments))
    out = [x.detach() for x in operators.bottleneck.default(latent, atoms, *arguments)]
    _, loss, values, indices, counts, _, _, residual, sums = out
    torch.library.opcheck(
        operators.bottleneck_gradients.default,
        (torch.ones_like(latent).detach(), loss, None, residual, values, indices, counts, atoms.detach(), sums,
         latent.shape, True, True, implicit, COMMITMENT, WEIGHT, True, True),
    )  # fmt: skip
