// What an operation says when it fails.
#pragma once

#include <string>

#include "tensor/error.h"

namespace shardgrad {

/// The message of the Error that `body()` throws, or "no error".
template <class Body>
std::string error_message(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace shardgrad
