// Failures of MPI's functions.
#pragma once

#include <mpi.h>

#include <string>

#include "tensor/error.h"

namespace shardgrad::mpi {

/// @throws Error naming `where` unless `result` is MPI_SUCCESS. For communicators whose errors are
/// returned, as those of MpiJob.
inline void check(int result, const char* where) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(result, text, &length);
  fail(where, "MPI: {}", std::string(text, static_cast<std::size_t>(length)));
}

}  // namespace shardgrad::mpi
