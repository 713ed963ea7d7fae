// Trains the same small GPT in several layouts and prints how far they are from one rank:
// `bazel run //tools:parity`.
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "parallel/launch.h"
#include "tools/device_options.h"
#include "tools/layout_options.h"
#include "tools/parity_table.h"
#include "tools/program.h"

namespace shardgrad {
namespace {

struct ParityOptions {
  std::vector<std::string> layouts;
  std::string preset = "nano";
  DeviceOptions device;
  ParityTask task;
  std::optional<std::int64_t> n_layers;
  int threads = 0;
};

bool parse(int argc, const char* const* argv, ParityOptions& options) {
  CLI::App app(
      "Trains a small GPT for some steps in several layouts of ranks, on the same random tokens, "
      "and\n"
      "prints how far each is from one rank: the loss, the gradients, the parameters; what its "
      "ranks\n"
      "communicate beside what theory says; and the memory that each takes.\n"
      "Example: --layout=\"tp=2 dp=2 zero=1\" --layout=\"tp=4 sequence-parallel recompute=block\"",
      "parity");
  options.device.dtype = "fp64";
  options.task.batch = {8, 32, 2};
  const auto integer = [&](const char* name, auto& value, const char* text) {
    app.add_option(name, value, text)->check(at_least(1))->capture_default_str();
  };
  app.add_option("--layout", options.layouts,
                 "A layout, as the training program's options without their dashes; may be given "
                 "several times (default: those of up to 4 ranks, or of the cores if more)");
  app.add_option("--preset", options.preset,
                 "Shape of the model: " + CLI::detail::join(gpt_preset_names(), ", "))
      ->check(CLI::IsMember(gpt_preset_names()))
      ->capture_default_str();
  integer("--n-layers", options.n_layers, "Transformer blocks (default: 2)");
  integer("--steps", options.task.steps, "Optimizer steps");
  integer("--batch-size", options.task.batch.sequences, "Sequences per step");
  integer("--seq-len", options.task.batch.tokens, "Tokens of a sequence");
  integer("--grad-accum", options.task.batch.micro_batches,
          "Micro-batches of a step; the reference takes the batch in one");
  app.add_option("--threads", options.threads, "Threads per rank; 0: an equal share of the cores")
      ->check(at_least(0, kMostThreads))
      ->capture_default_str();
  add_device_options(app, options.device, "Device");
  if (!parse_command_line(app, argc, argv)) return false;
  options.task.model = gpt_preset(options.preset);
  options.task.model.dropout = 0.1;
  options.task.model.n_layers = options.n_layers.value_or(2);
  options.task.model.max_position_embeddings =
      std::max(options.task.model.max_position_embeddings, options.task.batch.tokens);
  options.task.dtype = dtype_of(options.device);
  return true;
}

// "tp=2 sequence-parallel" -> {tensor_parallel 2, sequence_parallel}.
TrainingLayout layout_of(const std::string& text) {
  CLI::App app("A layout", "layout");
  TrainingLayout layout;
  add_layout_options(app, layout, "");
  app.set_help_flag();
  std::vector<std::string> words;
  for (const std::string& word : CLI::detail::split_up(text)) {
    words.insert(words.begin(), (word.rfind("--", 0) == 0 ? "" : "--") + word);
  }
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    fail("parity", "--layout=\"{}\": {}; write it as \"tp=2 dp=2 sequence-parallel zero=1\"", text,
         error.what());
  }
  return layout;
}

// Every kind of layout that `ranks` ranks can have, apart from combinations of all with all.
std::vector<TrainingLayout> layouts_of(const ParityTask& task, int ranks) {
  std::vector<TrainingLayout> layouts;
  const auto add = [&](TrainingLayout layout) {
    try {
      layout.validate(task.model, task.batch.sequences, task.batch.tokens,
                      task.batch.micro_batches);
    } catch (const Error&) {
      return;  // this model and batch do not divide like that
    }
    layouts.push_back(layout);
  };
  for (int tp = 1; tp <= ranks; tp *= 2) {
    if (ranks % tp != 0) continue;
    TrainingLayout layout;
    layout.tensor_parallel = tp;
    layout.data_parallel = ranks / tp;
    if (ranks > 1) add(layout);
    if (tp > 1) {
      layout.sequence_parallel = true;
      add(layout);
    }
    if (layout.data_parallel > 1) {
      layout.zero_stage = 1;
      add(layout);
    }
    layout.recompute = Recompute::Block;
    add(layout);
  }
  return layouts;
}

std::vector<TrainingLayout> chosen_layouts(const ParityOptions& options,
                                           const Processes& processes) {
  std::vector<TrainingLayout> layouts;
  for (const std::string& text : options.layouts) {
    TrainingLayout layout = layout_of(text);
    complete_layout(layout, processes.world_size(wanted_world_size(layout)));
    layout.validate(options.task.model, options.task.batch.sequences, options.task.batch.tokens,
                    options.task.batch.micro_batches);
    layouts.push_back(layout);
  }
  if (!layouts.empty()) return layouts;
  if (processes.place().launched_by_mpi) {
    return layouts_of(options.task, processes.place().world_size);
  }
  for (int ranks = 1; ranks <= std::max(4, available_cores()) && ranks <= 8; ranks *= 2) {
    for (const TrainingLayout& layout : layouts_of(options.task, ranks)) layouts.push_back(layout);
  }
  return layouts;
}

void compare_layouts(const ParityOptions& options, Processes& processes) {
  const ParityTask& task = options.task;
  const std::vector<TrainingLayout> layouts = chosen_layouts(options, processes);
  require(!layouts.empty(), "parity",
          "no layout of {} ranks fits the model and the batch; choose another --batch-size",
          processes.place().world_size);
  // mpirun gives its processes a terminal, whatever its own output is.
  const bool colored = !processes.place().launched_by_mpi && isatty(STDOUT_FILENO) != 0;
  const DifferenceTable table(task, layouts, colored);
  ParityRow reference;
  if (processes.leads()) {
    const GPTConfig& model = task.model;
    fmt::print(
        "{}: {} layers, d_model {}, {} heads, vocabulary {}, dropout {}; {}\n"
        "{} steps of {} sequences of up to {} tokens, in {} micro-batch{}\n\n",
        options.preset, model.n_layers, model.d_model, model.n_heads, model.vocab_size,
        model.dropout, name_of(task.dtype), task.steps, task.batch.sequences, task.batch.tokens,
        task.batch.micro_batches, task.batch.micro_batches == 1 ? "" : "es");
    table.print_head();
    const std::vector<Device> devices{devices_of_ranks(options.device, 1, processes)};
    ParityTask whole = task;
    whole.batch.micro_batches = 1;
    run_ranks({devices, options.threads}, [&](Communicator& world) {
      reference.run = train_for_parity(whole, reference.layout, world, devices.front(), 1);
    });
    table.print_reference(reference);
  }
  std::vector<ParityRow> rows;
  std::size_t differing = 0;
  for (const TrainingLayout& layout : layouts) {
    const std::vector<Device> devices =
        devices_of_ranks(options.device, layout.world_size(), processes);
    ParityRow row;
    row.layout = layout;
    processes.run_ranks({devices, options.threads}, [&](Communicator& world) {
      ParityRun run = train_for_parity(task, layout, world, devices[world.rank()],
                                       ranks_sharing_memory(devices, processes));
      if (world.rank() == 0) row.run = std::move(run);
    });
    if (!processes.leads()) continue;
    row.difference = difference(row.run, reference.run);
    row.equal = is_rounding(row.difference, task.dtype);
    differing += row.equal ? 0 : 1;
    table.print(row);
    row.run.gradients.clear();
    row.run.parameters.clear();
    rows.push_back(std::move(row));
  }
  if (!processes.leads()) return;
  table.print_legend();
  print_traffic(task, rows);
  require(differing == 0, "parity", "{} of {} layouts differ from one rank", differing,
          layouts.size());
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  return shardgrad::run_program("parity", [&](shardgrad::Processes& processes) {
    shardgrad::ParityOptions options;
    if (shardgrad::parse(argc, argv, options)) shardgrad::compare_layouts(options, processes);
  });
}
