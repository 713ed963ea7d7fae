// Malformed files are errors that say where; never a crash, never memory for what a file only
// claims to have.
#include <gmock/gmock.h>

#include <cstring>

#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_folder.h"
#include "checkpoint/gpt2_format.h"
#include "checkpoint/tensor_files.h"
#include "parallel/launch.h"
#include "tests/checkpoint/test_folder.h"
#include "tests/support/error_of.h"

namespace shardgrad {
namespace {

using ::testing::HasSubstr;

constexpr const char* kGolden = "tests/checkpoint/golden/";

std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, sizeof(length));
  return text + header + std::string(data_bytes, '\1');
}

class MalformedTest : public FolderTest {
 protected:
  std::string error_of_file(const std::string& text) {
    const std::string path = write("file.safetensors", text);
    const std::string error = error_of([&] { TensorFiles files(path); });
    if (!error.empty()) {
      EXPECT_THAT(error, HasSubstr("file.safetensors"));
    }
    return error;
  }

  std::string error_of_header(const std::string& header, std::size_t data_bytes = 8) {
    return error_of_file(file_of(header, data_bytes));
  }

  // A copy of a golden model in the test's folder.
  std::string copy_of(const std::string& name) {
    std::filesystem::remove_all(in(name));
    std::filesystem::copy(kGolden + name, in(name));
    return in(name);
  }

  static void replace(const std::string& path, const std::string& from, const std::string& to) {
    std::string text = content(path);
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    std::ofstream(path, std::ios::binary) << text.replace(at, from.size(), to);
  }

  static std::string error_of_folder(const std::string& folder) {
    return error_of([&] { Gpt2Folder model(folder); });
  }
};

TEST_F(MalformedTest, SafetensorsThatAreGood) {
  EXPECT_EQ(error_of_header("{}", 0), "");
  EXPECT_EQ(error_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )"), "");
  EXPECT_EQ(error_of_header(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
                            R"("a":{"dtype":"I8","shape":[2,2],"data_offsets":[0,4]},)"
                            R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[4,4]},)"
                            R"("__metadata__":{"format":"pt"}})"),
            "");
}

TEST_F(MalformedTest, SafetensorsHeaders) {
  EXPECT_THAT(error_of_file(""), HasSubstr("has 0 bytes; expected at least the 8"));
  EXPECT_THAT(error_of_file("1234567"), HasSubstr("has 7 bytes"));
  EXPECT_THAT(error_of_file(std::string(8, '\xff')), HasSubstr("at offset 0 that its header has"));
  const std::string good = file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    EXPECT_NE(error_of_file(good.substr(0, bytes)), "") << bytes;
  }
  EXPECT_THAT(error_of_file(good + "x"), HasSubstr("ends at offset 70, but the file has 71 bytes"));
  EXPECT_THAT(error_of_header(R"({"a":)"), HasSubstr("is not valid JSON at offset 13"));
  EXPECT_THAT(error_of_header("[]"), HasSubstr("expected a JSON object at offset 8"));
  EXPECT_THAT(error_of_header("\"\xff\""), HasSubstr("is not valid JSON at offset 9"));
  EXPECT_THAT(error_of_header(std::string(100000, '[')), HasSubstr("is nested deeper than 64"));
  EXPECT_THAT(error_of_header(R"({"a":1e999})"), HasSubstr("that cannot be read"));
  EXPECT_THAT(error_of_header(R"({"__metadata__":{"a":1}})", 0), HasSubstr("expected a string"));
  EXPECT_THAT(error_of_header(R"({"__metadata__":[]})", 0), HasSubstr("__metadata__ is []"));
}

