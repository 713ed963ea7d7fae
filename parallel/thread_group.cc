#include "parallel/thread_group.h"

#include <utility>

namespace shardgrad {

std::shared_ptr<ThreadGroup> ThreadGroup::create(std::shared_ptr<ThreadWorld> world,
                                                 std::vector<int> world_ranks) {
  ThreadWorld& shared_world = *world;
  std::shared_ptr<ThreadGroup> group(new ThreadGroup(std::move(world), std::move(world_ranks)));
  shared_world.add(group);
  return group;
}

ThreadGroup::ThreadGroup(std::shared_ptr<ThreadWorld> world, std::vector<int> world_ranks)
    : world_(std::move(world)),
      world_ranks_(std::move(world_ranks)),
      barrier_(size(), world_->polls()),
      members_(world_ranks_.size()),
      rendezvous_(*this) {}

void ThreadGroup::meet(int rank, const RankCall& call) {
  if (barrier_.interrupted()) {
    world_->throw_interruption(call.name, world_rank(rank), world_ranks_);
  }
  Member& self = members_[rank];
  const std::uint64_t meeting = self.meetings + 1;
  self.calls[meeting % 2] = call;
  self.meetings = meeting;
  if (!barrier_.arrive_and_wait(world_->may_help(world_rank(rank)))) {
    world_->throw_interruption(call.name, world_rank(rank), world_ranks_);
  }
  const RankCall& first = call_of(0, rank);
  for (int other = 1; other < size(); ++other) {
    require_agreement(call.name, first, world_rank(0), call_of(other, rank), world_rank(other));
  }
}

const RankCall& ThreadGroup::call_of(int rank, int reader) const {
  return members_[rank].calls[members_[reader].meetings % 2];
}

void ThreadGroup::mark_ready(int rank, Device device) {
  if (device.type == DeviceType::Cuda) members_[rank].ready.record(device.index);
}

void ThreadGroup::begin_work(int rank) const {
  if (call_of(rank, rank).device.type == DeviceType::Cpu) return;
  for (int other = 0; other < size(); ++other) {
    if (other != rank) members_[other].ready.wait();
  }
}

void ThreadGroup::end_work(int rank) {
  const Device device = call_of(rank, rank).device;
  if (device.type == DeviceType::Cuda) members_[rank].done.record(device.index);
}

void ThreadGroup::wait_for_work(int rank) const {
  if (call_of(rank, rank).device.type == DeviceType::Cpu) return;
  for (int other = 0; other < size(); ++other) {
    if (other != rank) members_[other].done.wait();
  }
}

std::shared_ptr<ThreadGroup> ThreadGroup::subgroup(int rank, int color,
                                                   const std::vector<int>& world_ranks) {
  std::lock_guard<std::mutex> lock(forming_mutex_);
  const auto place = forming_.try_emplace({meetings(rank), color}).first;
  FormingGroup& forming = place->second;
  if (!forming.group) {
    forming.group = create(world_, world_ranks);
    forming.ranks_to_come = world_ranks.size();
  }
  std::shared_ptr<ThreadGroup> group = forming.group;
  if (--forming.ranks_to_come == 0) forming_.erase(place);
  return group;
}

void ThreadGroup::on_world_change() {
  bool broken = world_->failed();
  for (int world_rank : world_ranks_) broken = broken || world_->finished(world_rank);
  if (broken) barrier_.interrupt();
  rendezvous_.wake();
}

}  // namespace shardgrad
