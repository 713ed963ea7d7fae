#include "report/number_text.h"

#include <fmt/format.h>

#include <cmath>

namespace shardgrad {

std::string grouped_text(double number) {
  if (!(std::abs(number) < 1e15)) return fmt::format("{:.4g}", number);
  std::string text = fmt::format("{}", std::llround(number));
  for (std::size_t at = text.size(); at > 3 && text[at - 4] != '-';) text.insert(at -= 3, ",");
  return text;
}

std::string duration_text(double seconds) {
  const auto total = static_cast<std::int64_t>(seconds + 0.5);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{}:{:02} min", total / 60, total % 60);
  if (total < 48 * 3600) return fmt::format("{}:{:02} h", total / 3600, total % 3600 / 60);
  return fmt::format("{} d {} h", total / 86400, total % 86400 / 3600);
}

std::string number_text(double number) {
  if (!std::isfinite(number)) return "none";
  const double size = std::abs(number);
  if (size >= 1e4 && size < 1e15) return grouped_text(number);
  return fmt::format("{:.4g}", number);
}

std::string count_text(double count) {
  const char* const suffixes[] = {"", "k", "M", "G", "T"};
  int thousands = 0;
  for (; thousands < 4 && count >= 999.5 * (thousands > 0 ? 1.0 : 100.0); ++thousands)
    count /= 1000.0;
  if (thousands == 0) return grouped_text(count);
  const int decimals = count < 9.995 ? 2 : count < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", count, decimals, suffixes[thousands]);
}

}  // namespace shardgrad
