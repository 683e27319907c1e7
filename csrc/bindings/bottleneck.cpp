// Python's view of the dictionary bottleneck: checks arrays and codes, releases the GIL.
#include "sparsefast/bottleneck.hpp"

#include <string>

#include "bindings/codes.hpp"
#include "bindings/dictionary.hpp"

namespace sparsefast {
namespace {

// The data of a C-contiguous array of any shape with so many elements.
const void* elements_of(const py::array& a, const char* name, int64_t n) {
    constexpr int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (a.size() != n) throw py::value_error(std::string(name) + " has the wrong shape");
    if ((a.flags() & needed) != needed) throw py::value_error(std::string(name) + " must be C-contiguous and aligned");
    return a.data();
}
const void* floats_of(const py::array& a, const char* name, DType dtype, int64_t n) {
    check_float(a, name, dtype);
    return elements_of(a, name, n);
}
void* written(const py::array& a, const char* name, DType dtype, int64_t n) {
    floats_of(a, name, dtype, n);
    return const_cast<py::array&>(a).mutable_data();  // raises when read-only
}
template <typename T>
T* integers(const py::array& a, const char* name, char kind, int64_t n) {
    check_type(a, name, kind, sizeof(T));
    elements_of(a, name, n);
    return static_cast<T*>(const_cast<py::array&>(a).mutable_data());
}
const void* maybe(const py::object& a, const char* name, DType dtype, int64_t n) {
    return a.is_none() ? nullptr : floats_of(a.cast<py::array>(), name, dtype, n);
}
void* maybe_written(const py::object& a, const char* name, DType dtype, int64_t n) {
    return a.is_none() ? nullptr : written(a.cast<py::array>(), name, dtype, n);
}

// With planes dimension 1 of a latent is that of the features, else the last is.
Places places_of(const py::array& latent, bool planes) {
    if (latent.ndim() < 2) throw py::value_error("latent must have 2 dimensions or more");
    Places p{};
    p.planes = planes;
    p.n_features = latent.shape(planes ? 1 : latent.ndim() - 1);
    p.n_images = latent.shape(0);
    p.n_places = 1;
    for (py::ssize_t i = 1; i < latent.ndim(); ++i)
        if (i != (planes ? 1 : latent.ndim() - 1)) p.n_places *= latent.shape(i);
    return p;
}

void run_forward(const py::array& latent, bool planes, const PackedDictionary& packed, const py::array& atoms,
                 int64_t n_nonzero, const py::array& values, const py::array& indices, const py::array& counts,
                 const py::array& status, const py::array& reconstruction, const py::object& residual,
                 const py::object& sums, const py::array& loss, double weight, const py::array& usage, int n_threads) {
    BottleneckProblem p{};
    p.dictionary = packed.dictionary();
    p.packed = packed.data();
    const DType dtype = p.dictionary.dtype;
    const int64_t k = p.dictionary.n_atoms, f = p.dictionary.n_features;
    p.atoms = floats_of(atoms, "atoms", dtype, k * f);
    p.places = places_of(latent, planes);
    if (p.places.n_features != f) throw py::value_error("latent must have the dictionary's features");
    const int64_t n = p.places.n_images * p.places.n_places;
    p.latent = floats_of(latent, "latent", dtype, n * f);
    if (n_nonzero < 1 || n_nonzero > k) throw py::value_error("n_nonzero must be 1 to n_atoms");
    p.n_nonzero = n_nonzero;
    p.values = written(values, "values", dtype, n * n_nonzero);
    p.indices = integers<int64_t>(indices, "indices", 'i', n * n_nonzero);
    p.counts = integers<int32_t>(counts, "counts", 'i', n);
    p.status = integers<uint8_t>(status, "status", 'u', n);
    p.reconstruction = written(reconstruction, "reconstruction", dtype, n * f);
    p.residual = maybe_written(residual, "residual", dtype, n * f);
    p.sums = maybe_written(sums, "sums", dtype, k * f);
    if (p.sums && !p.residual) throw py::value_error("sums need residual");
    p.usage = integers<int64_t>(usage, "usage", 'i', k);
    void* const of_loss = written(loss, "loss", dtype, 1);
    double error = 0;
    p.error = &error;

    OmpProblem o{};
    o.dictionary = p.dictionary;
    o.n_nonzero = n_nonzero;
    const double flops = omp_flops(o) + 4.0 * static_cast<double>(n_nonzero * f);
    const int threads = threads_for(flops * static_cast<double>(n), n_threads);
    const Workspace workspace(bottleneck_workspace_bytes(p, threads));
    const py::gil_scoped_release release;
    bottleneck(p, workspace.data(), threads);
    const double mean = weight * error / static_cast<double>(n * f);
    if (dtype == DType::float32)
        *static_cast<float*>(of_loss) = static_cast<float>(mean);
    else
        *static_cast<double*>(of_loss) = mean;
}

void run_gradients(const py::array& like, bool planes, bool implicit, const py::object& grad,
                   const py::object& grad_values, const py::object& residual, const py::object& values,
                   const py::object& indices, const py::object& counts, const py::object& atoms,
                   const py::object& unit_atoms, const py::object& inverse_norms, double to_signals, double to_atoms,
                   double ridge, double least_pivot, const py::object& of_signals, const py::object& of_dictionary,
                   int n_threads) {
    BottleneckGradients p{};
    p.dtype = dtype_of(like, "like");
    p.places = places_of(like, planes);
    const int64_t n = p.places.n_images * p.places.n_places, f = p.places.n_features;
    p.implicit = implicit;
    p.grad = maybe(grad, "grad", p.dtype, n * f);
    p.residual = maybe(residual, "residual", p.dtype, n * f);
    p.to_signals = to_signals;
    p.to_atoms = to_atoms;
    p.of_signals = maybe_written(of_signals, "of_signals", p.dtype, n * f);
    if ((implicit || to_signals != 0) && !p.residual) throw py::value_error("residual is needed");
    double flops = 2.0 * static_cast<double>(n * f);
    if (implicit) {
        const auto d = atoms.cast<py::array>(), a = values.cast<py::array>();
        const int64_t k = p.n_atoms = rows_of(d, "atoms");
        p.atoms = floats_of(d, "atoms", p.dtype, k * f);
        p.codes = codes_of(&a, indices.cast<py::array>(), counts.cast<py::array>(), p.dtype, k);
        if (p.codes.n_signals != n) throw py::value_error("there must be a code for each signal");
        if (p.codes.n_nonzero < 1) throw py::value_error("codes must have room for an atom");
        p.grad_values = maybe(grad_values, "grad_values", p.dtype, n * p.codes.n_nonzero);
        p.unit_atoms = floats_of(unit_atoms.cast<py::array>(), "unit_atoms", p.dtype, k * f);
        p.inverse_norms = maybe(inverse_norms, "inverse_norms", p.dtype, k);
        p.ridge = ridge;
        p.least_pivot = least_pivot;
        p.of_dictionary = maybe_written(of_dictionary, "of_dictionary", p.dtype, k * f);
        const auto s = static_cast<double>(p.codes.n_nonzero);
        flops += static_cast<double>(n) * (s * s * s / 3 + (s + 8) * s * static_cast<double>(f));
    }
    const int threads = threads_for(flops, n_threads);
    const Workspace workspace(bottleneck_gradients_workspace_bytes(p, threads));
    const py::gil_scoped_release release;
    bottleneck_gradients(p, workspace.data(), threads);
}

void run_unit_norm(const py::array& rows, const py::array& grad, double scale, const py::array& out) {
    const DType dtype = dtype_of(rows, "rows");
    if (rows.ndim() != 2) throw py::value_error("rows must have 2 dimensions");
    const int64_t k = rows.shape(0), f = rows.shape(1);
    unit_norm_gradients(dtype, floats_of(rows, "rows", dtype, k * f), floats_of(grad, "grad", dtype, k * f), scale, k,
                        f, written(out, "out", dtype, k * f));
}

}  // namespace

void bind_bottleneck(py::module_& m) {
    m.def("bottleneck", &run_forward, py::arg("latent"), py::arg("planes"), py::arg("packed"), py::arg("atoms"),
          py::arg("n_nonzero"), py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("status"),
          py::arg("reconstruction"), py::arg("residual"), py::arg("sums"), py::arg("loss"), py::arg("weight"),
          py::arg("usage"), py::arg("n_threads"));
    m.def("bottleneck_gradients", &run_gradients, py::arg("like"), py::arg("planes"), py::arg("implicit"),
          py::arg("grad"), py::arg("grad_values"), py::arg("residual"), py::arg("values"), py::arg("indices"),
          py::arg("counts"), py::arg("atoms"), py::arg("unit_atoms"), py::arg("inverse_norms"), py::arg("to_signals"),
          py::arg("to_atoms"), py::arg("ridge"), py::arg("least_pivot"), py::arg("of_signals"),
          py::arg("of_dictionary"), py::arg("n_threads"));
    m.def("unit_norm_gradients", &run_unit_norm, py::arg("rows"), py::arg("grad"), py::arg("scale"), py::arg("out"));
}

}  // namespace sparsefast
