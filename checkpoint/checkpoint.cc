#include "checkpoint/checkpoint.h"

#include <filesystem>

#include "checkpoint/checkpoint_folder.h"
#include "checkpoint/file.h"
#include "checkpoint/folder.h"
#include "checkpoint/saved_tensors.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

DType dtype_of(GPTTraining& training) { return training.parameters().values().dtype(); }

// A file whose header is written, and room for the rest.
void start_file(const std::string& path, const SafetensorsLayout& layout) {
  OutputFile file = OutputFile::create(path, layout.file_bytes());
  const std::string header = layout.header();
  file.write_at(0, header.data(), static_cast<std::int64_t>(header.size()));
  file.sync();
}

// The folder with everything but the tensors' bytes.
void start_folder(GPTTraining& training, const TrainerState& state, const std::string& folder,
                  const SafetensorsLayout& parameters, const SafetensorsLayout& optimizer,
                  const CompanionFiles& companions) {
  const std::string path = checkpoint_path(folder, state.step);
  require(!std::filesystem::exists(path), kName, "{} exists", path);
  make_folder(folder);
  remove_leftovers(folder);
  const std::string partial = partial_path(folder, state.step);
  make_folder(partial);
  start_file(partial + "/model.safetensors", parameters);
  start_file(partial + "/optimizer.safetensors", optimizer);
  write_file(partial + "/config.json",
             gpt2_config_json(training.model().config(), dtype_of(training)).dump(2) + "\n");
  write_file(partial + "/trainer_state.json", to_json_text(state));
  write_companion_files(companions, partial);
}

}  // namespace

std::string save_checkpoint(GPTTraining& training, TrainerState state, const std::string& folder,
                            std::int64_t keep, const CompanionFiles& companions) {
  Communicator& world = training.mesh().world();
  const bool leads = world.rank() == 0;
  state.adam_steps = training.optimizer().steps();
  state.dtype = name_of(dtype_of(training));
  const SafetensorsLayout parameters = parameter_layout(training);
  const SafetensorsLayout optimizer = optimizer_layout(training);
  const std::string partial = partial_path(folder, state.step);
  const std::string path = checkpoint_path(folder, state.step);
  try {
    if (leads) start_folder(training, state, folder, parameters, optimizer, companions);
    world.barrier();
    {
      OutputFile file = OutputFile::open(partial + "/model.safetensors");
      write_parameters(training, parameters, file);
      file.sync();
    }
    {
      OutputFile file = OutputFile::open(partial + "/optimizer.safetensors");
      write_optimizer(training, optimizer, file);
      file.sync();
    }
    world.barrier();
    if (leads) publish_folder(partial, path);
    world.barrier();
  } catch (...) {
    std::error_code ignored;
    if (leads) std::filesystem::remove_all(partial, ignored);
    throw;
  }
  if (leads) keep_newest(folder, keep);
  return path;
}

TrainerState check_checkpoint(const std::string& folder, const GPTConfig& config, DType dtype) {
  const TrainerState state = read_trainer_state(folder);
  require(state.dtype == name_of(dtype), kName,
          "{} is of a {} model, but this one is {}; choose the same --dtype, or take the weights "
          "alone with --init",
          folder, state.dtype, name_of(dtype));
  require_same_model(config, Gpt2Folder(folder));
  const TensorFiles optimizer(folder + "/optimizer.safetensors");
  return state;
}

void require_same_model(const GPTConfig& config, const Gpt2Folder& folder) {
  const GPTConfig& stored = folder.config();
  const std::string& path = folder.files().path();
  const auto same = [&](const char* field, auto a, auto b) {
    require(a == b, kName, "the model has {} {}, but that of {} has {}", field, a, path, b);
  };
  same("vocab_size", config.vocab_size, stored.vocab_size);
  same("max_position_embeddings", config.max_position_embeddings, stored.max_position_embeddings);
  same("n_layers", config.n_layers, stored.n_layers);
  same("n_heads", config.n_heads, stored.n_heads);
  same("d_model", config.d_model, stored.d_model);
  same("d_ff", config.d_ff, stored.d_ff);
  same("layer_norm_epsilon", config.layer_norm_epsilon, stored.layer_norm_epsilon);
  same("tie_embeddings", config.tie_embeddings, stored.tie_embeddings);
  require(config.gelu == stored.gelu, kName, "the model and that of {} have different GELUs", path);
}

TrainerState load_checkpoint(GPTTraining& training, const std::string& folder) {
  const TrainerState state =
      check_checkpoint(folder, training.model().config(), dtype_of(training));
  read_parameters(training, Gpt2Folder(folder));
  read_optimizer(training, TensorFiles(folder + "/optimizer.safetensors"));
  training.optimizer().set_steps(state.adam_steps);
  return state;
}

void load_weights(GPTTraining& training, const Gpt2Folder& folder) {
  require_same_model(training.model().config(), folder);
  read_parameters(training, folder);
}

}  // namespace shardgrad
