// What a rank does around its body, whether it is a thread or a process.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "parallel/communicator_backend.h"
#include "tensor/parallel_for.h"

namespace shardgrad {

/// Runs `body` with the communicator of a rank on `device`, and waits for what it has queued there.
/// `communicator` outlives what is thrown: the others have to know of it before it ends.
void run_rank(CommunicatorBackend backend, Device device, std::unique_ptr<HostCommunicator> host,
              std::unique_ptr<Communicator>& communicator,
              const std::function<void(Communicator&)>& body);

/// What an exception says.
std::string message_of(const std::exception_ptr& exception);

/// Sets the intra-op threads of this thread while it lives.
class IntraOpThreadsScope {
 public:
  explicit IntraOpThreadsScope(int threads) : before_(intra_op_threads()) {
    set_intra_op_threads(threads);
  }
  ~IntraOpThreadsScope() { set_intra_op_threads(before_); }
  IntraOpThreadsScope(const IntraOpThreadsScope&) = delete;
  IntraOpThreadsScope& operator=(const IntraOpThreadsScope&) = delete;

 private:
  const int before_;
};

}  // namespace shardgrad
