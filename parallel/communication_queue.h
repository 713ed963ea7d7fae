// CommunicationQueue: collectives that run while the rank computes.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace shardgrad {

/// A second thread of this rank that performs collectives, in the order in which they were queued,
/// on a group of its own, while the rank goes on computing. On CUDA devices it has a stream of its
/// own: a collective starts when the work is done that the rank had queued before it, and
/// wait() makes the rank's stream wait, not the host.
///
/// Every rank of the group queues the same collectives in the same order. The results are those of
/// the same calls on the group itself, bit for bit. In a group of one there is no thread.
///
/// Destroyed while a collective is still under way, as happens when the rank throws, it leaves the
/// thread to the launcher (see BackgroundThreads).
class CommunicationQueue {
 public:
  struct Job;

  /// One queued collective. It holds the tensors until wait().
  class Ticket {
   public:
    Ticket() = default;

   private:
    friend class CommunicationQueue;
    explicit Ticket(std::shared_ptr<Job> job) : job_(std::move(job)) {}
    std::shared_ptr<Job> job_;
  };

  /// Splits off a group of the ranks of `group`, each of which calls it. `device` is where the
  /// tensors will be. `group` must outlive the queue.
  explicit CommunicationQueue(Communicator& group, Device device = {});
  ~CommunicationQueue();
  CommunicationQueue(const CommunicationQueue&) = delete;
  CommunicationQueue& operator=(const CommunicationQueue&) = delete;

  /// Queue Communicator's functions of these names. Nobody may read what they write, or write
  /// either tensor, before wait().
  Ticket all_reduce(Tensor x);
  Ticket reduce_scatter(Tensor input, Tensor output);
  Ticket all_gather(Tensor input, Tensor output);

  /// Returns when the collective has been carried out (on CUDA devices, when it is queued: what the
  /// calling thread queues from now on comes after it). Once for each ticket; nothing to do for a
  /// default-constructed one. @throws whatever the collective threw.
  void wait(Ticket& ticket);

  /// What the queue's group has communicated so far, waited for or not.
  CommunicationStats stats() const;

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state);
  Ticket submit(std::shared_ptr<Job> job);

  std::shared_ptr<State> state_;
  Communicator& group_;
};

}  // namespace shardgrad
