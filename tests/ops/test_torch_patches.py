"""`unfold` and `fold` where PyTorch looks on: gradients of every order, torch.compile, vmap, autocast, opcheck."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jacrev, vmap

import sparsefast
import sparsefast.ops.torch_patches  # which defines torch.ops.sparsefast.unfold and fold
from tests.ops.patch_cases import every_layout, picture

X = picture()
SIZE = (9, 11)
PLACES = [
    dict(stride=(3, 4)),
    dict(stride=(3, 4), border="pad"),
    dict(stride=(7, 6), border="drop"),
    dict(centers=torch.tensor([[2.5, 3.0], [2.0, 3.9], [-1.0, 4.0], [40.0, 4.0], [7.0, 9.0]])),
]
every_place = pytest.mark.parametrize("places", PLACES, ids=["clamp_last", "pad", "drop", "centers"])


def images(n_channels=1):
    return (X[:, :n_channels, : SIZE[0], : SIZE[1]].double() / 255).requires_grad_()


@every_place
@every_layout
def test_unfold_is_differentiated_as_often_as_one_likes(places, layout):
    def call(x):
        return sparsefast.unfold(x, (5, 4), layout=layout, **places)

    assert gradcheck(call, images())
    assert gradgradcheck(call, images())


@pytest.mark.parametrize("normalize", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(
    ("layout", "places"),
    [("columns", PLACES[0]), ("patches", PLACES[1]), ("signals", PLACES[2]), ("columns", PLACES[3])],
)  # fmt: skip
def test_fold_is_differentiated_by_patches_window_and_confidence(places, layout, normalize):
    p = sparsefast.unfold(images().detach(), (5, 4), layout=layout, **places).clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    n = p.shape[2] if layout == "columns" else p.shape[1]
    window = (torch.rand(5, 4, dtype=torch.float64, generator=generator) + 0.2).requires_grad_()
    confidence = (torch.rand(2, n, dtype=torch.float64, generator=generator) + 0.2).requires_grad_()

    def call(p, window="kaiser", confidence=None):
        return sparsefast.fold(
            p, SIZE, (5, 4), layout=layout, weights=window, confidence=confidence, normalize=normalize, **places
        )

    for inputs in ((p,), (p, window, confidence)):
        # In a random direction: element by element it takes seconds.
        assert gradcheck(call, inputs, fast_mode=True)
        assert gradgradcheck(call, inputs, fast_mode=True)


def test_one_confidence_for_all_images_gets_the_sum_of_their_gradients():
    p = sparsefast.unfold(images().detach(), 4, 3)
    shared = torch.full((p.shape[2],), 0.5, dtype=torch.float64, requires_grad=True)
    each = shared.detach().expand(2, -1).clone().requires_grad_()
    noisy = p + torch.linspace(0, 1, p.numel(), dtype=p.dtype).reshape(p.shape)
    for confidence in (shared, each):
        sparsefast.fold(noisy, SIZE, 4, 3, confidence=confidence).square().sum().backward()
    torch.testing.assert_close(shared.grad, each.grad.sum(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradients_have_the_dtype_of_what_they_belong_to(dtype):
    x = X.clone().to(dtype).requires_grad_()
    window = torch.rand(5, 4).requires_grad_()
    confidence = torch.rand(2, 112).requires_grad_()
    patches = sparsefast.unfold(x, (5, 4), (3, 2))
    back = sparsefast.fold(patches * 2, (21, 34), (5, 4), (3, 2), weights=window, confidence=confidence)
    assert back.dtype == dtype
    back.float().mean().backward()
    assert x.grad.dtype == dtype and window.grad.dtype == confidence.grad.dtype == torch.float32
    # Each pixel is twice itself, whatever the weights.
    torch.testing.assert_close(x.grad.float(), torch.full_like(X, 2 / X.numel()), rtol=2e-2, atol=0)
    assert window.grad.abs().max() < 1e-2


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_whole_it_gives_the_same(dynamic):
    def model(x, window):
        patches = sparsefast.unfold(x, 5, 3, layout="signals")
        return sparsefast.fold(patches * patches, tuple(x.shape[-2:]), 5, 3, layout="signals", weights=window)

    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((21, 34), (16, 20)):
        x, window = X[:, :, : size[0], : size[1]], torch.rand(5, 5)
        expected, result = [], []
        for call, found in ((model, expected), (compiled, result)):
            inputs = [t.detach().clone().requires_grad_() for t in (x, window)]
            out = call(*inputs)
            out.square().sum().backward()
            found += [out.detach(), *(t.grad for t in inputs)]
        for a, b in zip(result, expected, strict=True):
            assert torch.equal(a, b)


def test_compiled_out_is_written():
    def into(x, out):
        return sparsefast.unfold(x, 5, 3, out=out) + 1

    torch._dynamo.reset()
    expected = sparsefast.unfold(X, 5, 3)
    out = torch.full_like(expected, torch.nan)
    assert torch.equal(torch.compile(into, fullgraph=True, backend="aot_eager")(X, out), expected + 1)
    assert torch.equal(out, expected)

    def folded(p, out):
        sparsefast.fold(p, (21, 34), 5, 3, out=out)
        return out * 2

    image = torch.full_like(X, torch.nan)
    result = torch.compile(folded, fullgraph=True, backend="aot_eager")(expected, image)
    torch.testing.assert_close(result, 2 * X)
    torch.testing.assert_close(image, X)


def each_of(call, *inputs):
    return torch.stack([call(*one) for one in zip(*inputs, strict=True)])


class TestVmap:
    """A batch more, of any argument."""

    def test_of_images(self):
        def call(x):
            return sparsefast.unfold(x, 4, 3)

        for x in (X, torch.stack([X, X.flip(3), X + 1])):
            assert torch.equal(vmap(call)(x), each_of(call, x))
        assert torch.equal(vmap(call, in_dims=1)(X[None]), each_of(call, X[:, None]))

    def test_of_centers(self):
        centers = torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[5.0, 5.0], [20.0, 30.0]]])
        both = torch.stack([X, X.flip(3)])

        def call(x, c):
            return sparsefast.unfold(x, 4, centers=c)

        assert torch.equal(vmap(call)(both, centers), each_of(call, both, centers))
        assert torch.equal(vmap(call, (None, 0))(X, centers), torch.stack([call(X, c) for c in centers]))
        assert torch.equal(vmap(call, (0, None))(both, centers), torch.stack([call(x, centers) for x in both]))

    def test_of_patches_window_and_confidence(self):
        p = torch.stack([sparsefast.unfold(X, 4, 3), sparsefast.unfold(X.flip(2), 4, 3)]) * torch.rand(48, 1)
        window, confidence = torch.rand(2, 4, 4), torch.rand(2, 2, 77)

        def call(p, w, c):
            return sparsefast.fold(p, (21, 34), 4, 3, weights=w, confidence=c)

        assert torch.equal(vmap(call)(p, window, confidence), each_of(call, p, window, confidence))
        result = vmap(call, (0, None, None))(p, window[0], confidence[0])
        assert torch.equal(result, torch.stack([call(q, window[0], confidence[0]) for q in p]))
        result = vmap(call, (None, None, 0))(p[0], window[0], confidence)
        assert torch.equal(result, torch.stack([call(p[0], window[0], c) for c in confidence]))

    def test_with_gradients(self):
        def loss(x):
            return sparsefast.fold(sparsefast.unfold(x, 4, 3) ** 2, (21, 34), 4, 3).sum()

        torch.testing.assert_close(vmap(grad(loss))(X), 2 * X)
        jacobian = jacrev(lambda x: sparsefast.unfold(x, 2, 2))(X[0, :1, :4, :4])
        assert jacobian.shape == (4, 4, 1, 4, 4)
        assert torch.equal(jacobian.sum((0, 1)), torch.ones(1, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(dtype):
    x = X.to(dtype)
    expected = sparsefast.fold(sparsefast.unfold(x, 5, 3) * 2, (21, 34), 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        patches = sparsefast.unfold(x, 5, 3)
        result = sparsefast.fold(patches * 2, (21, 34), 5, 3)
    assert patches.dtype == result.dtype == dtype
    assert torch.equal(result, expected)


def test_a_backend_is_used_for_gradients_too():
    x = images().detach().requires_grad_()
    sparsefast.unfold(x, 4, 3, backend="reference").square().sum().backward()
    other = images().detach().requires_grad_()
    sparsefast.unfold(other, 4, 3).square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad)


PLACED = ((5, 4), (3, 2), "clamp_last", "columns", None)


def test_the_operators_are_what_pytorch_asks_of_one():
    x = X.clone().requires_grad_()
    p = sparsefast.unfold(X, (5, 4), (3, 2)).requires_grad_()
    window, confidence = torch.rand(5, 4, requires_grad=True), torch.rand(2, 112, requires_grad=True)
    centers = torch.rand(112, 2) * 20
    ops = torch.ops.sparsefast
    torch.library.opcheck(ops.unfold.default, (x, None, *PLACED))
    torch.library.opcheck(ops.unfold.default, (x, centers, (5, 4), (1, 1), "clamp_last", "signals", None))
    torch.library.opcheck(ops.fold.default, (p, None, None, None, (21, 34), "gaussian", True, *PLACED))
    torch.library.opcheck(ops.fold.default, (p, window, confidence, None, (21, 34), "", True, *PLACED))
    torch.library.opcheck(ops.unfold_out.default, (X, None, *PLACED, torch.empty(2, 60, 112)))
    torch.library.opcheck(
        ops.fold_out.default,
        (p.detach(), None, None, None, (21, 34), "uniform", True, *PLACED, torch.empty(2, 3, 21, 34)),
    )
