#include "tensor/kernels/copy.h"

namespace shardgrad::checks {

void copy(const Tensor& source, Tensor& destination) {
  require(source.defined() && destination.defined(), "copy",
          "the {} is undefined; expected two tensors of one shape",
          source.defined() ? "destination" : "source");
  require(source.shape() == destination.shape(), "copy", "cannot copy shape {} into shape {}",
          source.shape().to_string(), destination.shape().to_string());
}

void fill(Tensor& x, double) { require(x.defined(), "fill", "the tensor is undefined"); }

}  // namespace shardgrad::checks
