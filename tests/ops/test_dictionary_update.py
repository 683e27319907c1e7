"""ksvd_update, mod_update, DictionaryStats, online_update and replace_atoms through their public functions."""

import numpy as np
import pytest
import torch

import sparsefast
import sparsefast.ops.torch_dictionary  # which defines torch.ops.sparsefast.dictionary_update and online_update
from sparsefast import DictionaryStats, ksvd_update, mod_update, online_update, replace_atoms
from tests.ops.helper import F, K, N, S, problem

UPDATES = {
    "approx": lambda x, d, c, **more: ksvd_update(x, d, c, **more),
    "exact": lambda x, d, c, **more: ksvd_update(x, d, c, method="exact", **more),
    "parallel": lambda x, d, c, **more: ksvd_update(x, d, c, parallel=True, **more),
    "mod": lambda x, d, c, **more: mod_update(x, d, c, **more),
}
every_update = pytest.mark.parametrize("name", UPDATES)


def coded(dtype="float64", batch=(N,)):
    x, d = problem(dtype, batch)
    return x, d, sparsefast.omp(x, d, S)


def in_torch(x, d, code):
    return torch.from_numpy(x), torch.from_numpy(d), code.torch()


def parts(update):
    return update.dictionary, update.code.values, update.errors, update.usage


