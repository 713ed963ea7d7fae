"""cuda_library(): the .cu files of a package, for NVIDIA's GPUs and for the CPU.

    load("//third_party/cuda:cuda.bzl", "cuda_library")

    cuda_library(
        name = "cuda",
        srcs = glob(["*.cu"]),
        textual_hdrs = glob(["*.cuh"]),
        deps = [":tensor"],
    )

makes two libraries of the same sources:
- cuda_nvcc, compiled by nvcc. Empty where there is no toolkit;
- cuda_simt, compiled by the C++ compiler against //simt, which stands in for CUDA's headers and executes the kernels
  on the CPU.

A program links the one or the other, never both. Nothing in the tree depends on either but //backend, and other
cuda_library targets through cuda_deps: host code declares what the .cu files define as [[gnu::weak]], so the linker is
told to take every object of them (alwayslink) and not only those that resolve a strong reference.
"""

load("@cuda_toolkit//:toolkit.bzl", "FOUND", "HAS_NCCL", "INCLUDE_DIR", "NVCC", "VERSION")
load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

# --- Flags on the command line ------------------------------------------------------------------------------------

_FlagInfo = provider("The value of a flag.", fields = ["value"])

def _flag_impl(ctx):
    return [_FlagInfo(value = ctx.build_setting_value)]

string_flag = rule(_flag_impl, build_setting = config.string(flag = True))
bool_flag = rule(_flag_impl, build_setting = config.bool(flag = True))

# --- Compiled by nvcc ---------------------------------------------------------------------------------------------

def _architecture_flags(value, label):
    """Machine code for every architecture in "80,90", and PTX of the newest for GPUs after it."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        digits = name.rstrip("af")  # 90a, 100f: code for that one architecture or its family
        if not digits.isdigit() or int(digits) < 50:
            fail("%s=%s: '%s' is not a GPU architecture such as 80 or 90" % (label, value, name))
    if not names:
        fail("%s is empty; name GPU architectures, as in 80,90" % label)
    flags = ["-gencode=arch=compute_{0},code=sm_{0}".format(name) for name in names]
    portable = [int(name) for name in names if name.isdigit()]
    if portable:
        flags.append("-gencode=arch=compute_{0},code=compute_{0}".format(max(portable)))
    return flags

def _host_options(ctx, werror):
    """How the host's half of a .cu file is compiled: as every other source of ours, --copt and --cxxopt included."""
    options = [
        option
        for option in ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts
        if not option.startswith("-std=")  # nvcc has to know this one itself
    ]
    options += ["-fPIC", "-Wall", "-Wextra"]
    if ctx.var["COMPILATION_MODE"] == "opt":
        options.append("-DNDEBUG")  # which the C++ toolchain adds for the others
    if werror:
        options.append("-Werror")

    # nvcc would take a comma for the end of the option.
    return [option.replace(",", "\\,") for option in options]

def _in_package(ctx, file):
    """The file's path below its package, which keeps a/x.cu and b/x.cu apart."""
    path = file.short_path
    prefix = ctx.label.package + "/"
    return path[len(prefix):] if path.startswith(prefix) else path

def _nvcc_library_impl(ctx):
    cc_toolchain = find_cc_toolchain(ctx)
    merged = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    context = merged.compilation_context
    headers = ctx.files.hdrs + ctx.files.textual_hdrs
    werror = ctx.attr._werror[_FlagInfo].value

    common = ctx.actions.args()
    common.add_all(["-c", "-x", "cu", "-std=c++17", "-O3", "-lineinfo", "--expt-relaxed-constexpr"])
    common.add("-ccbin", cc_toolchain.compiler_executable)
    common.add_all(_architecture_flags(ctx.attr._archs[_FlagInfo].value, ctx.attr._archs.label))
    if werror:
        common.add("-Werror=all-warnings")
    common.add_all(_host_options(ctx, werror), format_each = "-Xcompiler=%s")
    common.add_all(context.defines, format_each = "-D%s")
    common.add_all(ctx.attr.local_defines, format_each = "-D%s")

    # nvcc has no -iquote. The first of these is the root of the source tree.
    common.add_all(context.quote_includes, format_each = "-I%s")
    common.add_all(context.includes, format_each = "-I%s")
    common.add_all(context.system_includes, before_each = "-isystem")
    if INCLUDE_DIR != "/usr/include":  # which the compiler has to find in its own place
        # Known to nvcc, but as a folder whose headers may give rise to warnings.
        common.add("-isystem", INCLUDE_DIR)

    # Bazel does not see the toolkit's files, so that another version has to show in the action itself.
    env = dict(ctx.configuration.default_shell_env)
    env["CUDA_TOOLKIT_VERSION"] = VERSION

    objects = []
    for source in ctx.files.srcs:
        compiled = ctx.actions.declare_file("_objs/%s/%s.pic.o" % (ctx.label.name, _in_package(ctx, source)))
        files = ctx.actions.args()
        files.add(source)
        files.add("-o", compiled)
        ctx.actions.run(
            executable = NVCC,
            arguments = [common, files],
            inputs = depset([source] + headers, transitive = [context.headers, cc_toolchain.all_files]),
            outputs = [compiled],
            env = env,
            mnemonic = "NvccCompile",
            progress_message = "Compiling %s with nvcc" % source.short_path,
        )
        objects.append(compiled)

    linking_context, _ = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        feature_configuration = cc_common.configure_features(
            ctx = ctx,
            cc_toolchain = cc_toolchain,
            requested_features = ctx.features,
            unsupported_features = ctx.disabled_features,
        ),
        cc_toolchain = cc_toolchain,
        compilation_outputs = cc_common.create_compilation_outputs(pic_objects = depset(objects)),
        linking_contexts = [merged.linking_context],
        alwayslink = True,
        disallow_dynamic_library = True,
    )
    own_context = cc_common.create_compilation_context(headers = depset(headers))
    return [
        DefaultInfo(files = depset(objects)),
        CcInfo(
            compilation_context = cc_common.merge_cc_infos(
                cc_infos = [CcInfo(compilation_context = own_context), merged],
            ).compilation_context,
            linking_context = linking_context,
        ),
    ]

