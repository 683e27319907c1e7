"""SparseCode as a container: indexing, conversion, decoding, and the ways in which PyTorch meets it."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.utils import _pytree

import sparsefast
from sparsefast import SparseCode, Status

K, F, S = 23, 11, 4
RNG = np.random.default_rng(0)
X, D = RNG.standard_normal((3, 5, F)), RNG.standard_normal((K, F))


@pytest.fixture(params=["numpy", "torch"])
def kind(request):
    return request.param


def as_kind(x, kind):
    return torch.from_numpy(np.ascontiguousarray(x)) if kind == "torch" else x


def make(kind, **options):
    return sparsefast.omp(as_kind(X, kind), as_kind(D, kind), S, backend="reference", **options)


def dense(code):
    """The codes as a dense array, written the slow way."""
    code = code.numpy()
    out = np.zeros((*code.shape, code.n_atoms))
    for at in np.ndindex(code.shape):
        if code.status[at] == Status.NONFINITE:
            out[at][0] = np.nan
        for index, value in zip(code.indices[at][: code.counts[at]], code.values[at], strict=False):
            out[at][index] += value
    return out


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        slice(1, 3),
        (1, 2),
        (slice(None), 0),
        (..., 1),
        (0, ...),
        ...,
        [2, 0],
        (slice(None), [True, False] * 2 + [True]),
    ],
    ids=str,
)
def test_indexing_is_that_of_an_array_of_the_batch_shape(kind, key):
    code = make(kind)
    part = code[key]
    numbers = np.arange(15).reshape(3, 5)[key]
    assert part.shape == numbers.shape
    assert part.n_nonzero == S
    assert part.n_atoms == K
    flat = make("numpy")
    for at in np.ndindex(numbers.shape):
        expected = np.unravel_index(numbers[at], (3, 5))
        np.testing.assert_array_equal(np.asarray(part.values)[at], flat.values[expected])
        np.testing.assert_array_equal(np.asarray(part.indices)[at], flat.indices[expected])


def test_a_mask_selects_signals(kind):
    code = make(kind)
    mask = as_kind(X[..., 0] > 0, kind)
    assert code[mask].shape == (int(mask.sum()),)
    np.testing.assert_array_equal(np.asarray(code[mask].values), np.asarray(code.values)[np.asarray(mask)])


def test_slices_share_memory_with_the_whole(kind):
    code = make(kind)
    assert np.shares_memory(code[1:].numpy().values, code.numpy().values)
    assert np.shares_memory(code[0, 0].numpy().counts, code.numpy().counts)


def test_an_index_past_the_batch_is_an_error(kind):
    code = make(kind)
    with pytest.raises(IndexError, match=r"3 indices for a batch of 2 dimensions, \(3, 5\)"):
        code[0, 0, 0]
    with pytest.raises(IndexError):
        code[3]
    with pytest.raises(TypeError, match="a single signal"):
        len(code[0, 0])


def test_iterating_gives_what_indexing_gives(kind):
    code = make(kind)
    assert len(code) == 3
    assert all(part.equals(code[i]) for i, part in enumerate(code))


def test_dense_scipy_and_decoded_forms_agree(kind):
    x = X.copy()
    x[0, 1], x[2, 3] = 0, np.nan  # a signal without atoms, and one that cannot be coded
    code = sparsefast.omp(as_kind(x, kind), as_kind(D, kind), S, tol=1.5, backend="reference")
    assert len(np.unique(np.asarray(code.counts))) > 2
    expected = dense(code)
    np.testing.assert_array_equal(np.asarray(code.to_dense()), expected)
    np.testing.assert_array_equal(code.to_scipy().toarray().reshape(3, 5, K), expected)
    assert code.to_scipy().nnz == int(code.counts.sum()) + 1
    decoded = np.asarray(code.decode(as_kind(D, kind)))
    np.testing.assert_allclose(decoded, expected @ D, atol=1e-13)
    assert np.isnan(decoded[2, 3]).all()
    assert not decoded[0, 1].any()
    np.testing.assert_array_equal(np.asarray(code.decode(sparsefast.prepare(D))), decoded)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_the_sparse_tensor_of_torch_has_sorted_columns_and_no_padding(kind):
    x = X.copy()
    x[0, 1], x[2, 3] = 0, np.nan
    code = sparsefast.omp(as_kind(x, kind), as_kind(D, kind), S, tol=1.5, backend="reference")
    sparse = code.to_torch_sparse()
    assert sparse.layout == torch.sparse_csr
    assert sparse.shape == (15, K)
    assert sparse.dtype == torch.float64
    np.testing.assert_array_equal(sparse.to_dense().reshape(3, 5, K), dense(code))
    expected = code.to_scipy()
    expected.sort_indices()
    np.testing.assert_array_equal(sparse.col_indices(), expected.indices)
    np.testing.assert_array_equal(sparse.crow_indices(), expected.indptr)
    assert make(kind)[:0].to_torch_sparse().shape == (0, K)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_the_sparse_tensor_of_torch_differentiates_through_the_values():
    code = make("torch")
    values = code.values.clone().requires_grad_()
    sparse = SparseCode(code.indices, values, code.counts, code.status, K).to_torch_sparse()
    (sparse @ torch.from_numpy(D)).sum().backward()
    np.testing.assert_allclose(values.grad, D.sum(axis=1)[code.indices], rtol=1e-13)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bit_values_can_be_had_in_every_form(dtype):
    code, d = make("torch").to(dtype), torch.from_numpy(D).to(dtype)
    wide = code.to(torch.float32)
    expected = wide.decode(d.float())
    for dictionary in (d, sparsefast.prepare(d)):
        assert torch.equal(code.decode(dictionary), expected.to(dtype))
    assert torch.equal(code.to_dense().float(), wide.to_dense())
    assert torch.equal(code.to_torch_sparse().to_dense().float(), wide.to_torch_sparse().to_dense())
    assert code.to_scipy().dtype == np.float32
    np.testing.assert_array_equal(code.to_scipy().toarray(), wide.to_scipy().toarray())
    # NumPy has no bfloat16.
    host = code.numpy()
    assert host.dtype == (np.float16 if dtype == torch.float16 else np.float32)
    assert host.equals(code)
    if dtype == torch.float16:
        for dictionary in (d.numpy(), sparsefast.prepare(d)):
            assert host.decode(dictionary).dtype == np.float16
            np.testing.assert_array_equal(host.decode(dictionary), code.decode(d))
        assert host.to_dense().dtype == np.float16
        assert host.torch().dtype == dtype


def test_straight_through_is_the_reconstruction_with_the_gradient_of_the_identity():
    code = make("torch")
    signals = torch.from_numpy(X.copy())
    signals[0, 0, 0] = torch.nan  # as a mask may hide
    signals.requires_grad_()
    dictionary = torch.from_numpy(D).requires_grad_()
    values = code.values.clone().requires_grad_()
    code = SparseCode(code.indices, values, code.counts, code.status, K)
    expected = code.decode(dictionary)
    result = code.decode(dictionary, straight_through=signals)
    assert torch.equal(result, expected)
    weights = torch.from_numpy(RNG.standard_normal(X.shape))
    (weights * result).sum().backward()
    assert torch.equal(signals.grad, weights)
    assert dictionary.grad is None
    assert values.grad is None
    prepared = sparsefast.prepare(dictionary)
    assert torch.equal(code.decode(prepared, straight_through=signals), expected)
    batched = torch.vmap(torch.func.grad(lambda x, c: c.decode(dictionary.detach(), straight_through=x).sum()))
    assert (batched(torch.from_numpy(X), make("torch")) == 1).all()


@pytest.mark.parametrize(
    ("signals", "error", "message"),
    [
        (X, TypeError, "values is a PyTorch tensor and straight_through a NumPy array"),
        (torch.from_numpy(X).float(), TypeError, "values is float64 and straight_through float32"),
        (torch.from_numpy(X[0]), ValueError, r"straight_through has shape \(5, 11\); it must be that of the signals"),
        (3, TypeError, "straight_through is a int; it must be"),
    ],
    ids=lambda value: "",
)
def test_straight_through_takes_the_signals(signals, error, message):
    with pytest.raises(error, match="decode: " + message):
        make("torch").decode(torch.from_numpy(D), straight_through=signals)
    with pytest.raises(TypeError, match="decode: straight_through is for PyTorch tensors, and values is a NumPy array"):
        make("numpy").decode(D, straight_through=signals)


def test_a_dictionary_that_was_prepared_from_a_tensor_gets_its_gradient():
    dictionary = torch.from_numpy(D).requires_grad_()
    code = make("torch")
    (grad,) = torch.autograd.grad(code.decode(sparsefast.prepare(dictionary)).sum(), dictionary)
    (expected,) = torch.autograd.grad(code.decode(dictionary).sum(), dictionary)
    assert torch.equal(grad, expected)


def test_decoding_in_torch_differentiates_through_values_and_dictionary():
    code = make("torch")
    dictionary = torch.from_numpy(D).requires_grad_()
    values = code.values.clone().requires_grad_()

    def decode(values, dictionary):
        return SparseCode(code.indices, values, code.counts, code.status, K).decode(dictionary)

    assert torch.autograd.gradcheck(decode, (values, dictionary))


def test_decoding_refuses_what_does_not_belong_together():
    code = make("numpy")
    with pytest.raises(ValueError, match=r"dictionary has shape \(22, 11\); it must be \(23, n_features\)"):
        code.decode(D[:-1])
    with pytest.raises(TypeError, match="values is a NumPy array and dictionary a PyTorch tensor"):
        code.decode(torch.from_numpy(D))
    with pytest.raises(TypeError, match="values is float64 and dictionary float32"):
        code.decode(D.astype(np.float32))
    wrong = code.copy()
    wrong.indices[0, 0, :2] = 0, K
    for use in (lambda: wrong.decode(D), wrong.to_dense, wrong.to_scipy, wrong.to_torch_sparse):
        with pytest.raises(ValueError, match="indices run from 0 to 23, and there are 23 atoms"):
            use()


def test_conversion_between_kinds_shares_memory():
    code = make("numpy")
    tensors = code.torch()
    assert tensors.indices.dtype == torch.int64
    assert tensors.values.dtype == torch.float64
    assert tensors.equals(code)
    assert tensors.numpy().equals(code)
    assert np.shares_memory(tensors.values.numpy(), code.values)
    assert np.shares_memory(tensors.numpy().indices, tensors.indices.numpy())
    assert code.numpy() is code
    assert tensors.torch() is tensors


def test_to_converts_the_values_alone():
    code = make("torch")
    for single in (code.to(torch.float32), code.to(dtype=torch.float32), code.to("cpu", torch.float32)):
        assert single.dtype == torch.float32
        assert single.indices.dtype == torch.int64
        assert single.counts.dtype == torch.int32
        assert single.status.dtype == torch.uint8
    assert code.to("cpu").values is code.values
    assert code.to("meta").values.device.type == "meta"
    assert "meta" in repr(code.to("meta"))
    assert make("numpy").to(np.float32).dtype == np.float32
    assert make("numpy").to("float32").dtype == np.float32
    with pytest.raises(TypeError, match=r"stay on the CPU; call .torch\(\) first"):
        make("numpy").to("cuda")


def test_a_copy_shares_nothing(kind):
    code = make(kind)
    for other in (code.copy(), copy.deepcopy(code)):
        assert other.equals(code)
        assert not np.shares_memory(other.numpy().values, code.numpy().values)


def test_equals_sees_every_part(kind):
    code = make(kind)
    assert code.equals(code.copy())
    for name in ("indices", "values", "counts", "status"):
        other = code.copy()
        getattr(other, name)[1, 2] += 1
        assert not code.equals(other), name
    near = code.copy()
    near.values[0] *= 1 + 1e-9
    assert not code.equals(near)
    assert code.equals(near, rtol=1e-8)
    assert not code.equals(code[1:])


def test_the_representation_is_short_and_says_what_it_is():
    assert repr(make("numpy")) == "SparseCode(shape (3, 5), 4 of 23 atoms, 4 on average, float64)"
    assert repr(make("torch")[:0]) == "SparseCode(shape (0, 5), 4 of 23 atoms, torch.float64)"


def test_parts_that_do_not_belong_together_are_refused():
    code = make("numpy")
    parts = {name: getattr(code, name) for name in ("indices", "values", "counts", "status", "n_atoms")}
    for change, error, message in (
        ({"indices": code.indices[1:]}, ValueError, r"indices has shape \(2, 5, 4\) and values \(3, 5, 4\)"),
        ({"counts": code.counts[0]}, ValueError, r"counts has shape \(5,\); it must be \(3, 5\)"),
        ({"status": code.torch().status}, TypeError, "values is a NumPy array and status a PyTorch tensor"),
        ({"values": [1.0]}, TypeError, "values is a list"),
        ({"n_atoms": 2.0}, TypeError, "n_atoms=2.0 is a float"),
    ):
        with pytest.raises(error, match="SparseCode: " + message):
            SparseCode(**{**parts, **change})


def test_it_survives_pickle_and_torch_save_with_weights_only(kind):
    code = make(kind)
    assert pickle.loads(pickle.dumps(code)).equals(code)
    if kind == "torch":
        file = io.BytesIO()
        torch.save({"code": code}, file)
        file.seek(0)
        again = torch.load(file, weights_only=True)["code"]
        assert isinstance(again, SparseCode)
        assert again.equals(code)


def test_it_is_a_node_of_torch_trees():
    code = make("torch")
    tree = {"a": [code, 3]}
    leaves, spec = _pytree.tree_flatten(tree)
    assert len(leaves) == 5
    assert leaves[1] is code.values
    assert _pytree.tree_unflatten(leaves, spec)["a"][0].equals(code)
    doubled = _pytree.tree_map(lambda x: x * 2, tree)["a"][0]
    assert doubled.n_atoms == K
    assert torch.equal(doubled.values, code.values * 2)
    paths = [_pytree.keystr(path) for path, _ in _pytree.tree_leaves_with_path(tree)]
    assert paths == ["['a'][0].indices", "['a'][0].values", "['a'][0].counts", "['a'][0].status", "['a'][1]"]
    # Leaves of a tree need not be arrays.
    assert _pytree.tree_map(lambda x: None, code).values is None


def test_a_default_collate_function_of_a_dataloader_can_stack_its_parts():
    code = make("torch")
    stacked = _pytree.tree_map(lambda *parts: torch.stack(parts), *code)
    assert stacked.equals(code)
