// Small products and transposes against their definition, in integers that no order of additions
// rounds.
#include "tensor/kernels/small_products.h"

#include <gtest/gtest.h>

#include <vector>

namespace shardgrad::cpu {
namespace {

template <class T>
class SmallProductsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SmallProductsTest, Types);

// `count` small integers.
template <class T>
std::vector<T> integers(std::int64_t count, std::int64_t seed) {
  std::vector<T> numbers;
  for (std::int64_t n = 0; n < count; ++n) {
    numbers.push_back(static_cast<T>((n * n * 7 + seed * n + seed) % 19 - 9));
  }
  return numbers;
}

// Every number of vectors that a tile may be wide, and tiles one after another.
TYPED_TEST(SmallProductsTest, RowsOfEveryWidth) {
  using T = TypeParam;
  constexpr std::int64_t kDepth = 21, kMost = 9 * kVectorLanes<T>, kLeading = kMost + 3;
  const std::vector<T> a = integers<T>(kTileRows * kDepth, 1),
                       b = integers<T>(kDepth * kLeading, 2),
                       before = integers<T>(kTileRows * kLeading, 3);
  // `a` by rows, and by columns.
  for (const LeftFactor<T>& left :
       {LeftFactor<T>{a.data(), kDepth, 1}, LeftFactor<T>{a.data(), 1, kTileRows}}) {
    for (std::int64_t columns = 0; columns <= kMost; columns += kVectorLanes<T>) {
      std::vector<T> product = before, sum = before;
      multiply_rows<false, T>(left, b.data(), kLeading, kDepth, product.data(), kLeading, columns);
      multiply_rows<true, T>(left, b.data(), kLeading, kDepth, sum.data(), kLeading, columns);
      for (std::int64_t row = 0; row < kTileRows; ++row) {
        for (std::int64_t column = 0; column < kLeading; ++column) {
          T expected = 0;
          for (std::int64_t k = 0; k < kDepth; ++k) {
            expected += left.data[row * left.row_step + k * left.depth_step] *
                        b[static_cast<std::size_t>(k * kLeading + column)];
          }
          const auto place = static_cast<std::size_t>(row * kLeading + column);
          const bool written = column < columns;
          ASSERT_EQ(product[place], written ? expected : before[place]);
          ASSERT_EQ(sum[place], written ? before[place] + expected : before[place]);
        }
      }
    }
  }
}

TYPED_TEST(SmallProductsTest, TransposesATile) {
  using T = TypeParam;
  constexpr std::int64_t kCount = kVectorLanes<T>, kFrom = kCount + 3, kTo = kCount + 5;
  std::vector<T> from(kCount * kFrom), to(kCount * kTo, T(-1));
  for (std::size_t n = 0; n < from.size(); ++n) from[n] = static_cast<T>(n);
  transpose_tile(from.data(), kFrom, to.data(), kTo);
  for (std::int64_t row = 0; row < kCount; ++row) {
    for (std::int64_t column = 0; column < kTo; ++column) {
      const T expected = column < kCount ? static_cast<T>(column * kFrom + row) : T(-1);
      ASSERT_EQ(to[static_cast<std::size_t>(row * kTo + column)], expected);
    }
  }
}

}  // namespace
}  // namespace shardgrad::cpu
