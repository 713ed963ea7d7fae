#include "tools/run_header.h"

#include "parallel/launch.h"
#include "tools/gemm_rate.h"
#include "tools/program.h"
#include "tools/size_text.h"

namespace shardgrad {
namespace {

// A line of the header under `name`, or of the table that goes on below it.
std::string row(const char* name, const char* kind, std::int64_t bytes, const char* remark) {
  return fmt::format("{:<9}{:<12} {:>8}{}", name, kind, size_text(static_cast<double>(bytes)),
                     remark);
}

}  // namespace

std::string memory_table(const TrainingMemory& memory) {
  constexpr const char* kEstimated = "  estimated";
  return row("memory", "weights", memory.weights, "  of each rank") + "\n" +
         row("", "gradients", memory.gradients, "") + "\n" +
         row("", "optimizer", memory.optimizer, "") + "\n" +
         row("", "activations", memory.activations, kEstimated) + "\n" +
         row("", "workspace", memory.workspace, kEstimated) + "\n" +
         row("", "together", memory.total(), "");
}

void print_header(const TrainOptions& options, const RunFacts& facts, RunLog& log) {
  const GPTConfig& model = options.model;
  const int cores = available_cores();
  const std::string reason =
      facts.devices.front().type == DeviceType::Cpu && options.device.device == "auto"
          ? fmt::format(" ({})", why_no_cuda())
          : "";
  log.say(fmt::format(
      "model    {}: n_layers {}, n_heads {}, d_model {}, d_ff {}, dropout {}; {} parameters",
      options.preset, model.n_layers, model.n_heads, model.d_model, model.d_ff, model.dropout,
      grouped(facts.parameters)));
  log.say(fmt::format("layout   {}, {} thread{} per rank, {} cores; {}{}, {}{}",
                      options.layout.to_string(), facts.threads, facts.threads == 1 ? "" : "s",
                      cores, describe(facts.devices), reason, name_of(dtype_of(options.device)),
                      options.device.tf32 ? " with TF32 products" : ""));
  log.say("data     " + facts.data);
  log.say(fmt::format("steps    {} of {} x {} = {} tokens, in {} micro-batch{}", options.steps,
                      options.batch_size, options.seq_len,
                      grouped(options.batch_size * options.seq_len), options.grad_accum,
                      options.grad_accum == 1 ? "" : "es"));
  log.say(memory_table(facts.memory));
  if (facts.gemm) {
    log.say(fmt::format(
        "speed    {:.0f} GFLOP/s in products of {} x {} matrices, a step has {:.3g} GFLOP of them",
        facts.gemm->flops_per_second / 1e9, facts.gemm->size, facts.gemm->size,
        step_flops(model, options.batch_size, options.seq_len) / 1e9));
  }
  const CheckpointOptions& checkpoints = options.checkpoints;
  if (!checkpoints.resume.empty()) {
    log.say(
        fmt::format("resume   {}, after step {}", checkpoints.resume, checkpoints.resumed_step));
  } else if (!checkpoints.init.empty()) {
    log.say("weights  " + checkpoints.init);
  }
  log.say("writing  " + options.out + "/\n");
}

}  // namespace shardgrad
