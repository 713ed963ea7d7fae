// Table lookup.
#pragma once

#include "autograd/variable.h"

namespace shardgrad {

/// The rows `ids` of a table: ids int32 [M], on any device, table [R, D] -> [M, D]. The table may
/// be a shard that starts at global row `first_row`; ids outside it give zero rows.
Variable embedding(const Tensor& ids, const Variable& table, std::int64_t first_row = 0);

}  // namespace shardgrad
