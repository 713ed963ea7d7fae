// nvcuda::wmma against loops, for both operand types, all layouts and accumulators in memory.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <random>

#include "tests/simt/simt_testing.h"

namespace simt {
namespace {

namespace wmma = nvcuda::wmma;
using ::testing::HasSubstr;

constexpr int kSize = 16;
constexpr unsigned kLd = 24;
constexpr int kWarps = 2;

/// Each warp: d = a b + c, for a matrix of its own.
template <class T, class LayoutA, class LayoutB, bool kAccumulatorByRow>
__global__ void multiply(const T* a, const T* b, float* c) {
  constexpr wmma::layout_t kOrder = kAccumulatorByRow ? wmma::mem_row_major : wmma::mem_col_major;
  const size_t offset = threadIdx.x / 32 * kSize * kLd;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, T, LayoutA> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, T, LayoutB> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::load_matrix_sync(left, a + offset, kLd);
  wmma::load_matrix_sync(right, b + offset, kLd);
  wmma::load_matrix_sync(sum, c + offset, kLd, kOrder);
  for (int i = 0; i < sum.num_elements; ++i) sum.x[i] *= 2;
  wmma::mma_sync(sum, left, right, sum);
  wmma::mma_sync(sum, left, right, sum);
  wmma::store_matrix_sync(c + offset, sum, kLd, kOrder);
}

template <class T>
std::vector<T> random_matrix(unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> whole(-4, 4);  // sums of their products are exact
  std::vector<T> values;
  for (size_t i = 0; i < kWarps * kSize * kLd; ++i)
    values.push_back(static_cast<float>(whole(random)));
  return values;
}

template <class T>
class Wmma : public SimtTest {
 protected:
  template <class LayoutA, class LayoutB, bool kAccumulatorByRow>
  void check() {
    const auto a = random_matrix<T>(1), b = random_matrix<T>(2);
    const auto c = random_matrix<float>(3);
    DeviceArray<T> device_a(a), device_b(b);
    for (const uint64_t seed : {0, 1, 2}) {
      set_seed(seed);
      DeviceArray<float> device_c(c);
      launch("wmma", 1, kWarps * 32, 0, multiply<T, LayoutA, LayoutB, kAccumulatorByRow>,
             device_a.data(), device_b.data(), device_c.data());
      compare<std::is_same_v<LayoutA, wmma::row_major>, std::is_same_v<LayoutB, wmma::row_major>>(
          a, b, c, device_c.get(), kAccumulatorByRow);
    }
  }

 private:
  static size_t place(int warp, int row, int column, bool by_row) {
    return static_cast<size_t>(
        warp * kSize * static_cast<int>(kLd) +
        (by_row ? row * static_cast<int>(kLd) + column : column * static_cast<int>(kLd) + row));
  }
  template <bool kARow, bool kBRow>
  static void compare(const std::vector<T>& a, const std::vector<T>& b, const std::vector<float>& c,
                      const std::vector<float>& d, bool by_row) {
    for (int warp = 0; warp < kWarps; ++warp) {
      for (int i = 0; i < kSize; ++i) {
        for (int j = 0; j < kSize; ++j) {
          float want = 2 * c[place(warp, i, j, by_row)];
          for (int k = 0; k < kSize; ++k) {
            want += 2 * static_cast<float>(a[place(warp, i, k, kARow)]) *
                    static_cast<float>(b[place(warp, k, j, kBRow)]);
          }
          ASSERT_EQ(d[place(warp, i, j, by_row)], want) << warp << ", " << i << ", " << j;
        }
      }
    }
  }
};

using Types = ::testing::Types<__nv_bfloat16, __half>;
TYPED_TEST_SUITE(Wmma, Types);

TYPED_TEST(Wmma, RowAndRow) { this->template check<wmma::row_major, wmma::row_major, true>(); }
TYPED_TEST(Wmma, RowAndColumn) { this->template check<wmma::row_major, wmma::col_major, true>(); }
TYPED_TEST(Wmma, ColumnAndRow) { this->template check<wmma::col_major, wmma::row_major, false>(); }
TYPED_TEST(Wmma, ColumnAndColumn) {
  this->template check<wmma::col_major, wmma::col_major, false>();
}

__global__ void load_from(const __nv_bfloat16* a, unsigned ld) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> left;
  wmma::load_matrix_sync(left, a, ld);
}

using WmmaReports = SimtTest;

TEST_F(WmmaReports, MisalignedMatrix) {
  DeviceArray<__nv_bfloat16> a(kSize * kLd);
  launch("wmma_odd", 1, 32, 0, load_from, a.data() + 8, kLd);
  EXPECT_THAT(take_report(), HasSubstr("is not aligned to 32 bytes, at tests/simt/wmma_test.cc:"));
}

TEST_F(WmmaReports, OddStride) {
  DeviceArray<__nv_bfloat16> a(kSize * kLd);
  launch("wmma_stride", 1, 32, 0, load_from, a.data(), 20u);
  EXPECT_THAT(take_report(), HasSubstr("a stride of 20 elements is not a multiple of 16 bytes"));
}

}  // namespace
}  // namespace simt