TEST_F(MalformedTest, SafetensorsTensors) {
  const auto entry = [&](const std::string& text) {
    return error_of_header("{\"a\":" + text + "}");
  };
  const auto tensor = [&](const std::string& dtype, const std::string& shape,
                          const std::string& offsets) {
    return entry(R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
                 "}");
  };
  EXPECT_EQ(tensor("\"F32\"", "[2]", "[0,8]"), "");
  EXPECT_THAT(entry("3"), HasSubstr("tensor \"a\" is 3; expected an object"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[2]})"), HasSubstr("has no \"data_offsets\""));
  EXPECT_THAT(tensor("\"F33\"", "[2]", "[0,8]"), HasSubstr("has the dtype \"F33\""));
  EXPECT_THAT(tensor("7", "[2]", "[0,8]"), HasSubstr("has the dtype 7"));
  EXPECT_THAT(tensor("\"F32\"", "[3]", "[0,8]"), HasSubstr("is F32 [3], which is not what its 8"));
  EXPECT_THAT(tensor("\"F32\"", "2", "[0,8]"), HasSubstr("has the shape 2"));
  EXPECT_THAT(tensor("\"F32\"", "[-2]", "[0,8]"), HasSubstr("has the shape [-2]"));
  EXPECT_THAT(tensor("\"F32\"", "[2.0]", "[0,8]"), HasSubstr("has the shape [2.0]"));
  EXPECT_THAT(tensor("\"F32\"", "[18446744073709551615]", "[0,8]"), HasSubstr("has the shape"));
  // 2^62 x 4 bytes and 2^63 + 2 elements would wrap around to what the offsets say.
  EXPECT_THAT(tensor("\"F32\"", "[4611686018427387904,4]", "[0,0]"),
              HasSubstr("is not what its 0"));
  EXPECT_THAT(tensor("\"F32\"", "[4611686018427387906]", "[0,8]"), HasSubstr("is not what its 8"));
  EXPECT_THAT(tensor("\"F32\"", "[2]", "[0,9]"), HasSubstr("has the data_offsets [0, 9]"));
  EXPECT_THAT(tensor("\"F32\"", "[2]", "[8,0]"), HasSubstr("has the data_offsets [8, 0]"));
  EXPECT_THAT(tensor("\"F32\"", "[2]", "[0]"), HasSubstr("has the data_offsets [0]"));
  EXPECT_THAT(tensor("\"F32\"", "[2]", "[0,9223372036854775807]"), HasSubstr("the data_offsets"));
  EXPECT_THAT(tensor("\"F32\"", "[1]", "[4,8]"), HasSubstr("nothing is said of the bytes from"));
  EXPECT_THAT(tensor("\"F32\"", "[1]", "[0,4]"), HasSubstr("but the file has"));
  EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                              R"("b":{"dtype":"I8","shape":[6],"data_offsets":[2,8]}})"),
              HasSubstr("inside another one"));
  EXPECT_THAT(error_of_header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                              R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
              HasSubstr("has the key \"a\" twice"));
  EXPECT_THAT(error_of_header(R"({"a\n":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
              HasSubstr("control character"));
}

TEST_F(MalformedTest, Configurations) {
  const auto with = [&](const char* from, const char* to) {
    const std::string folder = copy_of("tied");
    replace(folder + "/config.json", from, to);
    return error_of_folder(folder);
  };
  EXPECT_THAT(with("{", "["), HasSubstr("tied/config.json is not valid JSON at offset"));
  EXPECT_THAT(with("\"gpt2\"", "\"llama\""), HasSubstr("model_type \"llama\"; expected \"gpt2\""));
  EXPECT_THAT(with("\"gpt2\"", "null"), HasSubstr("\"model_type\": null; expected a string"));
  EXPECT_THAT(with("\"n_layer\"", "\"n_lager\""), HasSubstr("has no \"n_layer\""));
  EXPECT_THAT(with("\"n_layer\": 2", "\"n_layer\": 1000000000"),
              HasSubstr("\"n_layer\": 1000000000"));
  EXPECT_THAT(with("\"n_layer\": 2", "\"n_layer\": 3"),
              HasSubstr("no tensor transformer.h.2.ln_1"));
  EXPECT_THAT(with("\"n_layer\": 2", "\"n_layer\": 1"), HasSubstr("\"transformer.h.1."));
  EXPECT_THAT(with("\"n_layer\": 2", "\"n_layer\": 2.5"), HasSubstr("2.5; expected an integer"));
  EXPECT_THAT(with("\"n_head\": 4", "\"n_head\": 5"), HasSubstr("not divisible by n_heads 5"));
  EXPECT_THAT(with("\"n_inner\": 40", "\"n_inner\": null"),
              HasSubstr("expected F32, F16, BF16 or F64 [24, 96]"));
  EXPECT_THAT(with("gelu_new", "relu"), HasSubstr("activation_function \"relu\""));
  EXPECT_THAT(with("\"attn_pdrop\": 0.1", "\"attn_pdrop\": 0.2"), HasSubstr("make them equal"));
  EXPECT_THAT(with("\"scale_attn_weights\": true", "\"scale_attn_weights\": false"),
              HasSubstr("scale_attn_weights false; only true is supported"));
  EXPECT_THAT(with("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"),
              HasSubstr("no tensor lm_head.weight"));
  EXPECT_THAT(with("\"vocab_size\": 37", "\"vocab_size\": 36"), HasSubstr("[37, 24]; expected"));
}

