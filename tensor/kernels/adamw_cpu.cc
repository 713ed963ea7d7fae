#include <cmath>

#include "tensor/kernels/adamw.h"
#include "tensor/kernels/element_loops.h"
#include "tensor/kernels/vector_math.h"

namespace shardgrad::cpu {

void adamw(Tensor& parameter, const Tensor& gradient, Tensor& first_moment, Tensor& second_moment,
           const Tensor& gradient_norm, const AdamWStep& step, Tensor& rounded) {
  double clip = 1.0;
  if (gradient_norm.defined()) {
    const double norm = *gradient_norm.data<double>();
    if (!std::isfinite(norm)) return;
    if (step.max_gradient_norm > 0.0) clip = std::min(1.0, step.max_gradient_norm / norm);
  }
  dispatch_accumulator(parameter.dtype(), "adamw", [&](auto type) {
    using T = decltype(type);
    T* const p = parameter.data<T>();
    const T* const g = gradient.data<T>();
    T* const m = first_moment.data<T>();
    T* const v = second_moment.data<T>();
    const double count = static_cast<double>(step.step);
    const double correction1 = 1.0 - std::pow(step.beta1, count);
    const double correction2 = 1.0 - std::pow(step.beta2, count);
    const T beta1 = static_cast<T>(step.beta1);
    const T beta2 = static_cast<T>(step.beta2);
    const T rest1 = static_cast<T>(1.0 - step.beta1);
    const T rest2 = static_cast<T>(1.0 - step.beta2);
    const T epsilon = static_cast<T>(step.epsilon);
    const T gradient_scale = static_cast<T>(clip);
    const T decay = static_cast<T>(1.0 - step.learning_rate * step.weight_decay);
    const T step_size = static_cast<T>(step.learning_rate / correction1);
    const T inverse_correction2 = static_cast<T>(1.0 / correction2);
    const auto update = [=](std::int64_t i) {
      const T scaled = gradient_scale * g[i];
      const T new_m = multiply_add(beta1, m[i], rest1 * scaled);
      const T new_v = multiply_add(beta2, v[i], rest2 * scaled * scaled);
      const T denominator = std::sqrt(new_v * inverse_correction2) + epsilon;
      m[i] = new_m;
      v[i] = new_v;
      p[i] = multiply_add(decay, p[i], -step_size * (new_m / denominator));
    };
    const auto fetch_ahead = [=](std::int64_t i) {
      for (const T* data :
           {static_cast<const T*>(p), g, static_cast<const T*>(m), static_cast<const T*>(v)}) {
        __builtin_prefetch(data + i);
      }
    };
    if (!rounded.defined()) {
      stream_elements<T>(parameter.numel(), update, fetch_ahead);
      return;
    }
    BFloat16* const copies = rounded.data<BFloat16>();
    const auto update_both = [=](std::int64_t i) {
      update(i);
      store(copies[i], static_cast<float>(p[i]));
    };
    stream_elements<T>(parameter.numel(), update_both, fetch_ahead);
  });
}

}  // namespace shardgrad::cpu