def assert_equal(a, b):
    for one, other in zip(parts(a), parts(b), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@every_update
def test_the_error_falls_and_is_the_one_that_is_told(name):
    x, d, code = coded()
    found = UPDATES[name](x, d, code)
    residual = np.linalg.norm(x - found.code.decode(found.dictionary), axis=1)
    np.testing.assert_allclose(found.errors, residual, rtol=1e-12, atol=1e-13)
    # Not with parallel: on 37 signals atoms correct the same errors.
    assert name == "parallel" or (residual**2).sum() < ((x - code.decode(d)) ** 2).sum()
    np.testing.assert_array_equal(found.usage, np.bincount(code.indices.ravel(), minlength=K))
    used = found.usage > 0
    np.testing.assert_allclose(np.linalg.norm(found.dictionary[used], axis=1), 1, rtol=1e-13)
    np.testing.assert_array_equal(found.dictionary[~used], d[~used])
    assert found.code.indices is code.indices and found.code.values is not code.values


@every_update
@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
def test_batches_of_any_shape(name, batch):
    x, d = problem("float64", batch)
    code = sparsefast.omp(x, d, S)
    found = UPDATES[name](x, d, code)
    assert found.errors.shape == batch and found.code.shape == batch
    flat = x.reshape(-1, F)
    expected = UPDATES[name](flat, d, sparsefast.omp(flat, d, S))
    np.testing.assert_array_equal(found.dictionary, expected.dictionary)


@every_update
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_give_the_same_bits_and_nothing_to_differentiate(name, dtype):
    x, d, code = coded(dtype)
    tx, td, tcode = in_torch(x, d, code)
    assert_equal(UPDATES[name](tx, td, tcode), UPDATES[name](x, d, code))
    found = UPDATES[name](tx.requires_grad_(), td.requires_grad_(), tcode)
    assert not found.dictionary.requires_grad and not found.code.values.requires_grad
    assert_equal(found, UPDATES[name](x, sparsefast.prepare(d), code))


@every_update
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_computed_in_float32_and_rounded_once(name, dtype):
    x, d, code = in_torch(*coded("float32"))
    x, d, code = x.to(dtype), d.to(dtype), code.to(dtype)
    found = UPDATES[name](x, d, code)
    wide = UPDATES[name](x.float(), d.float(), code.to(torch.float32))
    assert found.dictionary.dtype == found.code.dtype == found.errors.dtype == dtype
    assert torch.equal(found.dictionary, wide.dictionary.to(dtype))
    assert torch.equal(found.code.values, wide.code.values.to(dtype))


def step(x, d):
    code = sparsefast.omp(x, d, S)
    found = ksvd_update(x, d, code)
    return found.dictionary, found.errors


def test_a_learning_step_compiles_to_one_graph_and_is_batched_by_vmap():
    x, d, _ = in_torch(*coded())
    expected = step(x, d)
    for a, b in zip(torch.compile(step, fullgraph=True, backend="aot_eager")(x, d), expected, strict=True):
        assert torch.equal(a, b)
    batched, _ = torch.vmap(step, (0, None))(torch.stack([x, 2 * x]), d)
    assert torch.equal(batched[0], expected[0])


def test_pytorch_finds_the_operators_sound():
    x, d, code = in_torch(*coded())
    step(x.requires_grad_(), d)
    x = x.detach()
    fields = code.values, code.indices, code.counts
    operators = torch.ops.sparsefast
    for method in ("approx", "mod"):
        arguments = (x, d, *fields, method, False, None, False)
        torch.library.opcheck(operators.dictionary_update.default, arguments)
    stats = DictionaryStats(K, F, like=x).add(x, code)
    torch.library.opcheck(operators.online_update.default, (stats.A, stats.B, d, 1, False, None))


def test_mod_is_the_least_squares_dictionary_also_where_that_is_not_unique():
    x, d, code = coded()
    found = mod_update(x, d, code)
    dense = code.to_dense()
    np.testing.assert_allclose(
        found.code.decode(found.dictionary), dense @ np.linalg.lstsq(dense, x, rcond=None)[0], atol=1e-10
    )
    code.indices[:, 1], code.values[:, 1] = code.indices[:, 0] ^ 1, code.values[:, 0]  # two atoms always together
    pairs = sparsefast.SparseCode(code.indices[:, :2], code.values[:, :2], np.full(N, 2, np.int32), code.status, 42)
    wide = np.vstack([d, d[:1]])
    found, dense = mod_update(x, wide, pairs), pairs.to_dense()
    np.testing.assert_allclose(
        found.code.decode(found.dictionary), dense @ np.linalg.lstsq(dense, x, rcond=None)[0], atol=1e-10
    )


@pytest.mark.parametrize("name", ["approx", "mod"])
def test_an_error_names_the_argument_what_it_was_and_what_it_must_be(name):
    x, d, code = coded()
    op = "mod_update" if name == "mod" else "ksvd_update"
    for arguments, error, message in (
        ((x, d, code.values), TypeError, "code is a ndarray; it must be a SparseCode, as omp returns"),
        ((x, d[:-1], code), ValueError, "code is of 41 atoms and dictionary has 40; they must be the same"),
        ((x[:-1], d, code), ValueError, "code has shape (37,); it must be that of the signals, (36,)"),
        ((x.astype("f"), d.astype("f"), code), TypeError, "signals is float32 and code float64; convert one of them"),
        ((x, d, code.torch()), TypeError, "signals is a NumPy array and code a PyTorch tensor; pass both as one kind"),
        ((x[:, :3], d, code), ValueError, "signals has shape (37, 3) and dictionary (41, 15)"),
    ):
        with pytest.raises(error) as raised:
            UPDATES[name](*arguments)
        assert str(raised.value).startswith(f"{op}: {message}"), str(raised.value)
    x[3, 2] = np.inf
    with pytest.raises(ValueError, match=f"{op}: signals holds NaN or infinity, first in row 3"):
        UPDATES[name](x, d, code, check_finite=True)
    with pytest.raises(ValueError, match="ksvd_update: method='svd'; it must be one of approx, exact"):
        ksvd_update(x, d, code, method="svd")
    with pytest.raises(TypeError, match="ksvd_update: parallel=1; it must be True or False"):
        ksvd_update(x, d, code, parallel=1)


def test_statistics_of_parts_add_up_and_forget():
    x, d, code = coded()
    whole = DictionaryStats(K, F).add(x, code)
    parts = DictionaryStats(K, F).add(x[:20], code[:20]) + DictionaryStats(K, F).add(x[20:], code[20:])
    for name in ("A", "B", "usage", "totals"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-13, atol=1e-13)
    assert (whole.n_signals, whole.energy) == (N, pytest.approx((x * x).sum()))
    assert whole.objective(d) == pytest.approx(((x - code.decode(d)) ** 2).sum() / (2 * N), rel=1e-12)
    twice = whole.copy().add(x, code, forgetting=0.25)
    np.testing.assert_allclose(twice.B, 1.25 * whole.B, rtol=1e-14)
    assert twice.n_signals == 1.25 * N and whole.n_signals == N


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_statistics_are_saved_whole_or_not_at_all_and_read_again(kind, tmp_path):
    x, d, code = coded("float32")
    if kind == "torch":
        x, d, code = in_torch(x, d, code)
    stats, path = DictionaryStats(K, F, like=x).add(x, code), tmp_path / "stats.safetensors"
    stats.save(path)
    again = DictionaryStats.load(path, like=x)
    for name in ("A", "B", "usage", "totals"):
        np.testing.assert_array_equal(np.asarray(getattr(again, name)), np.asarray(getattr(stats, name)))
    assert type(again.A) is type(stats.A)
    np.testing.assert_array_equal(np.asarray(online_update(again, d)), np.asarray(online_update(stats, d)))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is not a whole safetensors file of sparsefast"):
        DictionaryStats.load(path)
    with pytest.raises(FileNotFoundError):
        DictionaryStats.load(tmp_path / "none")
    with pytest.raises(OSError, match="nowhere"):
        stats.save(tmp_path / "nowhere" / "stats")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_statistics_refuse_what_does_not_belong_to_them():
    x, d, code = coded()
    stats = DictionaryStats(K, F)
    for call, error, message in (
        (lambda: DictionaryStats(0, 3), ValueError, "DictionaryStats: n_atoms=0; it must be at least 1"),
        (lambda: stats.add(x, code, forgetting=1.5), ValueError, "forgetting=1.5; it must be 0 to 1"),
        (
            lambda: DictionaryStats(K, F + 1).add(x, code),
            ValueError,
            "these statistics are of 16 features and 41 atoms",
        ),
        (lambda: stats.add(*in_torch(x, d, code)[::2]), TypeError, "signals is a PyTorch tensor and the statistics"),
        (lambda: stats + DictionaryStats(K, 3), ValueError, "cannot be added"),
        (lambda: online_update(stats, d[:-1]), ValueError, "online_update: dictionary has shape (40, 15) and stats"),
        (lambda: online_update(stats, d, constraint="cube"), ValueError, "it must be one of ball, sphere"),
        (lambda: online_update(stats, d, n_iterations=0), ValueError, "n_iterations=0; it must be at least 1"),
    ):
        with pytest.raises(error) as raised:
            call()
        assert message in str(raised.value)
    assert stats.n_signals == 0 and not stats.A.any()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_dead_and_duplicate_atoms_become_the_signals_that_are_worst(kind):
    rng = np.random.default_rng(0)
    x, d = rng.standard_normal((50, 8)), np.eye(8)
    d[3] = d[1]  # used less than 1, so that it is the duplicate
    d[5] = 0
    usage = np.array([9, 9, 0, 8, 9, 9, 9, 9])
    errors = rng.uniform(1, 2, 50)
    errors[[7, 11, 30, 31]] = 5, 6, 4, np.nan
    x[11] = x[7] * -3  # the same direction as a worse one: not twice
    given = (x, d, errors, usage)
    if kind == "torch":
        given = tuple(map(torch.from_numpy, given))
    new, replaced = replace_atoms(*given)
    np.testing.assert_array_equal(replaced, [2, 3, 5])
    worst = np.argsort(-np.nan_to_num(errors))
    expected = x[[11, 30, worst[3]]]
    np.testing.assert_allclose(new[[2, 3, 5]], expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_array_equal(np.asarray(new)[[0, 1, 4, 6, 7]], d[[0, 1, 4, 6, 7]])
    same, none = replace_atoms(given[0], new, given[2], given[3] + 1)
    assert same is new and not none.size


def test_where_no_signal_is_left_atoms_are_random_by_seed():
    x, d = np.eye(3)[:1], np.zeros((4, 3))
    new, replaced = replace_atoms(x, d, np.ones(1), np.zeros(4), seed=3)
    again, _ = replace_atoms(x, d, np.ones(1), np.zeros(4), seed=3)
    np.testing.assert_array_equal(new, again)
    np.testing.assert_array_equal(new[0], x[0])
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1)
    assert replaced.tolist() == [0, 1, 2, 3] and len(np.unique(new, axis=0)) == 4
