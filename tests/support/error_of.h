// What an operation says when it fails.
#pragma once

#include <string>

#include "tensor/error.h"

namespace shardgrad {

/// The message of the Error that `body()` throws; empty when it throws none.
template <class Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace shardgrad
