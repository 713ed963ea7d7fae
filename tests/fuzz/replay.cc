// Gives a fuzz target every file of the folders on the command line; and each also cut off, and
// with a bit changed, at places spread over it.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kPlaces = 64;

void give(const std::string& text) {
  // In memory of exactly that size, so that a sanitizer sees what is read beyond it.
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text((std::istreambuf_iterator<char>(file)), {});
      give(text);
      for (std::size_t place = 0; place < kPlaces && !text.empty(); ++place) {
        const std::size_t at = text.size() * place / kPlaces;
        give(text.substr(0, at));
        std::string changed = text;
        changed[at] = static_cast<char>(changed[at] ^ (1 << place % 8));
        give(changed);
      }
      ++count;
    }
  }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
