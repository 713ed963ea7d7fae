"""The C++ toolchain of a rule that has the attribute _cc_toolchain."""

def find_cc_toolchain(ctx):
    return ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
