#include "checkpoint/stored_dtype.h"

#include <cmath>
#include <cstring>
#include <map>

namespace shardgrad {
namespace {

constexpr const char* kName = "checkpoint";

// IEEE 754's binary16.
struct Float16 {
  std::uint16_t bits;

  Float16() = default;
  explicit Float16(double value) {
    std::uint64_t word;
    std::memcpy(&word, &value, sizeof(word));
    const auto sign = static_cast<std::uint16_t>(word >> 48 & 0x8000u);
    const double size = std::fabs(value);
    if (std::isnan(value)) {
      bits = sign | 0x7e00u;
    } else if (size >= 65520.0) {  // halfway between the largest number and what would follow
      bits = sign | 0x7c00u;
    } else if (size < 0x1p-14) {  // subnormal: a multiple of 2^-24; 2^10 of them is the next kind
      bits = sign | static_cast<std::uint16_t>(std::nearbyint(size * 0x1p24));
    } else {
      int exponent;
      const double fraction = std::frexp(size, &exponent);  // in [0.5, 1)
      // In units of the last of 11 significant bits; a carry runs into the exponent, rightly.
      const auto digits = static_cast<int>(std::nearbyint(fraction * 0x1p11)) - 0x400;
      bits = static_cast<std::uint16_t>(sign | (((exponent + 14) << 10) + digits));
    }
  }

  explicit operator double() const {
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 0x3ff;
    double size;
    if (exponent == 31) {
      size = fraction == 0 ? INFINITY : NAN;
    } else if (exponent == 0) {
      size = std::ldexp(fraction, -24);
    } else {
      size = std::ldexp(fraction + 0x400, exponent - 25);
    }
    return std::copysign(size, bits & 0x8000u ? -1.0 : 1.0);
  }
};

template <class Body>
void dispatch_stored(const std::string& name, const Body& body) {
  if (name == "F32") {
    body(float{});
  } else if (name == "F64") {
    body(double{});
  } else if (name == "BF16") {
    body(BFloat16{});
  } else if (name == "F16") {
    body(Float16{});
  } else {
    fail(kName, "elements of type {} cannot be converted; expected F32, F16, BF16 or F64", name);
  }
}

// Through double, which holds every value of the others, so that one rounding is made.
template <class From, class To>
void convert(const char* source, char* destination, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, source + i * sizeof(From), sizeof(From));
    const To to(static_cast<double>(from));
    std::memcpy(destination + i * sizeof(To), &to, sizeof(To));
  }
}

}  // namespace

std::int64_t stored_bytes(const std::string& name) {
  static const std::map<std::string, std::int64_t> bytes{
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
      {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8}};
  const auto found = bytes.find(name);
  return found == bytes.end() ? 0 : found->second;
}

bool is_convertible(const std::string& name) {
  return name == "F32" || name == "F16" || name == "BF16" || name == "F64";
}

std::string stored_name_of(DType dtype) {
  require(is_floating(dtype), kName, "dtype {} is not stored; expected a floating type",
          name_of(dtype));
  return dtype == DType::Float64 ? "F64" : dtype == DType::BFloat16 ? "BF16" : "F32";
}

void convert_elements(const void* source, const std::string& from, void* destination,
                      const std::string& to, std::int64_t count) {
  if (from == to) {
    if (count > 0)
      std::memcpy(destination, source, static_cast<std::size_t>(count * stored_bytes(from)));
    return;
  }
  dispatch_stored(from, [&](auto a) {
    dispatch_stored(to, [&](auto b) {
      convert<decltype(a), decltype(b)>(static_cast<const char*>(source),
                                        static_cast<char*>(destination), count);
    });
  });
}

}  // namespace shardgrad
