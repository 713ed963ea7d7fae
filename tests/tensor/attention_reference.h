// Causal attention written out: explicit T x T probabilities, masks and dropout, in float64.
#pragma once

#include <cmath>
#include <limits>

#include "tensor/kernels/attention.h"
#include "tests/support/reference.h"

namespace shardgrad::attention_reference {

using reference::Matrix;

/// What the kernels should compute from these inputs.
struct Expected {
  Matrix out;          ///< [B*T, H*Dh]
  Matrix log_sum_exp;  ///< [B*H, T]
  Matrix dqkv;         ///< [B*T, 3*H*Dh]
};

/// True when query `query` of a sequence may look at `key`.
inline bool visible(const Tensor& key_padding_mask, std::int64_t sequence, std::int64_t tokens,
                    std::int64_t query, std::int64_t key) {
  if (key > query) return false;
  return !key_padding_mask.defined() ||
         key_padding_mask.data<std::int32_t>()[sequence * tokens + key] != 0;
}

/// 0 or 1 / (1 - p), from the element formula of tensor/kernels/attention.h, one word at a time.
inline double dropout_factor(const AttentionShape& shape, const DropoutMask& dropout,
                             std::int64_t sequence, std::int64_t head, std::int64_t query,
                             std::int64_t key) {
  if (dropout.probability == 0.0) return 1.0;
  const std::int64_t row =
      ((shape.first_sequence + sequence) * shape.all_heads + shape.first_head + head) *
          shape.tokens +
      query;
  const auto element = static_cast<std::uint64_t>(row * shape.tokens + key);
  const double uniform = philox_word(dropout.random, element) / 4294967296.0;
  return uniform < dropout.probability ? 0.0 : 1.0 / (1.0 - dropout.probability);
}

inline Expected attention(const Tensor& qkv, const Tensor& key_padding_mask, const Tensor& dout,
                          const AttentionShape& shape, const DropoutMask& dropout) {
  const std::int64_t tokens = shape.tokens, dim = shape.head_dim, width = shape.heads * dim;
  const Matrix input = reference::to_matrix(qkv);
  const Matrix doutput = reference::to_matrix(dout);
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  Expected expected{Matrix::Zero(shape.batch * tokens, width),
                    Matrix::Zero(shape.batch * shape.heads, tokens),
                    Matrix::Zero(shape.batch * tokens, 3 * width)};
  for (std::int64_t sequence = 0; sequence < shape.batch; ++sequence) {
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const auto part = [&](const Matrix& matrix, std::int64_t which) -> Matrix {
        return matrix.block(sequence * tokens, which * width + head * dim, tokens, dim);
      };
      const Matrix q = part(input, 0), k = part(input, 1), v = part(input, 2);
      const Matrix scores = scale * (q * k.transpose());
      Matrix probabilities = Matrix::Zero(tokens, tokens), factors(tokens, tokens);
      for (std::int64_t i = 0; i < tokens; ++i) {
        double largest = -std::numeric_limits<double>::infinity();
        for (std::int64_t j = 0; j < tokens; ++j) {
          factors(i, j) = dropout_factor(shape, dropout, sequence, head, i, j);
          if (visible(key_padding_mask, sequence, tokens, i, j)) {
            largest = std::max(largest, scores(i, j));
          }
        }
        double sum = 0.0;
        for (std::int64_t j = 0; j < tokens; ++j) {
          if (!visible(key_padding_mask, sequence, tokens, i, j)) continue;
          probabilities(i, j) = std::exp(scores(i, j) - largest);
          sum += probabilities(i, j);
        }
        if (sum > 0.0) probabilities.row(i) /= sum;
        expected.log_sum_exp(sequence * shape.heads + head, i) = largest + std::log(sum);
      }
      const Matrix dropped = probabilities.cwiseProduct(factors);
      expected.out.block(sequence * tokens, head * dim, tokens, dim) = dropped * v;
      const Matrix dy = part(doutput, 0);
      const Matrix dprobabilities = (dy * v.transpose()).cwiseProduct(factors);
      const Eigen::VectorXd inner = probabilities.cwiseProduct(dprobabilities).rowwise().sum();
      const Matrix dscores = probabilities.cwiseProduct(dprobabilities.colwise() - inner) * scale;
      const auto gradient = [&](std::int64_t which) {
        return expected.dqkv.block(sequence * tokens, which * width + head * dim, tokens, dim);
      };
      gradient(0) = dscores * k;
      gradient(1) = dscores.transpose() * q;
      gradient(2) = dropped.transpose() * dy;
    }
  }
  return expected;
}

}  // namespace shardgrad::attention_reference
