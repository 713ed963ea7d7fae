// How exactly float32 matrices are multiplied on GPUs.
#pragma once

namespace shardgrad {

/// Lets float32 products that the calling thread starts on CUDA devices round their factors to TF32
/// (10 bits of mantissa): several times faster on the tensor cores of Ampere and later GPUs, with
/// errors about as large as those of bfloat16's products. Off at first. A property of the thread,
/// as the number of its intra-op threads. Source: NVIDIA A100 whitepaper, "TensorFloat-32".
void set_allow_tf32(bool allow);

/// What was set for this thread.
bool allow_tf32();

}  // namespace shardgrad
