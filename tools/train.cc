// Trains a GPT: `bazel run //tools:train -- --tp=2`, or `mpirun -n 2 bazel-bin/tools/train --tp=2`.
#include "tools/program.h"
#include "tools/trainer.h"

int main(int argc, char** argv) {
  return shardgrad::run_program("train", [&](shardgrad::Processes& processes) {
    shardgrad::TrainOptions options;
    if (shardgrad::parse_train_options(argc, argv, options)) {
      shardgrad::run_training(options, processes);
    }
  });
}
