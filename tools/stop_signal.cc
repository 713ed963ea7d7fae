#include "tools/stop_signal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace shardgrad {
namespace {

// A signal handler can reach nothing else. Threads read it, so it is atomic; lock-free, so that a
// handler may write it.
std::atomic<int> requested{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) {
  if (requested.exchange(signal) != 0) _exit(128 + signal);
}

void handle_with(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  requested = 0;
  handle_with(SIGINT, note);
  handle_with(SIGTERM, note);
  handle_with(SIGXFSZ, SIG_IGN);
}

StopSignals::~StopSignals() {
  handle_with(SIGINT, SIG_DFL);
  handle_with(SIGTERM, SIG_DFL);
  handle_with(SIGXFSZ, SIG_DFL);
}

bool stop_requested() { return requested != 0; }

}  // namespace shardgrad
