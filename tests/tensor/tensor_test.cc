#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>
#include <utility>
#include <vector>

#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape);
}

using Floats = std::vector<float>;

TEST(Tensor, DefaultIsUndefined) {
  const Tensor tensor;
  EXPECT_FALSE(tensor.defined());
  EXPECT_EQ(error_of([&] { tensor.data<float>(); }), "[Tensor::data] the tensor is undefined");
}

TEST(Tensor, EmptyHasShapeStridesAndDtype) {
  const Tensor tensor = Tensor::empty({2, 3, 5}, DType::Float64);
  EXPECT_EQ(tensor.shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(tensor.strides(), (Shape{15, 5, 1}));
  EXPECT_EQ(tensor.dtype(), DType::Float64);
  EXPECT_EQ(tensor.device(), Device{});
  EXPECT_EQ(tensor.numel(), 30);
  EXPECT_EQ(tensor.rank(), 3);
  EXPECT_EQ(tensor.size(-1), 5);
  EXPECT_EQ(tensor.stride(-2), 5);
  EXPECT_TRUE(tensor.is_contiguous());
}

TEST(Tensor, ScalarAndNoElements) {
  const Tensor scalar = Tensor::full({}, 2.5);
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_EQ(scalar.item(), 2.5);
  const Tensor nothing = Tensor::zeros({3, 0});
  EXPECT_EQ(nothing.numel(), 0);
  EXPECT_TRUE(nothing.is_contiguous());
  EXPECT_EQ(nothing.clone().to_vector<float>(), Floats{});
}

TEST(Tensor, ZerosFullAndLike) {
  EXPECT_EQ(Tensor::zeros({2, 2}).to_vector<float>(), (Floats{0, 0, 0, 0}));
  EXPECT_EQ(Tensor::full({3}, -7, DType::Int32).to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{-7, -7, -7}));
  const Tensor transposed = counting({2, 3}).transpose(0, 1);
  const Tensor like = Tensor::zeros_like(transposed);
  EXPECT_EQ(like.shape(), (Shape{3, 2}));
  EXPECT_TRUE(like.is_contiguous());
  EXPECT_FALSE(like.shares_storage_with(transposed));
}

TEST(Tensor, FromChecksTheCount) {
  EXPECT_EQ(error_of([] {
              Tensor::from(Floats{1, 2, 3}, {2, 2});
            }),
            "[Tensor::from] 3 values do not fill shape [2, 2]");
  EXPECT_THAT(error_of([] { Tensor::empty({2, -1}); }), HasSubstr("[2, -1]"));
}

TEST(Tensor, DataChecksTheDtype) {
  const Tensor tensor = Tensor::zeros({2});
  EXPECT_EQ(error_of([&] { tensor.data<double>(); }),
            "[Tensor::data] the tensor holds float32, not float64");
}

TEST(Tensor, CopiesOfTheHandleShareMemory) {
  Tensor first = counting({4});
  const Tensor second = first;
  first.data<float>()[2] = 9.0f;
  EXPECT_EQ(second.to_vector<float>(), (Floats{0, 1, 9, 3}));
}

TEST(Tensor, ReshapeIsAView) {
  Tensor matrix = counting({2, 6});
  const Tensor view = matrix.reshape({3, -1});
  EXPECT_EQ(view.shape(), (Shape{3, 4}));
  EXPECT_EQ(view.strides(), (Shape{4, 1}));
  EXPECT_TRUE(view.shares_storage_with(matrix));
  matrix.data<float>()[5] = 50.0f;
  EXPECT_EQ(view.to_vector<float>()[5], 50.0f);
}

TEST(Tensor, ReshapeErrors) {
  const Tensor matrix = counting({2, 6});
  EXPECT_EQ(error_of([&] {
              matrix.reshape({5, 2});
            }),
            "[Tensor::reshape] shape [2, 6] holds 12 elements, not 10 of [5, 2]");
  EXPECT_THAT(error_of([&] { matrix.reshape({5, -1}); }), HasSubstr("holds 12 elements"));
  EXPECT_THAT(error_of([&] { matrix.reshape({-1, -1}); }), HasSubstr("more than one extent"));
  EXPECT_THAT(error_of([&] { matrix.transpose(0, 1).reshape({12}); }),
              HasSubstr("call contiguous() first"));
}

TEST(Tensor, SliceIsAView) {
  Tensor matrix = counting({3, 4});
  Tensor columns = matrix.slice(1, 1, 2);
  EXPECT_EQ(columns.shape(), (Shape{3, 2}));
  EXPECT_EQ(columns.strides(), (Shape{4, 1}));
  EXPECT_FALSE(columns.is_contiguous());
  EXPECT_EQ(columns.to_vector<float>(), (Floats{1, 2, 5, 6, 9, 10}));
  columns.fill(-1.0);
  EXPECT_EQ(matrix.to_vector<float>(), (Floats{0, -1, -1, 3, 4, -1, -1, 7, 8, -1, -1, 11}));
}

