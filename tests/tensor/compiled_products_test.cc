// What GCC makes of the small products: their speed lies in sums that stay in registers, for every
// processor that GCC knows, whichever compiles this.
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <tuple>

#include "tests/tools/run_program.h"

namespace shardgrad {
namespace {

constexpr const char* kSource = R"(
#include "tensor/kernels/small_products.h"
namespace shardgrad::cpu {
template void multiply_rows<true, float>(const LeftFactor<float>&, const float*, std::int64_t,
                                         std::int64_t, float*, std::int64_t, std::int64_t);
template void multiply_rows<false, double>(const LeftFactor<double>&, const double*, std::int64_t,
                                           std::int64_t, double*, std::int64_t, std::int64_t);
template void transpose_tile<float>(const float*, std::int64_t, float*, std::int64_t);
}
)";

// The instruction set, and the processor that GCC tunes for.
class CompiledProducts : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(CompiledProducts, KeepTheirVectorsInRegisters) {
  const auto [instructions, processor] = GetParam();
  const std::string root = tool_testing::tool_path("tensor/..");
  const std::string source = ::testing::TempDir() + "/products.cc";
  std::ofstream(source) << kSource;
  const tool_testing::Result compiled =
      tool_testing::run("/usr/bin/env",
                        {"g++", "-std=c++17", "-O3", std::string("-march=") + instructions,
                         std::string("-mtune=") + processor, "-I", root, "-S", "-o", "-", source},
                        root);
  ASSERT_EQ(compiled.status, 0) << compiled.err;

  const std::regex multiply_add("\tvfn?madd[0-9]+p[sd]\t[^\n]*%[yz]mm");
  const std::regex vector_on_stack("\tv[a-z0-9]+\t[^\n]*%r[bs]p\\)[^\n]*%[yz]mm");
  int multiply_adds = 0, transposes = 0;
  bool in_transpose = false;
  for (const std::string& line : tool_testing::lines(compiled.out)) {
    if (line.find("_ZN9shardgrad3cpu") == 0) {
      in_transpose = line.find("transpose_tile") != std::string::npos;
      transposes += in_transpose ? 1 : 0;
    }
    const bool multiplies = std::regex_search(line, multiply_add);
    multiply_adds += multiplies ? 1 : 0;
    if (multiplies || in_transpose) {
      EXPECT_FALSE(std::regex_search(line, vector_on_stack)) << line;
    }
  }
  EXPECT_GE(multiply_adds, 32);  // tiles of 4 rows and up to 4 vectors, or 2, in two types
  EXPECT_EQ(transposes, 1);
}

INSTANTIATE_TEST_SUITE_P(AnyProcessor, CompiledProducts,
                         ::testing::Combine(::testing::Values("x86-64-v3", "x86-64-v4"),
                                            ::testing::Values("generic", "haswell",
                                                              "skylake-avx512", "icelake-server",
                                                              "sapphirerapids", "znver3")));

}  // namespace
}  // namespace shardgrad
