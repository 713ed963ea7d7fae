#include <csignal>
#include <stdexcept>
#include <thread>

#include "parallel/communication_queue.h"
#include "tests/mpi/scenarios.h"

namespace shardgrad::mpi_testing {
namespace {

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

// Rank 1 throws; the others wait for it, in the world or in a group that it is not in.
void throw_in_collective(Processes& processes) {
  run(processes, [](Communicator& world) {
    if (world.rank() == 1) {
      sleep_ms(50);
      throw std::runtime_error("boom");
    }
    Tensor x = Tensor::zeros({100});
    world.all_reduce(x);
  });
}

void throw_outside_group(Processes& processes) {
  run(processes, [](Communicator& world) {
    const auto pair = world.split(world.rank() / 2, 0);
    if (world.rank() == 1) throw std::runtime_error("boom");
    Tensor x = Tensor::zeros({100});
    if (world.rank() == 2) world.receive(x, 0);
    if (world.rank() != 2) pair->all_reduce(x);
  });
}

// The others' calls throw the reason, as those of threads do.
void throw_is_heard(Processes& processes) {
  run(processes, [](Communicator& world) {
    if (world.rank() == 1) throw std::runtime_error("boom");
    Tensor x = Tensor::zeros({100});
    try {
      world.all_reduce(x);
    } catch (const Error& error) {
      fmt::print("heard: {}\n", error.what());
      std::fflush(stdout);
      throw;
    }
  });
}

// Rank 1 throws while both of its threads, and those of the others, are busy.
void throw_with_queue(Processes& processes) {
  run(processes, [](Communicator& world) {
    CommunicationQueue queue(world);
    for (int round = 0;; ++round) {
      Tensor x = Tensor::zeros({20000}), y = Tensor::zeros({1000});
      CommunicationQueue::Ticket ticket = queue.all_reduce(x);
      if (world.rank() == 1 && round == 20) throw std::runtime_error("boom");
      world.all_reduce(y);
      queue.wait(ticket);
    }
  });
}

// After the others have done all that they had to do.
void throw_at_the_end(Processes& processes) {
  run(processes, [](Communicator& world) {
    world.barrier();
    sleep_ms(100);
    if (world.rank() == 1) throw std::runtime_error("boom");
  });
}

void throw_everywhere(Processes& processes) {
  run(processes, [](Communicator&) { throw std::runtime_error("boom"); });
}

void throw_before_the_run(Processes&) { throw std::runtime_error("boom"); }

void throw_on_one_before_the_run(Processes& processes) {
  if (processes.place().rank == 1) throw std::runtime_error("boom");
  run(processes, [](Communicator& world) { world.barrier(); });
}

void caught(Processes& processes) {
  try {
    throw_in_collective(processes);
  } catch (const std::exception&) {
  }
}

void killed(Processes& processes) {
  run(processes, [](Communicator& world) {
    Tensor x = Tensor::zeros({100});
    world.all_reduce(x);
    if (world.rank() == 1) std::raise(SIGKILL);
    world.all_reduce(x);
  });
}

// The same while GPUs communicate: rank 1 throws or is killed at some point or other.
void throw_on_gpus(Processes& processes) {
  run_on_gpus(processes, [](Communicator& world) {
    Tensor x = Tensor::full({100000}, 1.0, DType::Float32, {DeviceType::Cuda, world.rank()});
    for (int round = 0;; ++round) {
      if (world.rank() == 1 && round == 5) throw std::runtime_error("boom");
      world.all_reduce(x);
    }
  });
}

// Rank 1 meets the others, and then cannot take part: they wait in NCCL.
void throw_inside_a_call_on_gpus(Processes& processes) {
  run_on_gpus(processes, [](Communicator& world) {
    const bool odd = world.rank() == 1;
    Tensor x = Tensor::full({100}, 1.0, DType::Float32, {DeviceType::Cuda, odd ? 0 : world.rank()});
    world.all_reduce(x);
    x.to(Device{});
    world.all_reduce(x);
  });
}

void killed_on_gpus(Processes& processes) {
  run_on_gpus(processes, [](Communicator& world) {
    Tensor x = Tensor::full({1000000}, 1.0, DType::Float32, {DeviceType::Cuda, world.rank()});
    world.all_reduce(x);
    std::thread killer;
    if (world.rank() == 1) {
      killer = std::thread([] {
        sleep_ms(100);
        std::raise(SIGKILL);
      });
    }
    for (;;) world.all_reduce(x);
  });
}

void early_return(Processes& processes) {
  run(processes, [](Communicator& world) {
    if (world.rank() == 1) return;
    Tensor x = Tensor::zeros({10});
    world.all_reduce(x);
  });
}

void early_return_from_group(Processes& processes) {
  run(processes, [](Communicator& world) {
    const auto group = world.split(0, -world.rank());
    Tensor x = Tensor::zeros({10});
    if (world.rank() == 0) group->receive(x, 0);
  });
}

// Ranks that nobody needs any more may go. For four ranks, several times in a row.
void early_return_of_the_done(Processes& processes) {
  for (int round = 0; round < 20; ++round) {
    run(processes, [](Communicator& world) {
      const auto pair = world.split(world.rank() / 2, 0);
      Tensor x = Tensor::full({100}, 1.0);
      world.all_reduce(x);
      if (world.rank() >= 2) return;
      for (int repeat = 0; repeat < 5; ++repeat) pair->all_reduce(x);
      world.rank() == 0 ? world.send(x, 1) : world.receive(x, 0);
      require(x.data<float>()[99] == 128.0f, "ranks", "the sum is {}", x.data<float>()[99]);
    });
  }
}

}  // namespace

std::map<std::string, Scenario> failure_scenarios() {
  return {{"throw_in_collective", throw_in_collective},
          {"throw_outside_group", throw_outside_group},
          {"throw_is_heard", throw_is_heard},
          {"throw_with_queue", throw_with_queue},
          {"throw_at_the_end", throw_at_the_end},
          {"throw_everywhere", throw_everywhere},
          {"throw_before_the_run", throw_before_the_run},
          {"throw_on_one_before_the_run", throw_on_one_before_the_run},
          {"caught", caught},
          {"killed", killed},
          {"throw_on_gpus", throw_on_gpus},
          {"throw_inside_a_call_on_gpus", throw_inside_a_call_on_gpus},
          {"killed_on_gpus", killed_on_gpus},
          {"early_return", early_return},
          {"early_return_from_group", early_return_from_group},
          {"early_return_of_the_done", early_return_of_the_done}};
}

}  // namespace shardgrad::mpi_testing
