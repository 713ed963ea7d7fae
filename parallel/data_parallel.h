// Data parallelism: copies of the model on different parts of the batch, whose gradients are
// summed.
#pragma once

#include <memory>
#include <vector>

#include "nn/optim/flat_parameters.h"
#include "parallel/communication_queue.h"

namespace shardgrad {

struct DataParallelOptions {
  /// Sharding of the optimizer over the data-parallel ranks (Rajbhandari et al., arXiv:1910.02054):
  /// 0: every rank updates all parameters; 1: each updates its part, of which alone it keeps the
  /// optimizer's state and master weights.
  int zero_stage = 0;
  /// Reduce a bucket of gradients as soon as they are ready, while the backward pass goes on.
  bool overlap = true;
  /// Bytes of gradients that are reduced together.
  std::int64_t bucket_bytes = 25 << 20;
};

/// Sums the gradients of a model over its copies. The flat gradient buffer is cut into buckets,
/// which need not end where a parameter does; each is reduced when the parameters in it are ready,
/// in an order that is the same on every rank: matrices from the last to the first, then vectors
/// (Li et al., "PyTorch Distributed", arXiv:2006.15704, section 3.2). With the overlap or without,
/// and in buckets of any size, the sums have the same bits (but with NCCL, which has its own order
/// of addition).
///
/// Losses are divided by the token count of the whole step, so gradients are summed, not averaged.
///
/// A step: begin_last_backward(), the last backward pass, finish_gradients(), the gradient norm
/// (see sharded_parameters.h), the optimizer on owned(), gather_parameters(). With one rank all
/// of these do nothing.
class DataParallel {
 public:
  /// What FlatParameters is to be made with, so that each of its regions can be shared out equally.
  static std::int64_t region_multiple(int data_parallel_size);

  /// `parameters`, made with region_multiple(), and `data_parallel` must outlive this. Every rank
  /// of `data_parallel` calls it.
  /// @throws Error for options that do not exist or have no meaning, or other region multiples.
  DataParallel(FlatParameters& parameters, Communicator& data_parallel,
               const DataParallelOptions& options = {});
  ~DataParallel();

  /// Before the last backward pass of a step, after which gradients only need to be summed over the
  /// ranks: from here on, buckets are reduced as they become ready.
  void begin_last_backward();

  /// Returns when every element of the flat gradients that this rank owns holds its sum over the
  /// data-parallel ranks; gradients that no backward pass has reached count as zero.
  void finish_gradients();

  /// After the optimizer: every rank gets the parameters that the others have updated.
  void gather_parameters() { gather(parameters_.values()); }

  /// `flat`, laid out as the flat buffers are, of which every rank has its owned() elements: gets
  /// those of the others. Nothing to do when every rank owns all.
  void gather(Tensor& flat) const;

  /// The elements of the flat buffers that this rank's optimizer updates; in order.
  const std::vector<FlatRange>& owned() const { return owned_; }

  /// Whether owned() differs from rank to rank.
  bool is_sharded() const;

  /// What the ranks have communicated beside the calls of `data_parallel` itself.
  CommunicationStats stats() const;

 private:
  struct Buckets;

  FlatParameters& parameters_;
  std::unique_ptr<CommunicationQueue> queue_;
  std::shared_ptr<Buckets> buckets_;  // shared with the hooks of the parameters
  std::vector<FlatRange> owned_;
};

/// The sum of `count` over the ranks of `group`. Waits for no device.
std::int64_t sum_over_ranks(std::int64_t count, Communicator& group);

/// How many of `targets` (int32, on the host) are not `ignore_index`.
std::int64_t counted_targets(const Tensor& targets, std::int64_t ignore_index = -100);

}  // namespace shardgrad
