// Work on the blocks of texts, on several threads.
#pragma once

#include <deque>
#include <future>
#include <utility>

#include "data/text_blocks.h"

namespace shardgrad {

/// Calls `work(block)` for each block, on `threads` threads, and `sink(result, bytes of the block)`
/// on the calling thread, in the order of the blocks. There are no more blocks in memory than
/// threads. What `work` throws is thrown from here.
template <class Work, class Sink>
void for_each_block(TextBlockReader reader, int threads, const Work& work, const Sink& sink) {
  using Result = decltype(work(std::declval<const TextBlock&>()));
  std::deque<std::pair<std::future<Result>, std::int64_t>> running;
  const auto finish_first = [&] {
    auto [result, bytes] = std::move(running.front());
    running.pop_front();
    sink(result.get(), bytes);
  };
  TextBlock block;
  while (reader.next(block)) {
    if (running.size() >= static_cast<std::size_t>(threads)) finish_first();
    const auto bytes = static_cast<std::int64_t>(block.bytes.size());
    running.emplace_back(
        std::async(std::launch::async, [&work, block = std::move(block)] { return work(block); }),
        bytes);
  }
  while (!running.empty()) finish_first();
}

}  // namespace shardgrad