_nvcc_library = rule(
    implementation = _nvcc_library_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "hdrs": attr.label_list(allow_files = True),
        "local_defines": attr.string_list(),
        "srcs": attr.label_list(allow_files = [".cu"]),
        "textual_hdrs": attr.label_list(allow_files = True),
        "_archs": attr.label(default = "//third_party/cuda:archs"),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
        "_werror": attr.label(default = "//third_party/cuda:werror"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

# --- Compiled by the C++ compiler ---------------------------------------------------------------------------------

def _including_sources_impl(ctx):
    """cc_library takes no .cu, so each gets a .cc that includes it: messages still name the .cu and its lines."""
    outputs = []
    for source in ctx.files.srcs:
        output = ctx.actions.declare_file("%s/%s.cc" % (ctx.label.name, _in_package(ctx, source)))
        ctx.actions.write(output, '#include "%s"\n' % source.path)
        outputs.append(output)
    return [DefaultInfo(files = depset(outputs))]

_including_sources = rule(
    implementation = _including_sources_impl,
    attrs = {"srcs": attr.label_list(allow_files = [".cu"])},
)

# Also of a .cc file with kernels of its own: of tests.
SIMT_COPTS = [
    # GPU code reads sixteen bytes of whatever type at once.
    "-fno-strict-aliasing",
    # #pragma unroll
    "-Wno-unknown-pragmas",
] + select({
    "//third_party/cuda:clang": [],
    # __shared__ is thread_local here; its address must not go through a wrapper function.
    "//conditions:default": ["-fno-extern-tls-init"],
})

# --- The macro ----------------------------------------------------------------------------------------------------

def variants(libraries, suffix):
    """The labels of one variant, "nvcc" or "simt", of cuda_library targets."""
    for library in libraries:
        if ":" not in library:
            fail("write the cuda_library target %s as %s:NAME" % (library, library))
    return [library + "_" + suffix for library in libraries]

# The toolkit's libraries beside the runtime, and whether it has them.
_TOOLKIT_LIBRARIES = {
    "cublas": FOUND,
    "cublasLt": FOUND,
    "nccl": HAS_NCCL,
}

def cuda_library(
        name,
        srcs,
        hdrs = [],
        textual_hdrs = [],
        deps = [],
        cuda_deps = [],
        toolkit_libraries = [],
        local_defines = [],
        **kwargs):
    """A library of .cu files: NAME_nvcc and NAME_simt.

    Args:
      name: what both names begin with; there is no target of this very name.
      srcs: the .cu files.
      hdrs: their headers that host code may include too.
      textual_hdrs: their headers that only .cu files can include (.cuh).
      deps: libraries for the host: cc_library targets.
      cuda_deps: other cuda_library targets, as "//package:name" or ":name".
      toolkit_libraries: what they need of the toolkit beside its runtime: "cublas", "cublasLt", "nccl". NAME_nvcc is
        also empty where the toolkit comes without one of them.
      local_defines: preprocessor macros for these sources only.
      **kwargs: of both libraries: visibility, testonly, tags.
    """
    for library in toolkit_libraries:
        if library not in _TOOLKIT_LIBRARIES:
            fail("%s: toolkit_libraries can be %s, not '%s'" % (name, ", ".join(_TOOLKIT_LIBRARIES.keys()), library))

    if FOUND and all([_TOOLKIT_LIBRARIES[library] for library in toolkit_libraries]):
        _nvcc_library(
            name = name + "_nvcc",
            srcs = srcs,
            hdrs = hdrs,
            textual_hdrs = textual_hdrs,
            local_defines = local_defines,
            deps = deps + variants(cuda_deps, "nvcc") + [
                "@cuda_toolkit//:" + library
                for library in toolkit_libraries + ["cudart"]
            ],
            **kwargs
        )
    else:
        cc_library(
            name = name + "_nvcc",
            **kwargs
        )

    sources = name + "_simt_sources"
    _including_sources(
        name = sources,
        srcs = srcs,
        testonly = kwargs.get("testonly", False),
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name + "_simt",
        srcs = [":" + sources],
        hdrs = hdrs,
        textual_hdrs = srcs + textual_hdrs,
        copts = SIMT_COPTS,
        local_defines = local_defines,
        deps = ["//simt"] + deps + variants(cuda_deps, "simt"),
        alwayslink = True,
        **kwargs
    )
