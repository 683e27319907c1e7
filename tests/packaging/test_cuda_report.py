"""`make cuda-report`: the table of what kernels take, and the failure where one spills. The kernels of the build must
not."""

import importlib.util
import shutil
import subprocess
import sys

import pytest

from .conftest import ROOT, run

SCRIPT = ROOT / "benchmarks" / "cuda_resources.py"
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")

LOG = """\
ptxas info    : 0 bytes gmem, 128 bytes cmem[4]
ptxas info    : Compiling entry function '_ZN10sparsefast12_GLOBAL__N_16kernelIfLi64EEEvPT_' for 'sm_90'
ptxas info    : Function properties for _ZN10sparsefast12_GLOBAL__N_16kernelIfLi64EEEvPT_
    632 bytes stack frame, 828 bytes spill stores, 844 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 640 bytes cumulative stack size, 256 bytes smem
ptxas info    : Function properties for _Z6calledPf
    0 bytes stack frame, 0 bytes spill stores, 4 bytes spill loads
ptxas info    : Compile time = 1.219 ms
"""

KERNELS = """
__global__ void neat_kernel(float* p) {
    __shared__ float s[64];
    s[threadIdx.x] = p[threadIdx.x];
    __syncthreads();
    p[threadIdx.x] = s[63 - threadIdx.x];
}
#ifdef SPILL
namespace sparsefast {
namespace {
// 96 values that must all live at once, where a thread has 32 registers.
template <int N> __global__ void __launch_bounds__(1024, 2) greedy_kernel(float* p, int n) {
    float a[N];
#pragma unroll
    for (int i = 0; i < N; ++i) a[i] = p[i * n + threadIdx.x];
    for (int k = 0; k < n; ++k)
#pragma unroll
        for (int i = 0; i < N; ++i) a[i] = a[i] * a[(i + 5) % N] + p[k];
#pragma unroll
    for (int i = 0; i < N; ++i) p[i * n + threadIdx.x] = a[i];
}
}
void launch(float* p) { greedy_kernel<96><<<1, 1024>>>(p, 3); }
}
#endif
"""


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("cuda_resources", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CMake is run once for all of these tests."""
    return tmp_path_factory.mktemp("cuda-report")


def cuda_report(folder, *arguments, check=True):
    return run(sys.executable, SCRIPT, f"--build-folder={folder}", *arguments, check=check, PYTHONPATH=str(ROOT))


def test_what_ptxas_prints_is_read(report):
    kernel, called = report.parse(LOG, "90")
    assert vars(kernel) == dict(
        name="_ZN10sparsefast12_GLOBAL__N_16kernelIfLi64EEEvPT_",
        **dict(arch="90", kernel=True, registers=32, shared=256, stack=640, spill_stores=828, spill_loads=844),
    )
    assert (called.kernel, called.spills) == (False, 4)
    if shutil.which("c++filt"):
        assert report.demangled([kernel.name, called.name]) == ["kernel<float, 64>", "called"]


def test_a_spill_counts_unless_there_is_a_reason(report):
    uses = report.parse(LOG, "90")
    bad, fine = report.verdict(uses, {"_Z6called.*": "runs once"})
    assert [line.split()[0] for line in bad] == [uses[0].name]
    assert fine == ["_Z6calledPf spills on 90: 0 bytes stored, 4 loaded (allowed: runs once)"]


def test_a_command_is_turned_to_one_architecture(report):
    targets = [
        "--generate-code=arch=compute_80,code=[sm_80]",
        "--generate-code=arch=compute_90,code=[compute_90,sm_90]",
    ]
    command = ["nvcc", "-O3", *targets, "-x", "cu", "-c", "a.cu", "-o", "a.o"]
    assert report.architectures(command) == ["80", "90-virtual", "90"]
    machine_code = report.for_architecture(command, "80", "b.cu", "out")
    assert " ".join(machine_code).endswith(
        "-x cu --generate-code=arch=compute_80,code=[sm_80] -Xptxas=-v -cubin b.cu -o out"
    )
    assert report.for_architecture(command, "90-virtual", "b.cu", "out")[-5:] == [
        "-ptx",
        "-arch=compute_90",
        "b.cu",
        "-o",
        "out",
    ]


@needs_nvcc
def test_a_spill_fails_the_report(folder, tmp_path):
    neat, greedy, broken = (tmp_path / f"{name}.cu" for name in ("neat", "greedy", "broken"))
    neat.write_text(KERNELS)
    greedy.write_text("#define SPILL\n" + KERNELS)
    broken.write_text("__global__ void f() { no such thing; }\n")
    done = cuda_report(folder, "--archs=90,90-virtual", neat)
    heads, row = (line.split() for line in done.stdout.splitlines()[:2])
    assert heads[:4] == ["kernel", "arch", "registers", "shared"]
    assert row[:2] == ["neat_kernel", "90"] and row[3:] == ["256", "0", "0", "0"]
    done = cuda_report(folder, "--archs=90", greedy, check=False)
    assert done.returncode == 1
    assert "cuda_resources: greedy_kernel<96> spills on 90: " in done.stdout
    done = cuda_report(folder, "--archs=90", broken, check=False)
    assert done.returncode == 2
    assert "broken.cu for 90:" in done.stdout


@needs_nvcc
def test_no_kernel_spills_on_the_newest_architecture(folder):
    done = cuda_report(folder, "--jobs=2", "--archs=90")
    print(done.stdout)
    assert "probe_kernel" in done.stdout


@needs_nvcc
@pytest.mark.slow
def test_no_kernel_spills(folder):
    """On no architecture of the build, whose kernels `make` has compiled for each; PTX too."""
    done = cuda_report(folder, "--jobs=2")
    print(done.stdout)
    assert "probe_kernel" in done.stdout
    assert "sources, for 75, 80, 90, 90-virtual" in done.stdout or nvcc_is_another()


def nvcc_is_another() -> bool:
    """A toolkit that does not know these architectures leaves some out."""
    known = subprocess.run(["nvcc", "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    return not {f"compute_{n}" for n in (75, 80, 90)} <= set(known.split())
