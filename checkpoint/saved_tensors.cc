#include "checkpoint/saved_tensors.h"

#include <map>
#include <utility>

#include "checkpoint/model_weights.h"
#include "checkpoint/shard_runs.h"
#include "checkpoint/stored_dtype.h"
#include "files/json.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

std::vector<std::int64_t> extents(const Shape& shape) { return {shape.begin(), shape.end()}; }

template <class Value>
const Value& at(const std::map<std::string, Value>& values, const std::string& name) {
  const auto found = values.find(name);
  require(found != values.end(), kName, "the layout has no place for {}", name);
  return found->second;
}

std::map<std::string, StoredTensor> places_in(const SafetensorsLayout& layout) {
  std::map<std::string, StoredTensor> places;
  for (StoredTensor& tensor : layout.tensors()) places[tensor.name] = tensor;
  return places;
}

std::map<std::string, Gpt2Tensor> gpt2_tensors_by_parameter(const GPTTraining& training) {
  std::map<std::string, Gpt2Tensor> tensors;
  for (const Gpt2Tensor& tensor : gpt2_tensors(training.model().config())) {
    tensors[tensor.parameter] = tensor;
  }
  return tensors;
}

// Whether the rank is the one of its group that writes parameter `index`, which all of them hold.
// They take turns, so that all write about as much.
bool takes_turn(std::size_t index, const Communicator& group) {
  return static_cast<int>(index % static_cast<std::size_t>(group.world_size())) == group.rank();
}

// The same among the ranks of a tensor-parallel group; each of them writes its own shard.
bool writes(std::size_t index, const Parameter& parameter, const GPTTraining& training) {
  return parameter.shard.is_sharded() || takes_turn(index, training.mesh().tensor_parallel());
}

// What the optimizer keeps: its name in the file, and the flat tensor of this rank.
std::vector<std::pair<std::string, Tensor*>> states_of(AdamW& optimizer) {
  std::vector<std::pair<std::string, Tensor*>> states{
      {"first_moment.", &optimizer.first_moment()}, {"second_moment.", &optimizer.second_moment()}};
  if (optimizer.has_master()) states.emplace_back("master.", &optimizer.master());
  return states;
}

// Calls `body(index, window, begin)` for each part of a parameter of which this rank keeps the
// optimizer's state: elements `window` of local parameter `index`, from `begin` in the state.
template <class Body>
void for_each_part(GPTTraining& training, const Body& body) {
  const FlatParameters& parameters = training.parameters();
  std::int64_t begin = 0;
  for (const FlatRange& owned : training.optimizer().owned()) {
    for (std::size_t i = 0; i < parameters.parameters().size(); ++i) {
      const std::int64_t offset = parameters.offset(i);
      const std::int64_t count = parameters.parameters()[i].parameter->variable.value().numel();
      const FlatRange common = owned.intersection({offset, offset + count});
      if (common.length() == 0) continue;
      body(i, FlatRange{common.begin - offset, common.end - offset},
           begin + common.begin - owned.begin);
    }
    begin += owned.length();
  }
}

}  // namespace

SafetensorsLayout parameter_layout(const GPTTraining& training) {
  SafetensorsLayout layout;
  // transformers refuses files that do not name the framework whose tensors they have.
  layout.add_metadata("format", "pt");
  const DType dtype =
      training.model().named_parameters().front().parameter->variable.value().dtype();
  for (const Gpt2Tensor& tensor : gpt2_tensors(training.model().config())) {
    layout.add(tensor.name, stored_name_of(dtype), tensor.shape);
  }
  return layout;
}

SafetensorsLayout optimizer_layout(GPTTraining& training) {
  SafetensorsLayout layout;
  layout.add_metadata("optimizer", "AdamW");
  for (const auto& [prefix, state] : states_of(training.optimizer())) {
    for (const NamedParameter& entry : training.model().named_parameters()) {
      layout.add(prefix + entry.name, stored_name_of(state->dtype()),
                 extents(entry.parameter->shard.global_shape));
    }
  }
  return layout;
}

void write_parameters(GPTTraining& training, const SafetensorsLayout& layout, OutputFile& file) {
  const std::map<std::string, StoredTensor> places = places_in(layout);
  const std::map<std::string, Gpt2Tensor> names = gpt2_tensors_by_parameter(training);
  const std::vector<NamedParameter>& parameters = training.parameters().parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = *parameters[i].parameter;
    if (!writes(i, parameter, training) || !takes_turn(i, training.mesh().data_parallel())) {
      continue;
    }
    const Gpt2Tensor& target = at(names, parameters[i].name);
    const Tensor value = parameter.variable.value().to(Device{});
    const Tensor stored = target.transposed ? value.transpose(0, 1).contiguous() : value;
    write_runs(file, at(places, target.name), stored.reshape({stored.numel()}),
               target.transposed ? transposed(parameter.shard) : parameter.shard,
               {0, stored.numel()});
  }
}

void write_optimizer(GPTTraining& training, const SafetensorsLayout& layout, OutputFile& file) {
  const std::map<std::string, StoredTensor> places = places_in(layout);
  const std::vector<NamedParameter>& parameters = training.parameters().parameters();
  const bool shared_out = training.data_parallel().is_sharded();
  for (const auto& state : states_of(training.optimizer())) {
    for_each_part(training, [&](std::size_t i, const FlatRange& window, std::int64_t begin) {
      const Parameter& parameter = *parameters[i].parameter;
      if (!writes(i, parameter, training)) return;
      if (!shared_out && !takes_turn(i, training.mesh().data_parallel())) return;
      const Tensor elements = state.second->slice(0, begin, window.length()).to(Device{});
      write_runs(file, at(places, state.first + parameters[i].name), elements, parameter.shard,
                 window);
    });
  }
}

void read_parameters(GPTTraining& training, const Gpt2Folder& folder) {
  read_weights(training.model(), folder);
}

void read_optimizer(GPTTraining& training, const TensorFiles& files) {
  const std::vector<StoredTensor> expected = optimizer_layout(training).tensors();
  for (const StoredTensor& tensor : expected) {
    const StoredTensor* found = files.find(tensor.name);
    require(found != nullptr, kName, "{} has no tensor {}", files.path(), tensor.name);
    require(found->shape == tensor.shape && found->dtype == tensor.dtype, kName,
            "{}: tensor {} is {} {}; expected {} {}", files.path(), tensor.name, found->dtype,
            to_string(found->shape), tensor.dtype, to_string(tensor.shape));
  }
  require(files.tensors().size() == expected.size(), kName,
          "{} has {} tensors; expected {}: it is of another model or optimizer", files.path(),
          files.tensors().size(), expected.size());
  const std::vector<NamedParameter>& parameters = training.parameters().parameters();
  for (const auto& state : states_of(training.optimizer())) {
    for_each_part(training, [&](std::size_t i, const FlatRange& window, std::int64_t begin) {
      const StoredTensor& stored = *files.find(state.first + parameters[i].name);
      Tensor elements = Tensor::zeros({window.length()}, state.second->dtype());
      read_runs(files.data(stored), stored, elements, parameters[i].parameter->shard, window);
      state.second->slice(0, begin, window.length()).copy_from(elements);
    });
  }
}

}  // namespace shardgrad
