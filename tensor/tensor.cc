#include "tensor/tensor.h"

#include "tensor/allocator.h"
#include "tensor/cuda/runtime.h"
#include "tensor/kernels/copy.h"

namespace shardgrad {
namespace {

Shape row_major_strides(const Shape& shape) {
  Shape strides = shape;
  std::int64_t stride = 1;
  for (int dim = shape.rank() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= shape[dim];
  }
  return strides;
}

void copy_bytes_between_devices(const Tensor& source, Tensor& destination) {
  const std::size_t bytes = static_cast<std::size_t>(source.numel()) * size_of(source.dtype());
  const Device from = source.device(), to = destination.device();
  if (bytes == 0) return;
  if (from.type == DeviceType::Cpu) {
    cuda::use_device(to.index);
    cuda::copy_to_device(destination.raw_data(), source.raw_data(), bytes);
  } else if (to.type == DeviceType::Cpu) {
    cuda::use_device(from.index);
    cuda::copy_to_host(destination.raw_data(), source.raw_data(), bytes);
  } else {
    cuda::use_device(from.index);
    cuda::synchronize();
    cuda::use_device(to.index);
    cuda::copy_on_device(destination.raw_data(), source.raw_data(), bytes);
  }
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device)
    : data_(allocator_for(device).allocate(bytes)), bytes_(bytes), device_(device) {}

Storage::~Storage() { allocator_for(device_).deallocate(data_, bytes_, owner_); }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  for (std::int64_t extent : shape) {
    require(extent >= 0, "Tensor::empty", "shape {} has a negative extent", shape.to_string());
  }
  Tensor tensor;
  tensor.storage_ =
      std::make_shared<Storage>(static_cast<std::size_t>(shape.numel()) * size_of(dtype), device);
  tensor.shape_ = shape;
  tensor.strides_ = row_major_strides(shape);
  tensor.dtype_ = dtype;
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0.0, dtype, device);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill(value);
  return tensor;
}

Tensor Tensor::empty_like(const Tensor& other) {
  return empty(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::zeros_like(const Tensor& other) {
  return zeros(other.shape(), other.dtype(), other.device());
}

bool Tensor::is_contiguous() const {
  std::int64_t expected = 1;
  for (int dim = rank() - 1; dim >= 0; --dim) {
    if (shape_[dim] != 1 && strides_[dim] != expected) return false;
    expected *= shape_[dim];
  }
  return true;
}

Tensor Tensor::reshape(const Shape& shape) const {
  Shape target = shape;
  std::int64_t known = 1;
  int inferred = -1;
  for (int dim = 0; dim < target.rank(); ++dim) {
    if (target[dim] == -1) {
      require(inferred < 0, "Tensor::reshape", "more than one extent of {} is -1",
              shape.to_string());
      inferred = dim;
    } else {
      known *= target[dim];
    }
  }
  if (inferred >= 0) target[inferred] = known == 0 ? 0 : numel() / known;
  require(target.numel() == numel(), "Tensor::reshape", "shape {} holds {} elements, not {} of {}",
          shape_.to_string(), numel(), target.numel(), shape.to_string());
  require(is_contiguous(), "Tensor::reshape",
          "shape {} with strides {} is not contiguous; call contiguous() first", shape_.to_string(),
          strides_.to_string());
  Tensor view = *this;
  view.shape_ = target;
  view.strides_ = row_major_strides(target);
  return view;
}

Tensor Tensor::slice(int dim, std::int64_t start, std::int64_t length) const {
  dim = shape_.checked_dim(dim, "Tensor::slice");
  require(start >= 0 && length >= 0 && start + length <= shape_[dim], "Tensor::slice",
          "[{}, {}) is outside dim {} of shape {}", start, start + length, dim, shape_.to_string());
  Tensor view = *this;
  view.shape_[dim] = length;
  view.offset_ += start * strides_[dim];
  return view;
}

Tensor Tensor::transpose(int first, int second) const {
  first = shape_.checked_dim(first, "Tensor::transpose");
  second = shape_.checked_dim(second, "Tensor::transpose");
  Tensor view = *this;
  std::swap(view.shape_[first], view.shape_[second]);
  std::swap(view.strides_[first], view.strides_[second]);
  return view;
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  Tensor copy = empty_like(*this);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor converted = empty(shape_, dtype, device());
  converted.copy_from(*this);
  return converted;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  Tensor moved = empty(shape_, dtype_, device);
  moved.copy_from(*this);
  return moved;
}

void Tensor::copy_from(const Tensor& source) {
  require(shape_ == source.shape_, "Tensor::copy_from", "cannot copy shape {} into shape {}",
          source.shape_.to_string(), shape_.to_string());
  if (source.device() == device()) return kernels::copy(source, *this);
  // Between devices only bytes travel: elements are converted and gathered before and scattered
  // after.
  const Tensor dense = source.to(dtype_).contiguous();
  if (!is_contiguous()) return kernels::copy(dense.to(device()), *this);
  copy_bytes_between_devices(dense, *this);
}

void Tensor::fill(double value) { kernels::fill(*this, value); }

double Tensor::item() const {
  require(numel() == 1, "Tensor::item", "shape {} does not hold exactly one element",
          shape_.to_string());
  return to(DType::Float64).to_vector<double>()[0];
}

void* Tensor::checked_data(DType requested) const {
  require(defined(), "Tensor::data", "the tensor is undefined");
  require(requested == dtype_, "Tensor::data", "the tensor holds {}, not {}", name_of(dtype_),
          name_of(requested));
  return static_cast<char*>(storage_->data()) + static_cast<std::size_t>(offset_) * size_of(dtype_);
}

}  // namespace shardgrad
