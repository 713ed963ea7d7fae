#include "nn/dropout.h"

namespace shardgrad {

Dropout::Dropout(double probability, std::string_view site, std::int64_t layer)
    : probability_(probability), stream_(mix_stream(hash_name(site), layer)) {
  require(probability >= 0.0 && probability < 1.0, "Dropout",
          "probability {} is out of range; expected 0 <= p < 1", probability);
}

DropoutMask Dropout::mask(const ForwardContext& context, std::int64_t first_element) const {
  if (!context.training) return {};
  return {probability_, {context.seed, mix_stream(stream_, context.step)}, first_element};
}

Variable Dropout::forward(const Variable& x, const ForwardContext& context) const {
  return dropout(x, mask(context, context.first_row() * x.size(-1)));
}

Variable Dropout::forward_add(Variable x, const Variable& residual,
                              const ForwardContext& context) const {
  const DropoutMask drawn = mask(context, context.first_row() * x.size(-1));
  return dropout_add(std::move(x), residual, drawn);
}

}  // namespace shardgrad
