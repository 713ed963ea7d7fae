// GPT-2 in the form of Hugging Face's transformers: names and shapes of tensors, and config.json.
// Source: transformers' GPT2LMHeadModel, GPT2Config and Conv1D.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/tensor_files.h"
#include "model/gpt_config.h"

namespace shardgrad {

/// A parameter of GPTModel and the tensor that stores it.
struct Gpt2Tensor {
  std::string parameter;            ///< "blocks.0.attention.query_key_value.weight"
  std::string name;                 ///< "transformer.h.0.attn.c_attn.weight"
  std::vector<std::int64_t> shape;  ///< as stored
  /// Stored as [in, out], as Conv1D has it: the transpose of the parameter.
  bool transposed = false;
};

/// All parameters of a model, in the order of GPTModel::named_parameters().
std::vector<Gpt2Tensor> gpt2_tensors(const GPTConfig& config);

/// The config.json of a model whose tensors are stored as `dtype`.
nlohmann::ordered_json gpt2_config_json(const GPTConfig& config, DType dtype);

/// The model that a config.json describes. `path` is for messages. @throws Error naming file, field
/// and value for what is no GPT-2, or a GPT-2 with something that GPTModel does not have.
GPTConfig gpt_config_from(const nlohmann::json& json, const std::string& path);

/// The same of the file `folder`/config.json.
GPTConfig read_gpt_config(const std::string& folder);

/// A folder that transformers has written, or save_checkpoint(): the model, and where its tensors
/// are.
class Gpt2Folder {
 public:
  /// @throws Error as gpt_config_from() and TensorFiles do, and when a tensor is missing, has
  /// another shape than config.json says, no floating dtype, or is none of the model's. Buffers
  /// that older versions of transformers stored (the causal mask), and a second copy of a tied
  /// head, are passed over.
  explicit Gpt2Folder(const std::string& folder);

  const GPTConfig& config() const { return config_; }
  const TensorFiles& files() const { return files_; }

  /// The stored tensor of one of gpt2_tensors(). Its name may lack the "transformer." in front: so
  /// it does in files of a bare GPT2Model.
  const StoredTensor& stored(const Gpt2Tensor& tensor) const;

 private:
  GPTConfig config_;
  TensorFiles files_;
};

}  // namespace shardgrad
