// convert: listing, dtypes, several files.
#include <nlohmann/json.hpp>

#include "checkpoint/gpt2_format.h"
#include "checkpoint/stored_dtype.h"
#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ConvertTest : public ToolTest {
 protected:
  void SetUp() override {
    ToolTest::SetUp();
    const Result result = run("train", tiny({"--out=run"}), folder_);
    ASSERT_EQ(result.status, 0) << result.err;
  }

  std::string convert(const std::vector<std::string>& arguments) {
    const Result result = run("convert", arguments, folder_);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }

  // The elements of a tensor of a folder, in order, as float64.
  std::vector<double> elements(const std::string& folder, const Gpt2Tensor& tensor) {
    const Gpt2Folder model(folder_ + "/" + folder);
    const StoredTensor& stored = model.stored(tensor);
    std::vector<double> values(static_cast<std::size_t>(stored.numel()));
    convert_elements(model.files().data(stored), stored.dtype, values.data(), "F64",
                     stored.numel());
    return values;
  }

  const std::string model_ = "run/checkpoints/step-000004";
};

TEST_F(ConvertTest, ListsTensors) {
  const std::vector<std::string> table = lines(convert({"run"}));
  ASSERT_EQ(table.size(), 19u) << "a header, the file, 16 tensors, the totals";
  EXPECT_THAT(table[0], ::testing::MatchesRegex("tensor +dtype +shape +bytes"));
  EXPECT_THAT(table[1], HasSubstr("step-000004/model.safetensors"));
  EXPECT_THAT(table[2], ::testing::MatchesRegex("transformer.wte.weight +F32 +.256, 32. +32,768"));
  EXPECT_EQ(table[18], "16 tensors in 1 file: 29,152 elements, 116,608 bytes");
  EXPECT_THAT(convert({model_ + "/optimizer.safetensors"}),
              HasSubstr("32 tensors in 1 file: 58,304 elements, 233,216 bytes"));
}

TEST_F(ConvertTest, ThereAndBackHasTheSameBytes) {
  EXPECT_EQ(convert({"run", "--out=many", "--max-shard-size=50KB"}),
            "wrote many: 16 tensors, 116,608 bytes in 3 files\n");
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/many/model-00003-of-00003.safetensors"));
  const json index = json::parse(content(folder_ + "/many/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 116608);
  EXPECT_EQ(index["weight_map"].size(), 16u);
  convert({"many", "--out=one"});
  EXPECT_TRUE(content(folder_ + "/one/model.safetensors") ==
              content(folder_ + "/" + model_ + "/model.safetensors"));
  EXPECT_EQ(json::parse(content(folder_ + "/one/config.json")),
            json::parse(content(folder_ + "/" + model_ + "/config.json")));
}

TEST_F(ConvertTest, ChangesDtypes) {
  const std::pair<const char*, double> dtypes[] = {
      {"F16", 0x1p-11}, {"BF16", 0x1p-8}, {"F64", 0.0}};  // largest relative errors of rounding
  const std::vector<Gpt2Tensor> tensors = gpt2_tensors(read_gpt_config(folder_ + "/" + model_));
  for (const auto& [dtype, error] : dtypes) {
    convert({"run", "--out=" + std::string(dtype), "--dtype=" + std::string(dtype)});
    for (const Gpt2Tensor& tensor : tensors) {
      const std::vector<double> found = elements(dtype, tensor);
      const std::vector<double> expected = elements(model_, tensor);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        // Below 2^-14 the spacing of F16 is 2^-24.
        EXPECT_NEAR(found[i], expected[i],
                    std::abs(expected[i]) * error + (error > 0 ? 0x1p-25 : 0));
      }
    }
  }
  EXPECT_EQ(json::parse(content(folder_ + "/F16/config.json"))["torch_dtype"], "float16");
  EXPECT_THAT(convert({"F16"}), HasSubstr("29,152 elements, 58,304 bytes"));
}

// Of F16, every number, and every halfway point between two of them, which goes to the even one.
TEST(StoredDtypeTest, Float16RoundsToTheNearestEven) {
  const auto to = [](double value, const char* from, const char* dtype) {
    std::uint16_t bits = 0;
    const float single = static_cast<float>(value);
    convert_elements(from[1] == '3' ? static_cast<const void*>(&single) : &value, from, &bits,
                     dtype, 1);
    return bits;
  };
  double before = 0.0;
  for (std::uint16_t bits = 0; bits <= 0x7c00; ++bits) {
    double value = 0.0;
    convert_elements(&bits, "F16", &value, "F64", 1);
    if (bits == 0x7c00) {
      EXPECT_TRUE(std::isinf(value));
      value = 65536.0;  // what would come next
    }
    EXPECT_EQ(to(value, "F64", "F16"), bits);
    EXPECT_EQ(to(-value, "F32", "F16"), bits | 0x8000);
    if (bits > 0) {
      const double halfway = (value + before) / 2;
      EXPECT_EQ(to(halfway, "F32", "F16"), bits % 2 == 0 ? bits : bits - 1) << bits;
      EXPECT_EQ(to(std::nextafter(halfway, 1e9), "F64", "F16"), bits);
      EXPECT_EQ(to(std::nextafter(halfway, 0.0), "F64", "F16"), bits - 1);
    }
    before = value;
  }
  EXPECT_EQ(to(NAN, "F64", "F16") & 0x7c00, 0x7c00);
  EXPECT_NE(to(NAN, "F64", "F16") & 0x3ff, 0);
}

TEST_F(ConvertTest, BadInput) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& message) {
    expect_error(run("convert", arguments, folder_), "convert", message);
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/new"));
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/new.partial"));
  };
  refused({}, "input is required");
  refused({"gone"}, "gone: No such file or directory");
  refused({"text.txt"}, "text.txt says at offset 0 that its header has");
  refused({"run", "--dtype=F16"}, "say where: --out=DIR");
  refused({"run", "--out=run"}, "run exists; remove it, or choose another --out");
  refused({"run", "--out=new", "--dtype=F17"}, "--dtype: F17 not in");
  refused({model_ + "/optimizer.safetensors", "--out=new"}, "is no folder; expected one with");
  std::filesystem::resize_file(folder_ + "/" + model_ + "/model.safetensors", 5000);
  refused({"run", "--out=new"}, "model.safetensors");
  EXPECT_EQ(run("convert", {"--help"}, folder_).status, 0);
}

}  // namespace
}  // namespace shardgrad::tool_testing
