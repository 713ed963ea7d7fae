"""A file cannot give a name of Bazel's own to others under that name, so they pass through these."""

native_cc_common = cc_common
native_cc_info = CcInfo
