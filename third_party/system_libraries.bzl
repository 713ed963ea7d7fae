"""How the libraries that the system's package manager installed enter the build.

Each becomes a repository that holds links to that library's own headers (never all of /usr/include, so that an
undeclared dependency does not compile by accident) and a BUILD file from this folder.
"""

def _system_library_impl(repository_ctx):
    # Debian's folder for what differs between kinds of processors.
    multiarch = repository_ctx.execute(["uname", "-m"]).stdout.strip() + "-linux-gnu"
    for system_path, link in repository_ctx.attr.links.items():
        system_path = system_path.replace("MULTIARCH", multiarch)
        if not repository_ctx.path(system_path).exists:
            fail("%s is missing: install the Debian package %s (./bazelw does it for you)" %
                 (system_path, repository_ctx.attr.debian_package))
        repository_ctx.symlink(system_path, link)
    repository_ctx.symlink(repository_ctx.attr.build_file, "BUILD.bazel")

_system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "build_file": attr.label(mandatory = True),
        "debian_package": attr.string(mandatory = True),
        "links": attr.string_dict(
            mandatory = True,
            doc = "path on this system, MULTIARCH being x86_64-linux-gnu or the like -> path in the repository",
        ),
    },
    local = True,  # looked at again by every new Bazel server: packages come and go
)

def system_libraries():
    """Declares every library of the system that shardgrad uses."""
    _system_library(
        name = "cli11",
        build_file = "//third_party:cli11.BUILD",
        debian_package = "libcli11-dev",
        links = {"/usr/include/CLI": "include/CLI"},
    )
    _system_library(
        name = "eigen",
        build_file = "//third_party:eigen.BUILD",
        debian_package = "libeigen3-dev",
        links = {"/usr/include/eigen3/Eigen": "Eigen"},
    )
    _system_library(
        name = "fmt",
        build_file = "//third_party:fmt.BUILD",
        debian_package = "libfmt-dev",
        links = {"/usr/include/fmt": "include/fmt"},
    )

    # Debian ships GoogleTest's sources as well; built here, it gets the same compiler flags as the tests.
    _system_library(
        name = "googletest",
        build_file = "//third_party:googletest.BUILD",
        debian_package = "libgtest-dev",
        links = {
            "/usr/src/googletest/googlemock/include": "googlemock/include",
            "/usr/src/googletest/googlemock/src": "googlemock/src",
            "/usr/src/googletest/googletest/include": "googletest/include",
            "/usr/src/googletest/googletest/src": "googletest/src",
        },
    )

    # The MPI that Debian's alternatives have chosen: Open MPI unless somebody has installed another one, too.
    _system_library(
        name = "mpi",
        build_file = "//third_party:mpi.BUILD",
        debian_package = "libopenmpi-dev",
        links = {"/usr/include/MULTIARCH/mpi": "include"},
    )
    _system_library(
        name = "nlohmann_json",
        build_file = "//third_party:nlohmann_json.BUILD",
        debian_package = "nlohmann-json3-dev",
        links = {"/usr/include/nlohmann": "include/nlohmann"},
    )
    _system_library(
        name = "onednn",
        build_file = "//third_party:onednn.BUILD",
        debian_package = "libdnnl-dev",
        links = {"/usr/include/oneapi/dnnl": "include/oneapi/dnnl"},
    )
    _system_library(
        name = "pcre2",
        build_file = "//third_party:pcre2.BUILD",
        debian_package = "libpcre2-dev",
        links = {"/usr/include/pcre2.h": "include/pcre2.h"},
    )
    _system_library(
        name = "protozero",
        build_file = "//third_party:protozero.BUILD",
        debian_package = "libprotozero-dev",
        links = {"/usr/include/protozero": "include/protozero"},
    )
    _system_library(
        name = "tomlplusplus",
        build_file = "//third_party:tomlplusplus.BUILD",
        debian_package = "libtomlplusplus-dev",
        links = {"/usr/include/toml++": "include/toml++"},
    )
