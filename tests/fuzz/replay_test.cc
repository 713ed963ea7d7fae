// Gives a fuzz target every file of its corpus, each also cut off and with a byte changed, so that
// it runs where there is no libFuzzer. Usage: replay CORPUS_FOLDER.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_target.h"

namespace {

constexpr std::size_t kVariants = 64;  // of each kind, spread over a file

void give(const std::string& bytes) {
  // In a buffer of exactly that size, so that a sanitizer sees reads beyond it.
  const std::vector<std::uint8_t> data(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(data.data(), data.size());
}

}  // namespace

int main(int, char** argv) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    give(bytes);
    for (std::size_t i = 0; i < kVariants && !bytes.empty(); ++i) {
      const std::size_t at = bytes.size() * i / kVariants;
      give(bytes.substr(0, at));
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << i % 8));
      give(changed);
    }
    ++files;
  }
  std::printf("replayed %zu files\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus tests nothing
}
