// The command line of the generation program.
#pragma once

#include <string>

#include "model/sampling.h"
#include "tools/device_options.h"

namespace shardgrad {

/// What to continue, how, and where to compute it.
struct GenerateOptions {
  GenerateOptions() { sampling.temperature = 0.8; }

  std::string model;        ///< folder of a checkpoint, of a run, or of a GPT-2 of Hugging Face's
  std::string prompt;       ///< the text to continue, unless one of the next two is given
  std::string prompt_file;  ///< the file that has it; "-": stdin
  bool interactive = false;
  std::string tokenizer;  ///< see load_tokenizer(); empty: beside the model, or bytes

  std::int64_t max_new_tokens = 200;
  std::int64_t num_samples = 1;
  SamplingOptions sampling;
  std::uint64_t seed = 1234;  ///< of the first sample; the next has the next

  int tp = 0;       ///< 0: under mpirun its ranks, else 1
  int threads = 0;  ///< per rank; 0: an equal share of the cores
  DeviceOptions device;
};

/// Reads and validates the command line. Returns false when it asked for --help.
/// @throws Error that says what is wrong and what would be right.
bool parse_generate_options(int argc, const char* const* argv, GenerateOptions& options);

}  // namespace shardgrad
