"""cuda_toolkit(): NVIDIA's toolkit as the repository @cuda_toolkit, which is there but empty where no toolkit is.

What it holds:
- toolkit.bzl: FOUND, HAS_NCCL, VERSION, NVCC (the compiler's path), INCLUDE_DIR and LIB_DIR;
- the targets :cudart, :cublas, :cublasLt and :nccl, which say how to link and are empty without a toolkit. The headers
  need no target: nvcc knows its own, and no other compiler has to;
- status.txt: one line that says what was found or what was missing.

It is looked for in CUDA_PATH, which has to be right if it is set; otherwise in /usr/local/cuda, then around the nvcc
on PATH. --repo_env=SHARDGRAD_CUDA=off makes it look nowhere, as on a machine without a toolkit.
"""

# Below the toolkit's folder: NVIDIA's installers, Python wheels, Conda, Debian (where the folder is /usr).
_LIB_FOLDERS = ["lib64", "lib", "targets/x86_64-linux/lib", "lib/x86_64-linux-gnu"]
_INCLUDE_FOLDERS = ["include", "targets/x86_64-linux/include"]

# NCCL often is a package of the system.
_SYSTEM_LIB_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"]
_SYSTEM_INCLUDE_FOLDERS = ["/usr/include"]

_TOOLKIT = """# What repository.bzl of //third_party/cuda found.
FOUND = {found}
HAS_NCCL = {has_nccl}
VERSION = "{version}"
NVCC = "{nvcc}"
INCLUDE_DIR = "{include_dir}"
LIB_DIR = "{lib_dir}"
"""

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

exports_files(["status.txt"])

cc_library(
    name = "cudart",
    linkopts = {cudart},
)

cc_library(
    name = "cublas",
    linkopts = {cublas},
    deps = [":cublasLt"],
)

cc_library(
    name = "cublasLt",
    linkopts = {cublasLt},
    deps = [":cudart"],
)

cc_library(
    name = "nccl",
    linkopts = {nccl},
    deps = [":cudart"],
)
"""

_WRONG_CUDA_PATH = """not a usable CUDA toolkit: %s.
Looked for are bin/nvcc, include/cuda_runtime.h and, in lib64, libcudart_static.a, libcublas.so and libcublasLt.so.
Set CUDA_PATH to a toolkit's folder, unset it, or build without CUDA: --config=nocuda"""

def _first(repository_ctx, folders, name):
    """The first FOLDER/name that exists, as a string, or None."""
    for folder in folders:
        path = folder + "/" + name
        if repository_ctx.path(path).exists:
            return path
    return None

def _below(root, folders):
    return [root + "/" + folder for folder in folders]

def _parent(path):
    return path.rpartition("/")[0]

def _dynamic(path):
    """Linker options for a shared library that the program is to find where it was built."""
    return [path, "-Wl,-rpath," + _parent(path)]

def _version(repository_ctx, nvcc):
    result = repository_ctx.execute([nvcc, "--version"])
    if result.return_code != 0:
        return None

    # "Cuda compilation tools, release 13.0, V13.0.88"
    _, found, rest = result.stdout.partition(", V")
    return rest.partition("\n")[0].strip() if found else None

def _candidates(repository_ctx):
    """Folders in which a toolkit may be, with the way each came about."""
    chosen = repository_ctx.os.environ.get("CUDA_PATH", "")
    if chosen:
        if not chosen.startswith("/"):
            fail("CUDA_PATH=%s has to be an absolute path, such as /usr/local/cuda" % chosen)
        return [(chosen, "CUDA_PATH")]
    candidates = [("/usr/local/cuda", "the usual place")]
    nvcc = repository_ctx.which("nvcc")
    if nvcc:
        candidates.append((str(nvcc.realpath.dirname.dirname), "nvcc on PATH"))
    return candidates

