// A model's folder out of another one.
#pragma once

#include <cstdint>
#include <string>

namespace shardgrad {

struct ConvertOptions {
  std::string out;                  ///< a folder that does not exist
  std::string dtype;                ///< F32, F16, BF16 or F64; empty: of each tensor its own
  std::int64_t max_file_bytes = 0;  ///< of tensors in a file; 0: one file
};

/// Writes the GPT-2 in the folder `input` into the new folder options.out: tensors as the options
/// say, config.json with the dtype, and the files of a tokenizer as they are. One tensor at a time
/// is in memory. The folder gets its name when all of it is on the disk. Returns a line that says
/// what was written. @throws Error as Gpt2Folder does, and when something cannot be written.
std::string convert_model(const std::string& input, const ConvertOptions& options);

}  // namespace shardgrad
