#include "checkpoint/gpt2_format.h"

#include <regex>
#include <set>

#include "checkpoint/stored_dtype.h"
#include "files/json.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "gpt2";
constexpr const char* kPrefix = "transformer.";

// Of what a config.json may ask for; far above what exists.
constexpr std::int64_t kMostLayers = 4096;
constexpr std::int64_t kLargestExtent = 1 << 30;

// The name without kPrefix.
std::string bare(const std::string& name) {
  const std::string prefix(kPrefix);
  return name.compare(0, prefix.size(), prefix) == 0 ? name.substr(prefix.size()) : name;
}

// Stored by some, and no parameter of the model: the causal mask, and a tied head.
bool is_passed_over(const std::string& name, const GPTConfig& config) {
  static const std::regex mask("h\\.[0-9]+\\.attn\\.(bias|masked_bias)");
  return (config.tie_embeddings && name == "lm_head.weight") || std::regex_match(bare(name), mask);
}

double optional_number(const nlohmann::json& json, const char* key, double otherwise,
                       const std::string& path) {
  return has(json, key) ? number_in(json, key, path) : otherwise;
}

bool optional_boolean(const nlohmann::json& json, const char* key, bool otherwise,
                      const std::string& path) {
  return has(json, key) ? boolean_in(json, key, path) : otherwise;
}

GeluKind activation_from(const nlohmann::json& json, const std::string& path) {
  if (!has(json, "activation_function")) return GeluKind::Tanh;
  const std::string name = string_in(json, "activation_function", path);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return GeluKind::Tanh;
  require(name == "gelu", kName,
          "{} has the activation_function {}; expected gelu_new, gelu_pytorch_tanh or gelu", path,
          shown(name));
  return GeluKind::Exact;
}

// GPTModel has one probability where GPT2Config has three.
double dropout_from(const nlohmann::json& json, const std::string& path) {
  const double dropout = optional_number(json, "resid_pdrop", 0.1, path);
  for (const char* key : {"embd_pdrop", "attn_pdrop"}) {
    const double other = optional_number(json, key, 0.1, path);
    require(other == dropout, kName,
            "{} has resid_pdrop {} and {} {}; this model has one dropout for all: make them equal",
            path, dropout, key, other);
  }
  return dropout;
}

}  // namespace

std::vector<Gpt2Tensor> gpt2_tensors(const GPTConfig& config) {
  const std::int64_t d = config.d_model, f = config.d_ff;
  std::vector<Gpt2Tensor> tensors;
  const auto add = [&](const std::string& parameter, const std::string& name,
                       std::vector<std::int64_t> shape) {
    tensors.push_back({parameter, name, std::move(shape)});
  };
  const auto add_norm = [&](const std::string& parameter, const std::string& name) {
    add(parameter + ".weight", kPrefix + name + ".weight", {d});
    add(parameter + ".bias", kPrefix + name + ".bias", {d});
  };
  const auto add_linear = [&](const std::string& parameter, const std::string& name,
                              std::int64_t in, std::int64_t out) {
    add(parameter + ".weight", kPrefix + name + ".weight", {in, out});
    tensors.back().transposed = true;
    add(parameter + ".bias", kPrefix + name + ".bias", {out});
  };
  // GPTModel's own parameter comes before its modules'.
  if (!config.tie_embeddings) add("head.weight", "lm_head.weight", {config.vocab_size, d});
  add("token_embedding.weight", "transformer.wte.weight", {config.vocab_size, d});
  add("position_embedding.weight", "transformer.wpe.weight", {config.max_position_embeddings, d});
  for (std::int64_t layer = 0; layer < config.n_layers; ++layer) {
    const std::string block = fmt::format("blocks.{}.", layer), h = fmt::format("h.{}.", layer);
    add_norm(block + "attention_norm", h + "ln_1");
    add_linear(block + "attention.query_key_value", h + "attn.c_attn", d, 3 * d);
    add_linear(block + "attention.projection", h + "attn.c_proj", d, d);
    add_norm(block + "feed_forward_norm", h + "ln_2");
    add_linear(block + "feed_forward.expansion", h + "mlp.c_fc", d, f);
    add_linear(block + "feed_forward.projection", h + "mlp.c_proj", f, d);
  }
  add_norm("final_norm", "ln_f");
  return tensors;
}