def _look(repository_ctx, root):
    """What a folder holds: a struct, with the attribute `missing` naming the first thing that a build would lack."""
    nvcc = root + "/bin/nvcc"
    if not repository_ctx.path(nvcc).exists:
        return struct(missing = "bin/nvcc")
    include_folders = _below(root, _INCLUDE_FOLDERS)
    lib_folders = _below(root, _LIB_FOLDERS)
    runtime_header = _first(repository_ctx, include_folders, "cuda_runtime.h")
    if not runtime_header:
        return struct(missing = "include/cuda_runtime.h")
    static = _first(repository_ctx, lib_folders, "libcudart_static.a")
    shared = _first(repository_ctx, lib_folders, "libcudart.so")
    if not static and not shared:
        return struct(missing = "lib64/libcudart_static.a")
    libraries = {}
    for name in ["libcublas.so", "libcublasLt.so"]:
        libraries[name] = _first(repository_ctx, lib_folders, name)
        if not libraries[name]:
            return struct(missing = "lib64/" + name)
    version = _version(repository_ctx, nvcc)
    if not version:
        return struct(missing = "a bin/nvcc that runs")
    nccl = _first(repository_ctx, lib_folders + _SYSTEM_LIB_FOLDERS, "libnccl.so")
    if not _first(repository_ctx, include_folders + _SYSTEM_INCLUDE_FOLDERS, "nccl.h"):
        nccl = None
    return struct(
        missing = None,
        nvcc = nvcc,
        version = version,
        include_dir = _parent(runtime_header),
        lib_dir = _parent(static or shared),
        # The static runtime needs these three of the system.
        cudart = ([static] if static else _dynamic(shared)) + ["-ldl", "-lrt", "-lpthread"],
        cublas = _dynamic(libraries["libcublas.so"]),
        cublasLt = _dynamic(libraries["libcublasLt.so"]),
        nccl = _dynamic(nccl) if nccl else [],
    )

def _find(repository_ctx):
    """Returns the toolkit, or None, and a line about it."""
    if repository_ctx.os.environ.get("SHARDGRAD_CUDA", "") == "off":
        return None, "No CUDA toolkit: switched off by SHARDGRAD_CUDA=off"
    if not ("linux" in repository_ctx.os.name):
        return None, "No CUDA toolkit: looked for on Linux only"
    reasons = []
    for root, origin in _candidates(repository_ctx):
        path = repository_ctx.path(root)
        if path.exists:
            # Symbolic links are followed so that a program built against 13.0 does not run with what replaces it.
            root = str(path.realpath)
            toolkit = _look(repository_ctx, root)
            if not toolkit.missing:
                return toolkit, "CUDA toolkit %s in %s (%s), %s NCCL" % (
                    toolkit.version,
                    root,
                    origin,
                    "with" if toolkit.nccl else "without",
                )
            reason = "lacks " + toolkit.missing
        else:
            reason = "does not exist"
        reasons.append("%s (%s) %s" % (root, origin, reason))
        if origin == "CUDA_PATH":
            fail(_WRONG_CUDA_PATH % reasons[-1])
        if path.exists:
            # Somebody means there to be one: say why it is not used.
            # buildifier: disable=print
            print("not a usable CUDA toolkit: " + reasons[-1])
    return None, "No CUDA toolkit: " + "; ".join(reasons)

def _cuda_toolkit_impl(repository_ctx):
    toolkit, status = _find(repository_ctx)
    repository_ctx.file("status.txt", status + "\n", executable = False)
    repository_ctx.file("toolkit.bzl", _TOOLKIT.format(
        found = toolkit != None,
        has_nccl = bool(toolkit and toolkit.nccl),
        version = toolkit.version if toolkit else "",
        nvcc = toolkit.nvcc if toolkit else "",
        include_dir = toolkit.include_dir if toolkit else "",
        lib_dir = toolkit.lib_dir if toolkit else "",
    ), executable = False)
    repository_ctx.file("BUILD.bazel", _BUILD.format(
        cudart = repr(toolkit.cudart if toolkit else []),
        cublas = repr(toolkit.cublas if toolkit else []),
        cublasLt = repr(toolkit.cublasLt if toolkit else []),
        nccl = repr(toolkit.nccl if toolkit else []),
    ), executable = False)

_cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    configure = True,
    environ = ["CUDA_PATH", "PATH", "SHARDGRAD_CUDA"],
    local = True,  # looked at again by every new Bazel server: a toolkit may have been installed
)

def cuda_toolkit():
    """Declares @cuda_toolkit."""
    _cuda_toolkit(name = "cuda_toolkit")
