// Any bytes as a program's --config: either an Error, or options that are written as they were
// read.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tensor/error.h"
#include "tools/config_file.h"
#include "tools/program.h"

namespace {

using namespace shardgrad;

// A program with an option of each kind.
struct Program {
  Program() {
    app.add_option("--data", data);
    app.add_option("--lr", lr)->check(not_negative());
    app.add_option("--steps", steps)->check(at_least(1));
    app.add_flag("--save,!--no-save", save);
    add_config_option(app);
  }

  void parse(std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<const char*> line;
    for (const std::string& word : words) line.push_back(word.c_str());
    parse_command_line(app, static_cast<int>(line.size()), line.data());
  }

  CLI::App app;
  std::string data;
  double lr = 0.0;
  int steps = 1;
  bool save = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string written;
  Program read, again;
  try {
    read.parse(config_words(read.app, text, "run.toml"));
    written = config_text(read.app, {}, {});
  } catch (const Error&) {
    return 0;
  }
  again.parse(config_words(again.app, written, "again"));
  const bool same = read.data == again.data && read.lr == again.lr && read.steps == again.steps &&
                    read.save == again.save;
  if (!same) std::abort();
  return 0;
}
