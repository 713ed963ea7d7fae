// The arithmetic of collectives.
#pragma once

#include <vector>

#include "nccl.h"

namespace simt {

/// 0 for a type that is not modelled.
size_t element_bytes(ncclDataType_t type);

/// Combines the inputs, in their order and rounding once, into every output. An output may be one
/// of the inputs, not overlap it otherwise.
void reduce_elements(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
                     size_t count, ncclDataType_t type, ncclRedOp_t op);

}  // namespace simt
