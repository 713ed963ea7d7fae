#include "tensor/cuda/elements.cuh"
#include "tensor/kernels/adamw.h"

namespace shardgrad::cuda {
namespace {

// The numbers of a step, in the parameters' own dtype.
template <class T>
struct Coefficients {
  T beta1, beta2, rest1, rest2, epsilon, decay, step_size, inverse_correction2;
  double max_gradient_norm;
};

template <class T>
struct Element {
  T parameter, first_moment, second_moment;
};

template <class T>
__device__ inline Element<T> update(const Coefficients<T>& c, T clip, Element<T> before,
                                    T gradient) {
  const T scaled = clip * gradient;
  const T m = fma(c.beta1, before.first_moment, c.rest1 * scaled);
  const T v = fma(c.beta2, before.second_moment, c.rest2 * scaled * scaled);
  const T denominator = sqrt(v * c.inverse_correction2) + c.epsilon;
  return {fma(c.decay, before.parameter, -c.step_size * (m / denominator)), m, v};
}

template <class T>
__global__ void adamw_kernel(std::int64_t count, bool packed, Coefficients<T> coefficients,
                             const double* gradient_norm, T* parameter, const T* gradient,
                             T* first_moment, T* second_moment, __nv_bfloat16* rounded) {
  T clip = T(1);
  if (gradient_norm != nullptr) {
    const double norm = *gradient_norm;
    if (!isfinite(norm)) return;  // there is no barrier below
    const double limit = coefficients.max_gradient_norm;
    if (limit > 0.0 && norm > limit) clip = static_cast<T>(limit / norm);
  }
  constexpr int kSize = Pack<T>::kSize;
  const std::int64_t packs = packed ? count / kSize : 0;
  for (std::int64_t k = global_thread(); k < packs; k += all_threads()) {
    const std::int64_t first = k * kSize;
    Pack<T> p = load_pack(parameter + first);
    Pack<T> m = load_pack(first_moment + first);
    Pack<T> v = load_pack(second_moment + first);
    const Pack<T> g = load_pack(gradient + first);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const Element<T> after =
          update(coefficients, clip, {p.value[i], m.value[i], v.value[i]}, g.value[i]);
      p.value[i] = after.parameter;
      m.value[i] = after.first_moment;
      v.value[i] = after.second_moment;
      if (rounded != nullptr) rounded[first + i] = __float2bfloat16(after.parameter);
    }
    store_pack(parameter + first, p);
    store_pack(first_moment + first, m);
    store_pack(second_moment + first, v);
  }
  for (std::int64_t i = packs * kSize + global_thread(); i < count; i += all_threads()) {
    const Element<T> after =
        update(coefficients, clip, {parameter[i], first_moment[i], second_moment[i]}, gradient[i]);
    parameter[i] = after.parameter;
    first_moment[i] = after.first_moment;
    second_moment[i] = after.second_moment;
    if (rounded != nullptr) rounded[i] = __float2bfloat16(after.parameter);
  }
}

}  // namespace

void adamw(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
           const Tensor& gradient_norm, const AdamWStep& step, Tensor& rounded) {
  const std::int64_t count = parameter.numel();
  if (count == 0) return;
  const double* const norm = gradient_norm.defined() ? device_data<double>(gradient_norm) : nullptr;
  __nv_bfloat16* const values = rounded.defined() ? device_data<__nv_bfloat16>(rounded) : nullptr;
  dispatch_element(parameter.dtype(), "adamw", [&](auto type) {
    using T = Accumulator<decltype(type)>;  // the parameters are float or double
    const double steps = static_cast<double>(step.step);
    Coefficients<T> coefficients;
    coefficients.beta1 = static_cast<T>(step.beta1);
    coefficients.beta2 = static_cast<T>(step.beta2);
    coefficients.rest1 = static_cast<T>(1.0 - step.beta1);
    coefficients.rest2 = static_cast<T>(1.0 - step.beta2);
    coefficients.epsilon = static_cast<T>(step.epsilon);
    coefficients.decay = static_cast<T>(1.0 - step.learning_rate * step.weight_decay);
    coefficients.step_size =
        static_cast<T>(step.learning_rate / (1.0 - std::pow(step.beta1, steps)));
    coefficients.inverse_correction2 = static_cast<T>(1.0 / (1.0 - std::pow(step.beta2, steps)));
    coefficients.max_gradient_norm = step.max_gradient_norm;
    T* const p = device_data<T>(parameter);
    const T* const g = device_data<T>(gradient);
    T* const m = device_data<T>(first_moment);
    T* const v = device_data<T>(second_moment);
    const bool packed = fits_packs<T>(0, p, g, m, v);
    const std::int64_t pieces = packed ? count / Pack<T>::kSize + 1 : count;
    launch("adamw", element_blocks(pieces), kElementThreads, 0, adamw_kernel<T>, count, packed,
           coefficients, norm, p, g, m, v, values);
  });
}

}  // namespace shardgrad::cuda
