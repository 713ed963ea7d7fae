// The tensors of a training run as files hold them: whole, whatever the layout of the run.
#pragma once

#include "checkpoint/file.h"
#include "checkpoint/gpt2_format.h"
#include "checkpoint/safetensors.h"
#include "training/gpt_training.h"

namespace shardgrad {

/// The file of the parameters: a function of model and dtype alone.
SafetensorsLayout parameter_layout(const GPTTraining& training);

/// The file of the optimizer's state, likewise: "first_moment.NAME" and "second_moment.NAME" of
/// each parameter, and of bfloat16 models "master.NAME", not transposed.
SafetensorsLayout optimizer_layout(GPTTraining& training);

/// Writes into the file, laid out by parameter_layout(), what it is this rank's part to write. The
/// parts of all ranks of the run together are everything, each byte once.
void write_parameters(GPTTraining& training, const SafetensorsLayout& layout, OutputFile& file);

/// The same of the optimizer's state.
void write_optimizer(GPTTraining& training, const SafetensorsLayout& layout, OutputFile& file);

/// Fills this rank's part of the parameters from a folder with a model of the same shape, in any
/// stored dtype. Padding becomes zero.
void read_parameters(GPTTraining& training, const Gpt2Folder& folder);

/// Fills this rank's part of the optimizer's state from such a file. @throws Error when a tensor is
/// missing, or of another shape or dtype, or there is one too many.
void read_optimizer(GPTTraining& training, const TensorFiles& files);

}  // namespace shardgrad
