// Lists and converts models: `bazel run //tools:convert -- runs/x --out=model --dtype=F16`.
#include <filesystem>
#include <map>

#include "checkpoint/checkpoint_folder.h"
#include "tools/convert_model.h"
#include "tools/program.h"
#include "tools/tensor_table.h"

namespace shardgrad {
namespace {

struct Options {
  std::string input;
  ConvertOptions convert;
};

bool parse(int argc, const char* const* argv, Options& options) {
  CLI::App app(
      "Lists the tensors of a .safetensors file, of a checkpoint, or of a model that Hugging "
      "Face's\n"
      "transformers has saved; with --out, writes the model anew. A checkpoint of the training\n"
      "program is such a model already, beside what is needed to resume: this takes the model out\n"
      "of it, and changes dtype and files.\n"
      "Examples: runs/notes                      what is in the newest checkpoint of a run\n"
      "          runs/notes --out=model --dtype=F16 --max-shard-size=2GB",
      "convert");
  app.add_option("input", options.input,
                 "A .safetensors file, a folder with a model, or a run of the training program "
                 "(its newest checkpoint)")
      ->required();
  app.add_option("--out", options.convert.out,
                 "New folder for the model: config.json, model.safetensors and the tokenizer's "
                 "files, if there are any");
  app.add_option("--dtype", options.convert.dtype,
                 "Of the tensors written: F32, F16, BF16 or F64 (default: as they are)")
      ->check(CLI::IsMember({"F32", "F16", "BF16", "F64"}));
  app.add_option("--max-shard-size", options.convert.max_file_bytes,
                 "Begin another file before one has more bytes of tensors than this, such as 5GB; "
                 "an index lists them (default: one file)")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, std::int64_t>{
              {"B", 1}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}},
          CLI::AsNumberWithUnit::CASE_INSENSITIVE, "SIZE"));
  return parse_command_line(app, argc, argv);
}

// The file or folder with the tensors that `path` names.
std::string find_tensors(const std::string& path) {
  std::error_code error;
  const bool itself = !std::filesystem::is_directory(path, error) ||
                      std::filesystem::exists(path + "/model.safetensors", error) ||
                      std::filesystem::exists(path + "/model.safetensors.index.json", error);
  return itself ? path : find_checkpoint(path);
}

}  // namespace
}  // namespace shardgrad

int main(int argc, char** argv) {
  using namespace shardgrad;
  return run_program("convert", [&](Processes&) {
    Options options;
    if (!parse(argc, argv, options)) return;
    const std::string input = find_tensors(user_path(options.input));
    if (options.convert.out.empty()) {
      require(options.convert.dtype.empty() && options.convert.max_file_bytes == 0, "convert",
              "--dtype and --max-shard-size are of a model that is written; say where: --out=DIR");
      fmt::print("{}", tensor_table(TensorFiles(input)));
      return;
    }
    options.convert.out = user_path(options.convert.out);
    fmt::print("{}\n", convert_model(input, options.convert));
  });
}
