// Continues texts with a trained GPT: `bazel run //tools:generate -- --model=FOLDER --prompt=TEXT`.
#include "tools/program.h"
#include "tools/text_generation.h"

int main(int argc, char** argv) {
  return shardgrad::run_program("generate", [&](shardgrad::Processes& processes) {
    shardgrad::GenerateOptions options;
    if (shardgrad::parse_generate_options(argc, argv, options)) {
      shardgrad::run_generation(options, processes);
    }
  });
}
