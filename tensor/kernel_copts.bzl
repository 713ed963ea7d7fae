"""How loops over numbers are compiled."""

# Where GCC knows the processor as one of Intel's, it halves AVX-512's vectors, as suited the first that had them.
KERNEL_COPTS = select({
    "//tensor:x86_64": ["-mprefer-vector-width=512"],
    "//conditions:default": [],
})
