"""The repositories of WORKSPACE for MODULE.bazel. A file of its own because Bazel 4 does not know module_extension."""

load("//third_party/cuda:repository.bzl", "cuda_toolkit")
load(":system_libraries.bzl", "system_libraries")

def _system_libraries_impl(_module_ctx):
    system_libraries()
    cuda_toolkit()

system_libraries_extension = module_extension(implementation = _system_libraries_impl)
