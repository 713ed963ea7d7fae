"""CcInfo, which Bazel 9 no longer has built in."""

load(":native.bzl", "native_cc_info")

CcInfo = native_cc_info
