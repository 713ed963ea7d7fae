// Communicator: the collectives that a group of ranks performs together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "parallel/background_threads.h"
#include "tensor/tensor.h"

namespace shardgrad {

enum class ReduceOp { Sum, Max };

/// Calls and payload bytes of one kind of collective, as this rank saw them. A payload is the size
/// of the whole message: of the reduced tensor, or of the gathered one.
struct CollectiveCount {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;

  CollectiveCount operator+(const CollectiveCount& other) const {
    return {calls + other.calls, bytes + other.bytes};
  }
  CollectiveCount operator-(const CollectiveCount& other) const {
    return {calls - other.calls, bytes - other.bytes};
  }
};

/// What a rank has communicated so far. Groups of one rank communicate nothing.
struct CommunicationStats {
  CollectiveCount all_reduce;
  CollectiveCount all_gather;
  CollectiveCount reduce_scatter;
  CollectiveCount broadcast;
  CollectiveCount send_receive;

  CommunicationStats operator+(const CommunicationStats& other) const {
    return {all_reduce + other.all_reduce, all_gather + other.all_gather,
            reduce_scatter + other.reduce_scatter, broadcast + other.broadcast,
            send_receive + other.send_receive};
  }
  CommunicationStats operator-(const CommunicationStats& other) const {
    return {all_reduce - other.all_reduce, all_gather - other.all_gather,
            reduce_scatter - other.reduce_scatter, broadcast - other.broadcast,
            send_receive - other.send_receive};
  }
};

/// A group of ranks, seen from one of them. Every rank of the group makes the same calls in the
/// same order, with tensors of the same shape and dtype, from one thread at a time. Tensors are
/// contiguous. Sums are formed in one order, so every rank holds the same bits after an all_reduce,
/// and a run repeats bit for bit: the order of the ranks, but in NCCL, which has its own. Sums of
/// bfloat16 are rounded once. A group of one rank does no work beyond filling its outputs.
///
/// A call on CUDA tensors is queued in the calling thread's stream, as a kernel is: it returns when
/// its work may still be to come, and what the thread queues after it comes after it.
///
/// If a rank fails, every call of the others throws Error naming that rank and its message, also
/// calls that are already waiting. Messages name ranks by their number in the world.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  /// x = reduction of x over the ranks, in place.
  void all_reduce(Tensor& x, ReduceOp op = ReduceOp::Sum);

  /// output = the inputs of all ranks one after the other, in rank order: with an input [n, ...] an
  /// output [world_size * n, ...]. In place when input is this rank's part of output.
  void all_gather(const Tensor& input, Tensor& output);

  /// output = this rank's part (of world_size equal parts along dim 0) of the sum of the inputs. In
  /// place when output is that part of input.
  void reduce_scatter(const Tensor& input, Tensor& output);

  /// x = the x of rank `root`, in place.
  void broadcast(Tensor& x, int root);

  /// Sends x to `destination`, which calls receive with the same shape. Returns when x may be
  /// reused, which may be as late as when it has arrived: of two ranks that exchange tensors, one
  /// receives first.
  void send(const Tensor& x, int destination);
  void receive(Tensor& x, int source);

  /// Returns when every rank has called it. Waits for no device.
  void barrier();

  /// New groups of the ranks that pass the same `color`, ordered by (key, rank). Every rank calls
  /// it.
  /// @throws Error when `color` is negative.
  std::unique_ptr<Communicator> split(int color, int key);

  /// The rank's threads that outlive what started them: the same for all groups that come of one by
  /// splitting. Joined by the launcher when the rank has ended, and the others know how.
  BackgroundThreads& background_threads() { return *background_threads_; }

  /// Ends the present and future calls of every rank of the world, in whichever group, with the
  /// Error `rank R failed: reason`, where R is this rank. The first reason wins. Called by the
  /// launcher when this rank throws.
  virtual void abort(const std::string& reason) noexcept = 0;

  /// Throws what has become of calls that have returned already. Called by the launcher when the
  /// rank is done, and the work in its stream.
  virtual void finish() {}

  const CommunicationStats& stats() const { return stats_; }
  void reset_stats() { stats_ = {}; }

 protected:
  // Called with checked arguments, and (but for do_split) only in groups of two ranks or more.
  virtual void do_all_reduce(Tensor& x, ReduceOp op) = 0;
  virtual void do_all_gather(const Tensor& input, Tensor& output) = 0;
  virtual void do_reduce_scatter(const Tensor& input, Tensor& output) = 0;
  virtual void do_broadcast(Tensor& x, int root) = 0;
  virtual void do_send(const Tensor& x, int destination) = 0;
  virtual void do_receive(Tensor& x, int source) = 0;
  virtual void do_barrier() = 0;
  virtual std::unique_ptr<Communicator> do_split(int color, int key) = 0;

 private:
  CommunicationStats stats_;
  std::shared_ptr<BackgroundThreads> background_threads_ = std::make_shared<BackgroundThreads>();
};

}  // namespace shardgrad
