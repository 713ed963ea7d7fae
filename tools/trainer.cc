#include "tools/trainer.h"

#include <cmath>
#include <optional>

#include "data/batch_sampler.h"
#include "data/byte_tokenizer.h"
#include "data/text.h"
#include "model/gpt_model.h"
#include "parallel/launch.h"
#include "parallel/sharded_parameters.h"
#include "tensor/matmul_precision.h"
#include "tools/program.h"
#include "tools/run_log.h"
#include "tools/sample.h"

namespace shardgrad {
namespace {

constexpr double kHeldOutFraction = 0.1;
constexpr std::int64_t kPromptBytes = 32;

// One rank's part of a run.
class Trainer {
 public:
  // `log` on rank 0 only.
  Trainer(const TrainOptions& options, const DatasetSplit& data, Communicator& world, Device device,
          RunLog* log)
      : options_(options),
        world_(world),
        log_(log),
        training_(data.training, options.seq_len, options.seed),
        held_out_(data.held_out, options.seq_len, options.seed),
        model_(options.model, world, {dtype_of(options.device), device}),
        parameters_(model_.named_parameters()),
        optimizer_(parameters_, options.adamw) {
    initialize_parameters(model_, options.seed);
  }

  void run() {
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      const auto start = std::chrono::steady_clock::now();
      StepMetrics metrics = train_step(step);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      metrics.tokens_per_second = options_.batch_size * options_.seq_len / seconds.count();
      if ((step + 1) % options_.eval_interval == 0 || step + 1 == options_.steps) {
        metrics.validation_loss = validation_loss();
      }
      if (log_ != nullptr) log_->write(metrics);
    }
  }

  // A sample that continues the beginning of the held-out text.
  std::string sample(const TokenDataset& held_out) const {
    const TokenDataset start = held_out.slice(0, std::min(kPromptBytes, held_out.size()));
    const std::vector<std::uint16_t> prompt(start.data(), start.data() + start.size());
    return sample_text(model_, ByteTokenizer().decode(prompt), options_.sample_tokens,
                       options_.seq_len, 0.8, options_.seed);
  }

  std::int64_t parameter_count() const { return global_parameter_count(model_); }

 private:
  StepMetrics train_step(std::int64_t step) {
    parameters_.clear_gradients();
    const std::int64_t sequences = options_.batch_size / options_.grad_accum;
    const double tokens = static_cast<double>(options_.batch_size * options_.seq_len);
    StepMetrics metrics;
    metrics.step = step + 1;
    std::vector<Tensor> losses;
    for (std::int64_t first = 0; first < options_.batch_size; first += sequences) {
      const Batch batch = training_.training_batch(step, first, sequences);
      ForwardContext context;
      context.training = true;
      context.seed = options_.seed;
      context.step = step;
      context.first_sequence = first;
      const Variable loss = model_.loss(batch.input_ids, batch.targets, context, tokens);
      losses.push_back(loss.value());
      backward(loss);
    }
    const Tensor norm = gradient_norm(parameters_, world_);
    metrics.learning_rate = options_.schedule.at(step);
    optimizer_.step(metrics.learning_rate, norm);
    // The first wait for the device: everything above was only queued.
    for (const Tensor& loss : losses) metrics.loss += loss.item();
    metrics.gradient_norm = norm.item();
    require(std::isfinite(metrics.loss) && std::isfinite(metrics.gradient_norm), "train",
            "at step {} the loss is {} and the gradient norm {}: the run has diverged; lower --lr "
            "({}) or {} --grad-clip ({})",
            step + 1, std::abs(metrics.loss), std::abs(metrics.gradient_norm),
            options_.schedule.peak, options_.adamw.max_gradient_norm > 0.0 ? "lower" : "set",
            options_.adamw.max_gradient_norm);
    return metrics;
  }

  double validation_loss() const {
    NoGradGuard no_grad;
    double total = 0.0;
    for (std::int64_t i = 0; i < options_.eval_steps; ++i) {
      const Batch batch = held_out_.evaluation_batch(i * options_.batch_size, options_.batch_size,
                                                     options_.eval_steps * options_.batch_size);
      total += model_.loss(batch.input_ids, batch.targets, {}).value().item();
    }
    return total / static_cast<double>(options_.eval_steps);
  }

