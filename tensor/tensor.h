// Tensor: a value handle on shared memory.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace shardgrad {

/// A block of memory from the device's caching allocator, returned to it on destruction.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  std::thread::id owner_ = std::this_thread::get_id();  // to whose cache the block returns
};

/// An n-dimensional array: a shape and strides over shared Storage. Copying a Tensor copies the
/// handle; views (reshape, slice, transpose) share the memory. A const Tensor gives read-only
/// access to its elements, so a kernel's signature tells inputs from outputs.
class Tensor {
 public:
  /// An undefined tensor: "no gradient", "no bias".
  Tensor() = default;

  /// Contiguous, uninitialised.
  static Tensor empty(const Shape& shape, DType dtype = DType::Float32, Device device = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::Float32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::Float32,
                     Device device = {});
  /// Uninitialised, with the shape, dtype and device of `other`; always contiguous.
  static Tensor empty_like(const Tensor& other);
  static Tensor zeros_like(const Tensor& other);

  /// A host tensor holding a copy of `values` in row-major order.
  /// @throws Error unless there are shape.numel() values.
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    require(static_cast<std::int64_t>(values.size()) == shape.numel(), "Tensor::from",
            "{} values do not fill shape {}", values.size(), shape.to_string());
    Tensor tensor = empty(shape, DTypeOf<T>::value);
    std::copy(values.begin(), values.end(), tensor.data<T>());
    return tensor;
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }  ///< in elements
  int rank() const { return shape_.rank(); }
  std::int64_t numel() const { return shape_.numel(); }
  /// Extent of `dim`; negative counts from the end.
  std::int64_t size(int dim) const { return shape_[shape_.checked_dim(dim, "Tensor::size")]; }
  std::int64_t stride(int dim) const { return strides_[shape_.checked_dim(dim, "Tensor::stride")]; }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device{}; }
  /// Row-major with no gaps.
  bool is_contiguous() const;
  /// True when no other handle or view shares this memory, so that writing into it is seen by
  /// nobody else.
  bool is_sole_owner() const { return storage_.use_count() == 1; }
  bool shares_storage_with(const Tensor& other) const { return storage_ == other.storage_; }

  /// First element, on the tensor's device. @throws Error when T is not this tensor's dtype.
  template <class T>
  T* data() {
    return static_cast<T*>(checked_data(DTypeOf<T>::value));
  }
  template <class T>
  const T* data() const {
    return static_cast<const T*>(checked_data(DTypeOf<T>::value));
  }
  void* raw_data() { return checked_data(dtype_); }
  const void* raw_data() const { return checked_data(dtype_); }

  /// The same elements in row-major order under another shape; one extent may be -1.
  /// A view. @throws Error when the count differs or the tensor is not contiguous.
  Tensor reshape(const Shape& shape) const;
  /// Elements [start, start + length) along `dim`. A view.
  Tensor slice(int dim, std::int64_t start, std::int64_t length) const;
  /// Two dims exchanged. A view.
  Tensor transpose(int first, int second) const;

  /// This tensor when it is contiguous, else a contiguous copy.
  Tensor contiguous() const;
  /// A contiguous copy in fresh memory.
  Tensor clone() const;
  /// A contiguous copy with another element type (itself when the type is the same).
  Tensor to(DType dtype) const;
  /// A contiguous copy in the memory of another device (itself when it is the same). From the host
  /// to a GPU the copy is only queued; from a GPU to the host it waits for the calling thread's
  /// work.
  Tensor to(Device device) const;
  /// Overwrites this tensor's elements with those of `source`, converting the dtype, from any
  /// device.
  /// @throws Error unless the shapes are equal.
  void copy_from(const Tensor& source);
  void fill(double value);

  /// The elements in row-major order, on the host.
  template <class T>
  std::vector<T> to_vector() const {
    const Tensor dense = to(Device{}).contiguous();
    const T* begin = dense.data<T>();
    return std::vector<T>(begin, begin + numel());
  }
  /// The single element of a one-element tensor, as double.
  double item() const;

 private:
  void* checked_data(DType requested) const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  Shape strides_;
  std::int64_t offset_ = 0;  // in elements
  DType dtype_ = DType::Float32;
};

}  // namespace shardgrad
