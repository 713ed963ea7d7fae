#include "parallel/data_parallel.h"

#include <algorithm>

namespace shardgrad {
namespace {

constexpr const char* kName = "DataParallel";

// Every rank's part of a bucket begins at a cache line, of whatever dtype.
constexpr std::int64_t kPartMultiple = 64;

}  // namespace

struct DataParallel::Buckets {
  struct Bucket {
    FlatRange range;
    std::int64_t parameters = 0;  // that lie in it, in part or whole
    std::int64_t waiting = 0;     // of these, whose gradient is not complete
    CommunicationQueue::Ticket ticket;
  };

  Buckets(FlatParameters& parameters, Communicator& data_parallel,
          const DataParallelOptions& options)
      : gradients(parameters.gradients()), group(data_parallel), zero(options.zero_stage == 1) {
    const std::int64_t unit = region_multiple(group.world_size());
    const auto element_bytes = static_cast<std::int64_t>(size_of(gradients.dtype()));
    const std::int64_t units =
        std::max<std::int64_t>(options.bucket_bytes / element_bytes / unit, 1);
    const auto cut = [&](const FlatRange& region) {
      for (std::int64_t end = region.end; end > region.begin;) {
        const std::int64_t begin = std::max(region.begin, end - units * unit);
        buckets.emplace_back();
        buckets.back().range = {begin, end};
        end = begin;
      }
    };
    cut({0, parameters.decayed_numel()});
    cut({parameters.decayed_numel(), parameters.numel()});
    buckets_of.resize(parameters.parameters().size());
    for (std::size_t i = 0; i < buckets_of.size(); ++i) {
      for (std::size_t b = 0; b < buckets.size(); ++b) {
        if (parameters.range(i).intersection(buckets[b].range).length() == 0) continue;
        buckets_of[i].push_back(b);
        ++buckets[b].parameters;
      }
    }
  }

  // This rank's part of a bucket.
  FlatRange own_part(const FlatRange& range) const {
    if (!zero) return range;
    const std::int64_t length = range.length() / group.world_size();
    return {range.begin + group.rank() * length, range.begin + (group.rank() + 1) * length};
  }

  void begin() {
    next = 0;
    armed = true;
    for (Bucket& bucket : buckets) bucket.waiting = bucket.parameters;
  }

  void on_ready(std::size_t parameter) {
    if (!armed || queue == nullptr) return;
    for (const std::size_t b : buckets_of[parameter]) --buckets[b].waiting;
    while (next < buckets.size() && buckets[next].waiting == 0) reduce(buckets[next++]);
  }

  void finish() {
    if (!armed) next = 0;
    while (next < buckets.size()) reduce(buckets[next++]);
    if (queue != nullptr) {
      for (Bucket& bucket : buckets) queue->wait(bucket.ticket);
    }
    armed = false;
  }

  void reduce(Bucket& bucket) {
    Tensor whole = slice(gradients, bucket.range);
    Tensor part = slice(gradients, own_part(bucket.range));
    if (queue != nullptr) {
      bucket.ticket = zero ? queue->reduce_scatter(whole, part) : queue->all_reduce(whole);
    } else if (zero) {
      group.reduce_scatter(whole, part);
    } else {
      group.all_reduce(whole);
    }
  }

  static Tensor slice(const Tensor& flat, const FlatRange& range) {
    return flat.slice(0, range.begin, range.length());
  }

  const Tensor gradients;
  Communicator& group;
  const bool zero;
  CommunicationQueue* queue = nullptr;               // null: no overlap
  std::vector<Bucket> buckets;                       // in the order in which they are reduced
  std::vector<std::vector<std::size_t>> buckets_of;  // by parameter
  std::size_t next = 0;
  bool armed = false;
};

std::int64_t DataParallel::region_multiple(int data_parallel_size) {
  return kPartMultiple * data_parallel_size;
}

DataParallel::DataParallel(FlatParameters& parameters, Communicator& data_parallel,
                           const DataParallelOptions& options)
    : parameters_(parameters) {
  const int ranks = data_parallel.world_size();
  require(options.zero_stage == 0 || options.zero_stage == 1, kName,
          "zero stage {} does not exist here; choose 0 or 1", options.zero_stage);
  require(options.zero_stage == 0 || ranks > 1, kName,
          "zero stage 1 shares the optimizer's state out over dp ranks, but dp is 1; choose zero "
          "stage 0 or dp of 2 or more");
  require(options.bucket_bytes >= 1, kName, "bucket_bytes is {}; expected at least 1",
          options.bucket_bytes);
  if (ranks == 1) {
    owned_ = {{0, parameters.numel()}};
    return;
  }
  const std::int64_t multiple = region_multiple(ranks);
  require(parameters.decayed_numel() % multiple == 0 && parameters.numel() % multiple == 0, kName,
          "the flat parameters' regions end at {} and {}; expected multiples of "
          "region_multiple({}) = {}",
          parameters.decayed_numel(), parameters.numel(), ranks, multiple);
  buckets_ = std::make_shared<Buckets>(parameters, data_parallel, options);
  if (options.overlap) {
    queue_ = std::make_unique<CommunicationQueue>(data_parallel, parameters.gradients().device());
    buckets_->queue = queue_.get();
  }
  for (const Buckets::Bucket& bucket : buckets_->buckets) {
    owned_.push_back(buckets_->own_part(bucket.range));
  }
  std::sort(owned_.begin(), owned_.end(),
            [](const FlatRange& a, const FlatRange& b) { return a.begin < b.begin; });
  for (std::size_t i = 0; i < parameters.parameters().size(); ++i) {
    parameters.parameters()[i].parameter->variable.on_gradient_ready(
        [weak = std::weak_ptr<Buckets>(buckets_), i] {
          if (const std::shared_ptr<Buckets> buckets = weak.lock()) buckets->on_ready(i);
        });
  }
}

DataParallel::~DataParallel() = default;

bool DataParallel::is_sharded() const { return buckets_ != nullptr && buckets_->zero; }

void DataParallel::begin_last_backward() {
  if (buckets_ != nullptr) buckets_->begin();
}

void DataParallel::finish_gradients() {
  parameters_.complete_gradients();
  if (buckets_ != nullptr) buckets_->finish();
}

void DataParallel::gather(Tensor& flat) const {
  if (!is_sharded()) return;
  for (const Buckets::Bucket& bucket : buckets_->buckets) {
    Tensor whole = Buckets::slice(flat, bucket.range);
    buckets_->group.all_gather(Buckets::slice(flat, buckets_->own_part(bucket.range)), whole);
  }
}

CommunicationStats DataParallel::stats() const {
  return queue_ != nullptr ? queue_->stats() : CommunicationStats{};
}

std::int64_t sum_over_ranks(std::int64_t count, Communicator& group) {
  Tensor total = Tensor::full({1}, static_cast<double>(count), DType::Float64);
  group.all_reduce(total);
  return static_cast<std::int64_t>(total.item());
}

std::int64_t counted_targets(const Tensor& targets, std::int64_t ignore_index) {
  const Tensor dense = targets.contiguous();
  const std::int32_t* target = dense.data<std::int32_t>();
  return dense.numel() - std::count(target, target + dense.numel(), ignore_index);
}

}  // namespace shardgrad