TEST(Tensor, SliceOfRowsIsContiguous) {
  const Tensor rows = counting({3, 4}).slice(0, 1, 2);
  EXPECT_TRUE(rows.is_contiguous());
  EXPECT_EQ(rows.reshape({8}).to_vector<float>(), (Floats{4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(rows.slice(-1, 3, 1).slice(0, 1, 1).item(), 11.0);
}

TEST(Tensor, SliceErrors) {
  const Tensor matrix = counting({3, 4});
  EXPECT_EQ(error_of([&] { matrix.slice(1, 2, 3); }),
            "[Tensor::slice] [2, 5) is outside dim 1 of shape [3, 4]");
  EXPECT_THAT(error_of([&] { matrix.slice(0, -1, 2); }), HasSubstr("[-1, 1)"));
  EXPECT_THAT(error_of([&] { matrix.slice(2, 0, 1); }), HasSubstr("dim 2 is out of range"));
}

TEST(Tensor, TransposeIsAView) {
  const Tensor matrix = counting({2, 3});
  const Tensor view = matrix.transpose(0, 1);
  EXPECT_EQ(view.shape(), (Shape{3, 2}));
  EXPECT_EQ(view.strides(), (Shape{1, 3}));
  EXPECT_FALSE(view.is_contiguous());
  EXPECT_EQ(view.to_vector<float>(), (Floats{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(view.transpose(-1, -2).is_contiguous());
}

TEST(Tensor, ContiguityIgnoresDimsOfOneElement) {
  EXPECT_TRUE(counting({1, 5}).transpose(0, 1).is_contiguous());
  EXPECT_TRUE(counting({4, 6}).slice(0, 2, 1).slice(1, 1, 3).is_contiguous());
}

TEST(Tensor, ContiguousCopiesOnlyWhereItMust) {
  const Tensor matrix = counting({2, 3});
  EXPECT_TRUE(matrix.contiguous().shares_storage_with(matrix));
  const Tensor dense = matrix.transpose(0, 1).contiguous();
  EXPECT_FALSE(dense.shares_storage_with(matrix));
  EXPECT_EQ(dense.strides(), (Shape{2, 1}));
}

TEST(Tensor, CloneIsIndependent) {
  Tensor original = counting({4});
  const Tensor copy = original.clone();
  original.fill(0.0);
  EXPECT_EQ(copy.to_vector<float>(), (Floats{0, 1, 2, 3}));
}

TEST(Tensor, ToConvertsOrReturnsItself) {
  const Tensor floats = Tensor::from(Floats{1.5f, -2.75f}, {2});
  EXPECT_TRUE(floats.to(DType::Float32).shares_storage_with(floats));
  EXPECT_EQ(floats.to(DType::Float64).to_vector<double>(), (std::vector<double>{1.5, -2.75}));
  EXPECT_EQ(floats.to(DType::Int32).to_vector<std::int32_t>(), (std::vector<std::int32_t>{1, -2}));
}

TEST(Tensor, CopyFromChecksShapes) {
  Tensor target = Tensor::zeros({2, 2});
  EXPECT_EQ(error_of([&] { target.copy_from(counting({4})); }),
            "[Tensor::copy_from] cannot copy shape [4] into shape [2, 2]");
  target.copy_from(counting({2, 2}).transpose(0, 1));
  EXPECT_EQ(target.to_vector<float>(), (Floats{0, 2, 1, 3}));
}

TEST(Tensor, ItemNeedsOneElement) {
  EXPECT_EQ(Tensor::from(Floats{4.0f}, {1, 1}).item(), 4.0);
  EXPECT_EQ(error_of([] { counting({2}).item(); }),
            "[Tensor::item] shape [2] does not hold exactly one element");
}

TEST(Tensor, SoleOwner) {
  Tensor tensor = counting({4});
  EXPECT_TRUE(tensor.is_sole_owner());
  {
    const Tensor view = tensor.slice(0, 1, 2);
    EXPECT_FALSE(tensor.is_sole_owner());
    EXPECT_FALSE(view.is_sole_owner());
  }
  EXPECT_TRUE(tensor.is_sole_owner());
  const Tensor moved = std::move(tensor);
  EXPECT_TRUE(moved.is_sole_owner());
}

TEST(Shape, RankAndText) {
  Shape shape{2, 3};
  shape.push_back(4);
  EXPECT_EQ(shape.to_string(), "[2, 3, 4]");
  EXPECT_EQ(shape.numel(), 24);
  EXPECT_EQ(Shape{}.to_string(), "[]");
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_THAT(error_of([] { Shape({1, 1, 1, 1, 1, 1, 1}); }), HasSubstr("maximum of 6"));
  EXPECT_THAT(error_of([&] { shape.checked_dim(-4, "test"); }), HasSubstr("[test] dim -4"));
}

}  // namespace
}  // namespace shardgrad
