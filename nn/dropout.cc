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
  return dropout(x, token_mask(context, x.size(-1)));
}

DropoutMask Dropout::token_mask(const ForwardContext& context, std::int64_t columns) const {
  return mask(context, context.first_row() * columns);
}

}  // namespace shardgrad
