// Sizes of memory to read.
#pragma once

#include <string>

namespace shardgrad {

/// Three digits of `bytes`, in decimal units: "12 B", "283 kB", "4.56 MB", "80.0 GB".
std::string size_text(double bytes);

}  // namespace shardgrad
