// Tensors of files as a table to read.
#pragma once

#include <string>

#include "checkpoint/tensor_files.h"

namespace shardgrad {

/// The name of each file, below it a line for each of its tensors: name, dtype, shape, bytes; and
/// the totals.
std::string tensor_table(const TensorFiles& files);

/// "1,234,567".
std::string with_commas(std::int64_t number);

}  // namespace shardgrad
