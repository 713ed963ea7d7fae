// float32 and bfloat16: oneDNN's matmul primitive on the operands as they lie. On two Zen 4 cores
// at GPT-2's shapes float32 reached 0.85-0.97 of the peak; packing the weights first gains at most
// 0.05 more in the multiplication and loses twice that in the packing, as each packed copy serves
// one call a step. The exception is has_colliding_rows(). bfloat16 was 5 to 7 times as fast as
// float32 on a Sapphire Rapids core.
#include <Eigen/Core>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>

#include "tensor/kernels/copy.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/matrix_layout.h"
#include "tensor/parallel_for.h"

namespace shardgrad::cpu {
namespace {

struct Problem {
  std::int64_t m, n, k;
  MatrixLayout a, b, c;
  bool bias, accumulate;
  DType dtype, c_dtype;
  int threads;

  auto key() const {
    return std::make_tuple(m, n, k, a.row_major, a.leading, b.row_major, b.leading, c.leading, bias,
                           accumulate, dtype, c_dtype, threads);
  }
};

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
bool has_colliding_rows(const Problem& problem) {
  const std::int64_t leading = problem.b.leading;
  const bool power_of_two = (leading & (leading - 1)) == 0;
  return problem.dtype == DType::Float32 && problem.b.row_major && leading % 1024 == 0 &&
         !power_of_two && problem.m >= 128 && problem.k >= 128;
}

dnnl::engine& engine() {
  static dnnl::engine host(dnnl::engine::kind::cpu, 0);
  return host;
}

std::shared_ptr<const Multiplication> build(const Problem& problem) {
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

// Building a primitive generates machine code, so each is built once per process and kept.
std::shared_ptr<const Multiplication> find_or_build(const Problem& problem) {
  using Cache =
      std::map<decltype(problem.key()), std::shared_ptr<const Multiplication>, std::less<>>;
  static std::mutex mutex;
  static Cache cache;
  std::lock_guard<std::mutex> lock(mutex);
  auto& entry = cache[problem.key()];
  if (entry == nullptr) entry = build(problem);
  return entry;
}

void gemm_onednn(const Problem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                 Tensor& c) {
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

// Whether the processor multiplies bfloat16 numbers. An instruction set's value has the bits of
// those that it contains.
bool multiplies_bfloat16() {
  constexpr unsigned kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  static const unsigned present = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (present & kNeeded) == kNeeded;
}

// In float32. Without the instructions oneDNN multiplies bfloat16 at a seventh of float32's speed,
// or not at all.
void gemm_widened(const Problem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                  Tensor& c) {
  const auto widened = [](const Tensor& matrix, const MatrixLayout& layout) {
    if (layout.row_major) return matrix.to(DType::Float32);
    return matrix.transpose(0, 1).to(DType::Float32).transpose(0, 1);
  };
  Tensor sums = c;
  if (c.dtype() != DType::Float32) {
    sums = problem.accumulate ? c.to(DType::Float32) : Tensor::empty(c.shape());
  }
  gemm(widened(a, problem.a), widened(b, problem.b), problem.bias ? bias.to(DType::Float32) : bias,
       sums, problem.accumulate);
  if (c.dtype() != DType::Float32) copy(sums, c);
}

template <int Order>
using MatrixMap = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                             Eigen::OuterStride<>>;

// Calls body with the matrix as an Eigen map in its own storage order.
template <class Body>
void with_map(const Tensor& matrix, const MatrixLayout& layout, const Body& body) {
  const double* data = matrix.data<double>();
  const Eigen::OuterStride<> stride(layout.leading);
  if (layout.row_major) {
    body(MatrixMap<Eigen::RowMajor>(data, matrix.size(0), matrix.size(1), stride));
  } else {
    body(MatrixMap<Eigen::ColMajor>(data, matrix.size(0), matrix.size(1), stride));
  }
}

void gemm_float64(const Problem& problem, const Tensor& a, const Tensor& b, const Tensor& bias,
                  Tensor& c) {
  using Row = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Row, 0, Eigen::OuterStride<>> out(c.data<double>(), problem.m, problem.n,
                                               Eigen::OuterStride<>(problem.c.leading));
  with_map(a, problem.a, [&](const auto& left) {
    with_map(b, problem.b, [&](const auto& right) {
      if (problem.accumulate) {
        out.noalias() += left * right;
      } else {
        out.noalias() = left * right;
      }
    });
  });
  if (problem.bias) {
    out.rowwise() += Eigen::Map<const Eigen::RowVectorXd>(bias.data<double>(), problem.n);
  }
}

}  // namespace

void gemm(const Tensor& a, const Tensor& b, const Tensor& bias, Tensor& c, bool accumulate) {
  Problem problem{c.size(0), c.size(1), a.size(1),         {}, {}, {}, bias.defined(), accumulate,
                  a.dtype(), c.dtype(), intra_op_threads()};
  if (problem.m == 0 || problem.n == 0) return;
  problem.c = layout_of(c, "c");
  if (problem.k == 0) {  // an empty sum
    if (!accumulate) fill(c, 0.0);
    for (std::int64_t row = 0; problem.bias && row < problem.m; ++row) {  // c may be a slice
      c.slice(0, row, 1).copy_from(bias.reshape({1, problem.n}));
    }
    return;
  }
  problem.a = layout_of(a, "a");
  problem.b = layout_of(b, "b");
  if (a.dtype() == DType::Float64) {
    gemm_float64(problem, a, b, bias, c);
  } else if (a.dtype() == DType::BFloat16 && !multiplies_bfloat16()) {
    gemm_widened(problem, a, b, bias, c);
  } else {
    gemm_onednn(problem, a, b, bias, c);
  }
}

void gemm_bias_gelu(const Tensor& a, const Tensor& b, const Tensor& bias, GeluKind kind,
                    Tensor& pre_activation, Tensor& y) {
  gemm(a, b, bias, pre_activation, false);
  gelu_forward(pre_activation, y, kind);
}

}  // namespace shardgrad::cpu
