// Two of oneDNN's calls multiply: the matmul primitive, on the operands as they lie, and sgemm,
// which knows no bias and no bfloat16; panel_gemm.h and row_gemm.h give it blocks that it likes.
// What is measured of them stands there, at prefers_sgemm(), has_colliding_rows() and in
// docs/performance.md.
// Packing the weights for matmul first gains at most 0.05 in the multiplication (two Zen 4 cores,
// GPT-2's shapes) and loses twice that in the packing, as each packed copy serves one call a step.
#include "tensor/kernels/onednn_gemm.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <unordered_map>

#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/panel_gemm.h"
#include "tensor/kernels/processor.h"
#include "tensor/kernels/row_gemm.h"
#include "tensor/kernels/sgemm_blocks.h"

namespace shardgrad::cpu {
namespace {

struct Multiplication {
  dnnl::memory::desc a, b, bias, c, scratchpad;
  dnnl::matmul primitive;
  // Where b is first brought into an order that the multiplication chooses.
  bool packs = false;
  dnnl::memory::desc packed_b;
  dnnl::reorder pack;
};

// Whether the rows of b begin a multiple of 4 KiB apart, so that the part of a column which oneDNN
// multiplies at a time falls on few lines of the first cache. It packs b by itself where the
// distance is a power of two; at 3072 floats, the width of GPT-2's feed-forward layer, it reached
// half of the rate (170 of 335 GFLOP/s on two Emerald Rapids cores), and 300 packed.
bool has_colliding_rows(const GemmProblem& problem) {
  const std::int64_t leading = problem.b.leading;
  const bool power_of_two = (leading & (leading - 1)) == 0;
  return problem.dtype == DType::Float32 && problem.b.row_major && leading % 1024 == 0 &&
         !power_of_two && problem.m >= 128 && problem.k >= 128;
}

dnnl::engine& engine() {
  static dnnl::engine host(dnnl::engine::kind::cpu, 0);
  return host;
}

std::shared_ptr<const Multiplication> build(const GemmProblem& problem) {
  using dnnl::memory;
  const auto describe = [](std::int64_t rows, std::int64_t columns, const MatrixLayout& layout,
                           DType dtype) {
    const memory::dims strides =
        layout.row_major ? memory::dims{layout.leading, 1} : memory::dims{1, layout.leading};
    return memory::desc({rows, columns},
                        dtype == DType::BFloat16 ? memory::data_type::bf16 : memory::data_type::f32,
                        strides);
  };
  auto built = std::make_shared<Multiplication>();
  built->a = describe(problem.m, problem.k, problem.a, problem.dtype);
  built->b = describe(problem.k, problem.n, problem.b, problem.dtype);
  built->c = describe(problem.m, problem.n, problem.c, problem.c_dtype);
  if (problem.bias) built->bias = describe(1, problem.n, {true, problem.n}, problem.dtype);
  dnnl::primitive_attr attributes;
  // Scratch memory comes from the caller, so that ranks can run one primitive at the same time.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (problem.accumulate) {
    dnnl::post_ops add_to_output;
    add_to_output.append_sum(1.0f);
    attributes.set_post_ops(add_to_output);
  }
  memory::desc b = built->b;
  if (has_colliding_rows(problem)) {
    b = memory::desc({problem.k, problem.n}, memory::data_type::f32, memory::format_tag::any);
  }
  const dnnl::matmul::desc operation = problem.bias
                                           ? dnnl::matmul::desc(built->a, b, built->bias, built->c)
                                           : dnnl::matmul::desc(built->a, b, built->c);
  const dnnl::matmul::primitive_desc description(operation, attributes, engine());
  built->scratchpad = description.scratchpad_desc();
  built->primitive = dnnl::matmul(description);
  built->packed_b = description.weights_desc();
  built->packs = built->packed_b != built->b;
  if (built->packs) {
    built->pack = dnnl::reorder({engine(), built->b, engine(), built->packed_b});
  }
  return built;
}

auto key_of(const GemmProblem& problem) {
  const auto& [m, n, k, a, b, c, bias, accumulate, dtype, c_dtype, threads] = problem;
  return std::make_tuple(m, n, k, a.row_major, a.leading, b.row_major, b.leading, c.leading, bias,
                         accumulate, dtype, c_dtype, threads);
}

// Building a primitive generates machine code, so each is built once per process and kept.
std::shared_ptr<const Multiplication> find_or_build(const GemmProblem& problem) {
  using Cache =
      std::map<decltype(key_of(problem)), std::shared_ptr<const Multiplication>, std::less<>>;
  static std::mutex mutex;
  static Cache cache;
  std::lock_guard<std::mutex> lock(mutex);
  auto& entry = cache[key_of(problem)];
  if (entry == nullptr) entry = build(problem);
  return entry;
}

void gemm_by_matmul(const GemmProblem& problem, const Tensor& a, const Tensor& b,
                    const Tensor& bias, Tensor& c) {
  try {
    const auto multiplication = find_or_build(problem);
    const auto wrap = [](const dnnl::memory::desc& description, const Tensor& tensor) {
      return dnnl::memory(description, engine(), const_cast<void*>(tensor.raw_data()));
    };
    const auto floats_of = [](const dnnl::memory::desc& description) {
      return Tensor::empty({static_cast<std::int64_t>(description.get_size() / 4 + 1)});
    };
    const Tensor scratch = floats_of(multiplication->scratchpad);
    dnnl::stream stream(engine());
    dnnl::memory factor = wrap(multiplication->b, b);
    Tensor packed;
    if (multiplication->packs) {
      packed = floats_of(multiplication->packed_b);
      dnnl::memory target = wrap(multiplication->packed_b, packed);
      multiplication->pack.execute(stream, factor, target);
      factor = target;
    }
    std::unordered_map<int, dnnl::memory> arguments{
        {DNNL_ARG_SRC, wrap(multiplication->a, a)},
        {DNNL_ARG_WEIGHTS, factor},
        {DNNL_ARG_DST, wrap(multiplication->c, c)},
        {DNNL_ARG_SCRATCHPAD, wrap(multiplication->scratchpad, scratch)}};
    if (problem.bias) arguments.emplace(DNNL_ARG_BIAS, wrap(multiplication->bias, bias));
    multiplication->primitive.execute(stream, arguments);
    stream.wait();
  } catch (const dnnl::error& error) {
    fail("gemm", "oneDNN cannot multiply {} by {}: {}", a.shape().to_string(),
         b.shape().to_string(), error.what());
  }
}

// Whether sgemm is the faster of the two for what prefers_panels() and prefers_rows() leave. On an
// Emerald Rapids core and on two of them it was: by 3 to 30 % for the gradient of a layer's input,
// where both factors are row-major, and by 0 to 20 % for that of its weight, where the left one is
// transposed, unless sgemm then reads the factors where they lie (for one short extent, by the rule
// that oneDNN has for this) and they are long: 0.6 to 1.0 times as fast. Where only the right
// factor is transposed, as in the forward pass, matmul is the faster for long sums and else they
// are equal. Other makers' processors keep matmul, which reached 0.85 to 0.97 of a Zen 4's peak.
bool prefers_sgemm(const GemmProblem& problem) {
  const bool measured = problem.dtype == DType::Float32 && !problem.bias &&
                        std::min({problem.m, problem.n, problem.k}) >= 64 && is_intel() &&
                        has_avx512();
  if (!measured || !problem.b.row_major) return false;
  if (problem.a.row_major) return true;
  const bool copies =
      1.0 / static_cast<double>(problem.m) + 1.0 / static_cast<double>(problem.n) < 0.00196;
  return copies || std::max(problem.m, problem.n) <= 1024;
}

void gemm_by_sgemm(const GemmProblem& problem, const Tensor& a, const Tensor& b, Tensor& c) {
  const auto letter = [](const MatrixLayout& layout) { return layout.row_major ? 'N' : 'T'; };
  const auto multiply = [&](const GemmBlock& block) {
    const float* const rows =
        a.data<float>() + block.row * (problem.a.row_major ? problem.a.leading : 1);
    return dnnl_sgemm(letter(problem.a), letter(problem.b), block.rows, problem.n, problem.k, 1.0f,
                      rows, problem.a.leading, b.data<float>(), problem.b.leading,
                      problem.accumulate ? 1.0f : 0.0f,
                      c.data<float>() + block.row * problem.c.leading, problem.c.leading);
  };
  // Threads that share the copies which sgemm makes of a transposed factor wait for each other;
  // with so many rows of their own they made 2 to 14 % more of a weight's gradient.
  constexpr std::int64_t kRowsOfThread = 256;
  const bool splits = !problem.a.row_major && problem.m >= problem.threads * kRowsOfThread;
  const std::int64_t rows = splits ? parts_of(problem.m, problem.threads) : problem.m;
  const BlockGrid grid(problem.m, problem.n, rows, problem.n);
  require_multiplied(multiply_blocks(grid, [&] { return multiply; }), a, b);
}

void add_bias(const GemmBlock& block, std::int64_t leading, const Tensor& bias, Tensor& c) {
  const float* const terms = bias.data<float>() + block.column;
  for (std::int64_t row = block.row; row < block.row + block.rows; ++row) {
    float* const sums = c.data<float>() + row * leading + block.column;
    simd_elements(0, block.columns, [=](std::int64_t i) { sums[i] += terms[i]; });
  }
}

}  // namespace

void onednn_gemm(const GemmProblem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                 Tensor& c) {
  if (prefers_panels(problem)) {
    multiply_by_panels(problem, a, b, c, [&](const GemmBlock& block) {
      if (problem.bias) add_bias(block, problem.c.leading, bias, c);
    });
  } else if (prefers_rows(problem)) {
    multiply_by_rows(problem, a, b, c);
  } else if (prefers_sgemm(problem)) {
    gemm_by_sgemm(problem, a, b, c);
  } else {
    gemm_by_matmul(problem, a, b, bias, c);
  }
}

}  // namespace shardgrad::cpu
