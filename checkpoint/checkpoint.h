// Checkpoints: a training run on disk, to go on from in any layout.
//
// A checkpoint is a folder that Hugging Face's transformers opens as a GPT2LMHeadModel:
//   config.json             the model
//   model.safetensors       its parameters, whole, under GPT-2's names
//   optimizer.safetensors   AdamW's moments and, of bfloat16 models, the fp32 masters, whole
//   trainer_state.json      see TrainerState
// and the files of the tokenizer, if the run has one.
// The bytes of the first three do not depend on the layout of the run.
#pragma once

#include <string>

#include "checkpoint/companion_files.h"
#include "checkpoint/gpt2_format.h"
#include "checkpoint/trainer_state.h"
#include "training/gpt_training.h"

namespace shardgrad {

/// Writes the checkpoint of `state.step` into a new folder below `folder`, whose path it returns,
/// and removes all but the newest `keep` there (0: none). Every rank of the run calls it, threads
/// or processes, between two steps; they see the same file system. `state`'s Adam steps and dtype
/// are set here. `companions` are put beside the tensors. Each rank writes its own shards to their
/// places in the files; no rank gathers anything.
///
/// The folder gets its name when all of it is on the disk: whatever happens at whatever moment, the
/// checkpoints before are untouched, and there is never half of one.
/// @throws Error with the path and the system's reason when something cannot be written, after
/// removing what was; or when the run has a checkpoint of that step.
std::string save_checkpoint(GPTTraining& training, TrainerState state, const std::string& folder,
                            std::int64_t keep, const CompanionFiles& companions = {});

/// Reads everything of the checkpoint `folder` but the tensors' elements. @throws Error when a file
/// is missing or malformed, or it is of another model or dtype than these.
TrainerState check_checkpoint(const std::string& folder, const GPTConfig& config, DType dtype);

/// Brings parameters and optimizer to where those of the checkpoint `folder` are. The layout may be
/// another one. @throws Error as check_checkpoint().
TrainerState load_checkpoint(GPTTraining& training, const std::string& folder);

/// @throws Error naming the field in which the model of `folder` is another one than `config`.
/// Dropout and the range of initial weights may differ.
void require_same_model(const GPTConfig& config, const Gpt2Folder& folder);

/// Brings the parameters alone to those of any GPT-2 of the same shape, in any stored dtype.
void load_weights(GPTTraining& training, const Gpt2Folder& folder);

}  // namespace shardgrad
