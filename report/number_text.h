// Numbers as people read them.
#pragma once

#include <string>

namespace shardgrad {

/// `number`, rounded, as "-1,234,567"; "1e+20" where it has more digits than a double knows.
std::string grouped_text(double number);

/// "59 s", "12:34 min", "1:02 h" or "2 d 3 h".
std::string duration_text(double seconds);

/// About four digits: "1.399", "0.0012", "5e-05", "20,261"; "none" for what is no number.
std::string number_text(double number);

/// A count with k, M, G or T: "2,048", "2.87M".
std::string count_text(double count);

}  // namespace shardgrad
