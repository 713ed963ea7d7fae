// What the handles of cuBLASLt point to.
#pragma once

#include <cstdint>

#include "cublasLt.h"
#include "simt/src/matmul.h"

struct cublasLtContext {
  int device = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  simt::MatrixLayout layout;
};
struct cublasLtMatmulDescOpaque_t {
  simt::MatmulDescription description;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};
