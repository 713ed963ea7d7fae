#include "parallel/communication_queue.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "parallel/background_threads.h"
#include "parallel/cuda/stream_event.h"
#include "tensor/allocator.h"
#include "tensor/cuda/runtime.h"
#include "tensor/parallel_for.h"

namespace shardgrad {
namespace {

constexpr const char* kName = "CommunicationQueue";

// Runs something that may throw CUDA's own exception.
template <class Body>
void with_errors(const Body& body) {
  try {
    body();
  } catch (const cuda::Failure& failure) {
    fail(kName, "{}", failure.text);
  }
}

}  // namespace

struct CommunicationQueue::Job {
  Tensor input, output;
  std::function<void(Communicator&, Job&)> work;
  cuda::StreamEvent queued;  // in the rank's stream: the tensors may be used
  cuda::StreamEvent done;    // in the queue's stream: the result is there
  bool finished = false;
  std::exception_ptr failure;
};

struct CommunicationQueue::State {
  std::unique_ptr<Communicator> group;
  Device device;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Job>> jobs;  // the first one is being worked on
  bool closed = false;
  CommunicationStats stats;
  std::thread thread;

  bool on_cuda() const { return device.type == DeviceType::Cuda; }
};

CommunicationQueue::CommunicationQueue(Communicator& group, Device device)
    : state_(std::make_shared<State>()), group_(group) {
  state_->device = device;
  if (group.world_size() == 1) return;
  state_->group = group.split(0, group.rank());
  state_->thread = std::thread([state = state_] { run(state); });
}

CommunicationQueue::~CommunicationQueue() {
  if (!state_->thread.joinable()) return;
  bool idle;
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->closed = true;
    idle = state_->jobs.empty();
  }
  state_->changed.notify_all();
  if (idle) {
    state_->thread.join();
  } else {
    group_.background_threads().adopt(std::move(state_->thread));
  }
}

// What the thread does. It has its own handle on the state: the queue may go away before it ends.
void CommunicationQueue::run(const std::shared_ptr<State>& state) {
  set_intra_op_threads(1);
  std::unique_lock<std::mutex> lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->closed || !state->jobs.empty(); });
    if (state->jobs.empty()) break;
    const std::shared_ptr<Job> job = state->jobs.front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      with_errors([&] {
        if (state->on_cuda()) {
          cuda::use_device(state->device.index);
          job->queued.wait();
        }
        job->work(*state->group, *job);
        if (state->on_cuda()) job->done.record(state->device.index);
      });
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    job->failure = failure;
    job->finished = true;
    state->stats = state->group->stats();
    state->jobs.pop_front();
    state->changed.notify_all();
  }
  lock.unlock();
  // What was queued on the device ends before the group that it belongs to.
  if (state->on_cuda()) {
    try {
      cuda::synchronize();
    } catch (...) {  // the rank's own thread meets the same failure
    }
  }
  state->group.reset();
  retire_thread();
}

CommunicationQueue::Ticket CommunicationQueue::submit(std::shared_ptr<Job> job) {
  if (state_->on_cuda()) {
    with_errors([&] { job->queued.record(state_->device.index); });
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->jobs.push_back(job);
  }
  state_->changed.notify_all();
  return Ticket(std::move(job));
}

CommunicationQueue::Ticket CommunicationQueue::all_reduce(Tensor x) {
  if (group_.world_size() == 1) return {};
  auto job = std::make_shared<Job>();
  job->output = std::move(x);
  job->work = [](Communicator& group, Job& self) { group.all_reduce(self.output); };
  return submit(std::move(job));
}

CommunicationQueue::Ticket CommunicationQueue::reduce_scatter(Tensor input, Tensor output) {
  if (group_.world_size() == 1) {
    group_.reduce_scatter(input, output);
    return {};
  }
  auto job = std::make_shared<Job>();
  job->input = std::move(input);
  job->output = std::move(output);
  job->work = [](Communicator& group, Job& self) { group.reduce_scatter(self.input, self.output); };
  return submit(std::move(job));
}

CommunicationQueue::Ticket CommunicationQueue::all_gather(Tensor input, Tensor output) {
  if (group_.world_size() == 1) {
    group_.all_gather(input, output);
    return {};
  }
  auto job = std::make_shared<Job>();
  job->input = std::move(input);
  job->output = std::move(output);
  job->work = [](Communicator& group, Job& self) { group.all_gather(self.input, self.output); };
  return submit(std::move(job));
}

void CommunicationQueue::wait(Ticket& ticket) {
  if (ticket.job_ == nullptr) return;
  const std::shared_ptr<Job> job = std::move(ticket.job_);
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->changed.wait(lock, [&] { return job->finished; });
  }
  if (job->failure) std::rethrow_exception(job->failure);
  if (state_->on_cuda()) with_errors([&] { job->done.wait(); });
}

CommunicationStats CommunicationQueue::stats() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->stats;
}

}  // namespace shardgrad
