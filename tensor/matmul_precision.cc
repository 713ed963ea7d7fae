#include "tensor/matmul_precision.h"

namespace shardgrad {
namespace {

thread_local bool tf32_allowed = false;

}  // namespace

void set_allow_tf32(bool allow) { tf32_allowed = allow; }

bool allow_tf32() { return tf32_allowed; }

}  // namespace shardgrad
