"""cc_common, which Bazel 9 no longer has built in."""

load(":native.bzl", "native_cc_common")

cc_common = native_cc_common
