// How long something takes at best, on every rank at once.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>

#include "parallel/communicator.h"
#include "tools/device_options.h"

namespace shardgrad {

/// Seconds of the fastest of `repeats` calls of `action`, each from when every rank is ready to
/// when the last one and its `device` are done: a machine that others use, too, is slow now and
/// then. Every rank calls it.
template <class Action>
double fastest_seconds(Communicator& world, Device device, int repeats, const Action& action) {
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    wait_for(device);
    world.barrier();
    const auto start = std::chrono::steady_clock::now();
    action();
    wait_for(device);
    world.barrier();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

}  // namespace shardgrad