  const TrainOptions& options_;
  Communicator& world_;
  RunLog* log_;
  BatchSampler training_;
  BatchSampler held_out_;
  GPTModel model_;
  FlatParameters parameters_;
  AdamW optimizer_;
};

// The text that the options name, as tokens. @throws Error when it is missing or too short.
DatasetSplit load_data(const TrainOptions& options) {
  const std::string path = options.data.empty() ? eigen_corpus_path() : options.data;
  const TokenDataset all(ByteTokenizer().encode(read_text(path)));
  DatasetSplit split = all.split(kHeldOutFraction);
  const std::int64_t least = 10 * (options.seq_len + 1);
  require(all.size() >= least, "train",
          "{} has {} bytes, too few for --seq-len {}; give at least {}, or lower --seq-len", path,
          all.size(), options.seq_len, least);
  return split;
}

// "812,345".
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

void print_header(const TrainOptions& options, const std::vector<Device>& devices,
                  const DatasetSplit& data, std::int64_t parameters, int threads, RunLog& log) {
  const GPTConfig& model = options.model;
  const int cores = available_cores();
  const std::string reason =
      devices.front().type == DeviceType::Cpu && options.device.device == "auto"
          ? fmt::format(" ({})", why_no_cuda())
          : "";
  log.say(fmt::format(
      "model    {}: n_layers {}, n_heads {}, d_model {}, d_ff {}, dropout {}; {} parameters",
      options.preset, model.n_layers, model.n_heads, model.d_model, model.d_ff, model.dropout,
      grouped(parameters)));
  log.say(fmt::format("layout   tp={}, {} thread{} per rank, {} cores; {}{}, {}{}",
                      options.tensor_parallel, threads, threads == 1 ? "" : "s", cores,
                      describe(devices), reason, name_of(dtype_of(options.device)),
                      options.device.tf32 ? " with TF32 products" : ""));
  log.say(fmt::format("data     {}: {} bytes to learn from, {} held out",
                      options.data.empty() ? "the C++ source of Eigen" : options.data,
                      grouped(data.training.size()), grouped(data.held_out.size())));
  log.say(fmt::format("steps    {} of {} x {} = {} tokens, in {} micro-batch{}", options.steps,
                      options.batch_size, options.seq_len,
                      grouped(options.batch_size * options.seq_len), options.grad_accum,
                      options.grad_accum == 1 ? "" : "es"));
  log.say("writing  " + options.out + "/{config.json,metrics.jsonl}\n");
}

}  // namespace

void run_training(const TrainOptions& options, Processes& processes) {
  const int world_size = processes.world_size(options.tensor_parallel);
  require(world_size == options.tensor_parallel, "train",
          "{} processes do not make --tp={}; start as many as tensor-parallel ranks", world_size,
          options.tensor_parallel);
  const std::vector<Device> devices = devices_of_ranks(options.device, world_size, processes);
  const DatasetSplit data = load_data(options);
  std::optional<RunLog> log;  // of the rank that leads
  if (processes.leads()) {
    log.emplace(options, describe(devices), !processes.place().launched_by_mpi);
  }
  processes.run_ranks({devices, options.threads}, [&](Communicator& world) {
    RunLog* const own_log = world.rank() == 0 ? &*log : nullptr;
    set_allow_tf32(options.device.tf32);
    Trainer trainer(options, data, world, devices[world.rank()], own_log);
    if (own_log != nullptr) {
      print_header(options, devices, data, trainer.parameter_count(),
                   processes.threads_per_rank(world_size, options.threads), *own_log);
    }
    trainer.run();
    if (options.sample_tokens == 0) return;
    const std::string sample = trainer.sample(data.held_out);
    if (own_log != nullptr) {
      own_log->say("\nA sample, continuing the first bytes of the held-out text:\n" +
                   printable(sample));
    }
  });
  if (log) log->say("\nwrote " + options.out + "/config.json and metrics.jsonl");
}

}  // namespace shardgrad