nlohmann::ordered_json gpt2_config_json(const GPTConfig& config, DType dtype) {
  // GPT-2's end-of-text token, where the vocabulary is GPT-2's; other tokenizers have their own.
  const nlohmann::ordered_json end =
      config.vocab_size == 50257 ? nlohmann::ordered_json(50256) : nlohmann::ordered_json();
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", config.vocab_size},
          {"n_positions", config.max_position_embeddings},
          {"n_layer", config.n_layers},
          {"n_head", config.n_heads},
          {"n_embd", config.d_model},
          {"n_inner", config.d_ff},
          {"activation_function", config.gelu == GeluKind::Tanh ? "gelu_new" : "gelu"},
          {"embd_pdrop", config.dropout},
          {"attn_pdrop", config.dropout},
          {"resid_pdrop", config.dropout},
          {"layer_norm_epsilon", config.layer_norm_epsilon},
          {"initializer_range", config.initializer_range},
          {"tie_word_embeddings", config.tie_embeddings},
          {"bos_token_id", end},
          {"eos_token_id", end},
          {"torch_dtype", name_of(dtype)}};
}

GPTConfig gpt_config_from(const nlohmann::json& json, const std::string& path) {
  require(json.is_object(), kName, "{} is {}; expected an object", path, shown(json));
  const std::string type = string_in(json, "model_type", path);
  require(type == "gpt2", kName, "{} has the model_type {}; expected \"gpt2\"", path, shown(type));
  // What changes the function that the model computes, and GPTModel has one value of.
  const std::pair<const char*, bool> fixed[] = {{"scale_attn_weights", true},
                                                {"scale_attn_by_inverse_layer_idx", false},
                                                {"add_cross_attention", false}};
  for (const auto& [key, value] : fixed) {
    require(optional_boolean(json, key, value, path) == value, kName,
            "{} has {} {}; only {} is supported", path, key, !value, value);
  }
  GPTConfig config;
  config.vocab_size = integer_in(json, "vocab_size", path, 1, kLargestExtent);
  config.max_position_embeddings = integer_in(json, "n_positions", path, 1, kLargestExtent);
  config.n_layers = integer_in(json, "n_layer", path, 1, kMostLayers);
  config.n_heads = integer_in(json, "n_head", path, 1, kLargestExtent);
  config.d_model = integer_in(json, "n_embd", path, 1, kLargestExtent);
  config.d_ff = has(json, "n_inner") ? integer_in(json, "n_inner", path, 1, kLargestExtent)
                                     : 4 * config.d_model;
  config.gelu = activation_from(json, path);
  config.dropout = dropout_from(json, path);
  config.layer_norm_epsilon = optional_number(json, "layer_norm_epsilon", 1e-5, path);
  config.initializer_range = optional_number(json, "initializer_range", 0.02, path);
  config.tie_embeddings = optional_boolean(json, "tie_word_embeddings", true, path);
  require(config.layer_norm_epsilon > 0.0 && config.initializer_range >= 0.0, kName,
          "{} has layer_norm_epsilon {} and initializer_range {}; expected them above 0", path,
          config.layer_norm_epsilon, config.initializer_range);
  config.validate(1);
  return config;
}

GPTConfig read_gpt_config(const std::string& folder) {
  const std::string path = folder + "/config.json";
  return gpt_config_from(read_json_object(path), path);
}

Gpt2Folder::Gpt2Folder(const std::string& folder)
    : config_(read_gpt_config(folder)), files_(folder) {
  std::set<std::string> known;
  for (const Gpt2Tensor& tensor : gpt2_tensors(config_)) {
    const StoredTensor& found = stored(tensor);
    require(found.shape == tensor.shape && is_convertible(found.dtype), kName,
            "{}: tensor {} is {} {}; expected F32, F16, BF16 or F64 {}, as config.json says",
            files_.file_of(found), found.name, found.dtype, to_string(found.shape),
            to_string(tensor.shape));
    known.insert(found.name);
  }
  for (const StoredTensor& tensor : files_.tensors()) {
    require(known.count(tensor.name) > 0 || is_passed_over(tensor.name, config_), kName,
            "{}: tensor {} is none of the model's that config.json describes",
            files_.file_of(tensor), shown(tensor.name));
  }
}

const StoredTensor& Gpt2Folder::stored(const Gpt2Tensor& tensor) const {
  const StoredTensor* found = files_.find(tensor.name);
  if (found == nullptr) found = files_.find(bare(tensor.name));
  require(found != nullptr, kName, "{} has no tensor {}, which config.json asks for", files_.path(),
          tensor.name);
  return *found;
}

}  // namespace shardgrad