TEST_F(MalformedTest, Indices) {
  const auto with = [&](const char* from, const char* to) {
    const std::string folder = copy_of("untied");
    replace(folder + "/model.safetensors.index.json", from, to);
    return error_of_folder(folder);
  };
  EXPECT_EQ(error_of_folder(copy_of("untied")), "");
  EXPECT_THAT(with("weight_map", "weight_mob"), HasSubstr("has no object \"weight_map\""));
  EXPECT_THAT(with("model-00003-of-00003.safetensors", "../file.safetensors"),
              HasSubstr("expected the name of a file beside it"));
  EXPECT_THAT(with("model-00003-of-00003.safetensors", "gone.safetensors"),
              HasSubstr("gone.safetensors: No such file"));
  EXPECT_THAT(with("\"lm_head.weight\"", "\"lm_tail.weight\""), HasSubstr("\"lm_tail.weight\""));
  EXPECT_THAT(with("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"),
              HasSubstr("which does not have it"));
  const std::string folder = copy_of("untied");
  std::filesystem::copy_file(folder + "/model-00001-of-00003.safetensors",
                             folder + "/model-00002-of-00003.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(error_of_folder(folder), HasSubstr("expected it once"));
  EXPECT_THAT(error_of([&] { TensorFiles files(in("")); }), HasSubstr("holds neither model.safe"));
  EXPECT_THAT(error_of([&] { TensorFiles files("gone"); }), HasSubstr("gone: No such file"));
}

class MalformedCheckpointTest : public MalformedTest {
 protected:
  void SetUp() override {
    MalformedTest::SetUp();
    run_ranks(1, 1, [&](Communicator& world) {
      GPTTraining training(config_, {}, world, {}, {});
      saved_ = save_checkpoint(training, {}, in("run"), 0);
    });
  }

  std::string load(const GPTConfig& config, DType dtype = DType::Float32) {
    return error_of([&] {
      run_ranks(1, 1, [&](Communicator& world) {
        GPTTraining training(config, {}, world, {dtype, Device{}}, {});
        load_checkpoint(training, saved_);
      });
    });
  }

  GPTConfig config_ = read_gpt_config(std::string(kGolden) + "tied");
  std::string saved_;
};

TEST_F(MalformedCheckpointTest, OtherModels) {
  EXPECT_EQ(load(config_), "");
  GPTConfig other = config_;
  other.n_heads = 2;
  EXPECT_THAT(load(other), HasSubstr("the model has n_heads 2, but that of"));
  other = config_;
  other.tie_embeddings = false;
  EXPECT_THAT(load(other), HasSubstr("the model has tie_embeddings false, but that of"));
  EXPECT_THAT(
      load(config_, DType::BFloat16),
      HasSubstr("is of a float32 model, but this one is bfloat16; choose the same --dtype"));
}

TEST_F(MalformedCheckpointTest, Files) {
  const std::string state = saved_ + "/trainer_state.json", text = content(state);
  replace(state, "\"version\": 1", "\"version\": 2");
  EXPECT_THAT(load(config_), HasSubstr("is of version 2 of the format; expected 1"));
  std::ofstream(state) << text;
  replace(state, "\"seed\": 0", "\"seed\": -1");
  EXPECT_THAT(load(config_), HasSubstr("\"seed\": -1; expected an integer"));
  std::ofstream(state) << text.substr(0, text.size() / 2);
  EXPECT_THAT(load(config_), HasSubstr("trainer_state.json is not valid JSON at offset"));
  std::ofstream(state) << text;
  EXPECT_EQ(load(config_), "");
  // As of before there was a guard against spikes.
  replace(state, "  \"spiked_steps\": 0,\n", "");
  EXPECT_EQ(load(config_), "");
  replace(state, "\"seed\": 0", "\"recent_losses\": [1, null], \"seed\": 0");
  EXPECT_THAT(load(config_), HasSubstr("\"recent_losses\" [1,null]; expected a list of at most"));
  replace(state, "[1, null]", "[1, 2]");
  EXPECT_THAT(load(config_), HasSubstr("has 2 \"recent_losses\" but 0 \"recent_gradient_norms\""));
  std::ofstream(state) << text;
  replace(saved_ + "/optimizer.safetensors", "first_moment.final_norm.bias",
          "first_moment.final_norm.bios");
  EXPECT_THAT(load(config_), HasSubstr("has no tensor first_moment.final_norm.bias"));
  std::filesystem::resize_file(saved_ + "/optimizer.safetensors", 9999);
  EXPECT_THAT(load(config_), HasSubstr("in the 3887 bytes that follow the header at offset 6112"));
  std::filesystem::remove(saved_ + "/optimizer.safetensors");
  EXPECT_THAT(load(config_), HasSubstr("optimizer.safetensors: No such file"));
}

TEST_F(MalformedCheckpointTest, WhatIsNoCheckpoint) {
  EXPECT_THAT(error_of([&] { find_checkpoint(in("none")); }),
              HasSubstr("there is no checkpoint at"));
  std::filesystem::create_directories(in("run/.step-000009.partial"));
  std::filesystem::create_directories(in("run/step-x"));
  std::filesystem::create_directories(in("run/step-7"));
  EXPECT_EQ(find_checkpoint(in("run")), saved_);
}

}  // namespace
}  // namespace shardgrad
