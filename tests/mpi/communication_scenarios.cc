#include <sched.h>

#include <atomic>
#include <thread>
#include <vector>

#include "parallel/communication_queue.h"
#include "tensor/cuda/runtime.h"
#include "tests/mpi/scenarios.h"
#include "tests/support/reference.h"

namespace shardgrad::mpi_testing {
namespace {

// What a rank has computed.
using Results = std::vector<Tensor>;
using Program = std::function<Results(Communicator&)>;

// Values whose sums round, so that the order of addition shows.
Tensor input_of(int rank, const Shape& shape, DType dtype, Device device) {
  Tensor tensor = Tensor::empty(shape, DType::Float64);
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    tensor.data<double>()[i] = 0.37 * static_cast<double>((i * 7919 + rank * 104729) % 2003 - 1001);
  }
  return tensor.to(dtype).to(device);
}

void check_equal(const Results& results, const Results& expected, int rank) {
  require(results.size() == expected.size(), "ranks", "{} results, {} expected", results.size(),
          expected.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    require(reference::bitwise_equal(results[i].to(Device{}), expected[i].to(Device{})), "ranks",
            "result {} of rank {}, {} {}, is not that of threads", i, rank,
            name_of(results[i].dtype()), results[i].shape().to_string());
  }
}

// Runs `program` on the processes, and on as many threads of each.
void compare(Processes& processes, const std::vector<Device>& devices, CommunicatorBackend backend,
             const Program& program) {
  const int rank = processes.place().rank;
  Results results, expected;
  RunOptions options;
  options.devices = devices;
  options.intra_op_threads = 1;
  options.backend = CommunicatorBackend::Thread;
  run_ranks(options, [&](Communicator& world) {
    Results own = program(world);
    if (world.rank() == rank) expected = std::move(own);
  });
  options.backend = backend;
  processes.run_ranks(options, [&](Communicator& world) { results = program(world); });
  check_equal(results, expected, rank);
}

void compare(Processes& processes, Device device, const Program& program) {
  compare(processes, std::vector<Device>(processes.place().world_size, device),
          CommunicatorBackend::Thread, program);
}

// Over NCCL, each rank on a GPU of its own.
void compare_on_gpus(Processes& processes, const Program& program) {
  compare(processes, gpus_of_ranks(processes), CommunicatorBackend::Nccl, program);
}

Device gpu_of(const Communicator& world) { return {DeviceType::Cuda, world.rank()}; }

// One of each collective on tensors of one dtype and size.
void all_collectives(Communicator& group, int seed, std::int64_t size, DType dtype, Device device,
                     Results& results) {
  const int ranks = group.world_size(), rank = group.rank();
  const Tensor input = input_of(seed, {size, 1}, dtype, device);
  for (const ReduceOp op : {ReduceOp::Sum, ReduceOp::Max}) {
    results.push_back(input.clone());
    group.all_reduce(results.back(), op);
  }
  Tensor gathered = Tensor::zeros({size * ranks, 1}, dtype, device);
  group.all_gather(input, gathered);
  results.push_back(gathered.clone());
  Tensor own = gathered.slice(0, rank * size, size);  // in place from here on
  group.all_gather(own, gathered);
  results.push_back(gathered.clone());
  Tensor part = Tensor::zeros({size, 1}, dtype, device);
  const Tensor whole = input_of(seed + 7, {size * ranks, 1}, dtype, device);
  group.reduce_scatter(whole, part);
  results.push_back(part);
  group.reduce_scatter(gathered, own);
  results.push_back(own.clone());
  for (int root = 0; root < ranks; ++root) {
    results.push_back(input.clone());
    group.broadcast(results.back(), root);
  }
  if (ranks == 1) return;
  // Round the ring: rank 0 sends first, the others receive first.
  Tensor received = Tensor::zeros_like(input);
  if (rank == 0) group.send(input, 1);
  group.receive(received, (rank + ranks - 1) % ranks);
  if (rank != 0) group.send(input, (rank + 1) % ranks);
  results.push_back(received);
  group.barrier();
}

Results sizes_and_dtypes(Communicator& world, Device device, std::int64_t largest) {
  Results results;
  for (const DType dtype : {DType::Float32, DType::Float64, DType::BFloat16, DType::Int32}) {
    for (const std::int64_t size : {std::int64_t{0}, std::int64_t{1}, std::int64_t{3},
                                    std::int64_t{511}, std::int64_t{1027}, largest}) {
      all_collectives(world, world.rank(), size, dtype, device, results);
    }
  }
  return results;
}

void collectives(Processes& processes) {
  compare(processes, {}, [](Communicator& world) { return sizes_and_dtypes(world, {}, 100003); });
}

// More than one message, and more than one segment of a reduction.
void large(Processes& processes) {
  compare(processes, {}, [](Communicator& world) {
    Results results;
    all_collectives(world, world.rank(), 4500007, DType::Float32, {}, results);
    return results;
  });
}

void collectives_on_a_gpu(Processes& processes) {
  const Device gpu{DeviceType::Cuda, 0};  // of all ranks
  cuda::use_device(0);
  compare(processes, gpu, [&](Communicator& world) { return sizes_and_dtypes(world, gpu, 2001); });
}

void collectives_on_gpus(Processes& processes) {
  compare_on_gpus(
      processes, [](Communicator& world) { return sizes_and_dtypes(world, gpu_of(world), 70003); });
}

// Groups of neighbours, of every other rank, in reverse order, and groups of groups.
Results groups_of_ranks(Communicator& world, Device device, int rounds) {
  Results results;
  const int rank = world.rank();
  const auto neighbours = world.split(rank / 2, 0);
  const auto others = world.split(rank % 2, -rank);
  const auto alone = others->split(others->rank(), 0);
  for (Communicator* group : {neighbours.get(), others.get(), alone.get(), &world}) {
    all_collectives(*group, rank, 1000, DType::BFloat16, device, results);
    results.push_back(Tensor::from<std::int32_t>({group->rank(), group->world_size()}, {2}));
  }
  for (int round = 0; round < rounds; ++round) {
    const auto group = world.split((rank + round) % 2, 0);
    results.push_back(input_of(rank, {5}, DType::Float32, device));
    group->all_reduce(results.back());
  }
  return results;
}

void groups(Processes& processes) {
  compare(processes, {}, [](Communicator& world) { return groups_of_ranks(world, {}, 50); });
}

void groups_on_gpus(Processes& processes) {
  compare_on_gpus(processes,
                  [](Communicator& world) { return groups_of_ranks(world, gpu_of(world), 10); });
}

// Each rank's threads communicate at the same time, each in a group of its own.
void threads(Processes& processes) {
  compare(processes, {}, [](Communicator& world) {
    constexpr int kThreads = 3;
    std::vector<std::unique_ptr<Communicator>> own_groups;
    for (int i = 0; i < kThreads; ++i) own_groups.push_back(world.split(0, i * world.rank()));
    std::vector<Results> results(kThreads);
    std::vector<std::thread> running;
    for (int i = 0; i < kThreads; ++i) {
      running.emplace_back([&, i] {
        for (int round = 0; round < 20; ++round) {
          // Splits, too, whose names have to be different ones.
          const auto group = own_groups[i]->split(world.rank() % 2, 0);
          all_collectives(*group, world.rank() + i, 10 + 997 * (round % 3), DType::Float32, {},
                          results[i]);
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    for (int i = 1; i < kThreads; ++i) {
      results[0].insert(results[0].end(), results[i].begin(), results[i].end());
    }
    return results[0];
  });
}

// Collectives that run while the rank goes on with others.
void queue(Processes& processes) {
  compare(processes, {}, [](Communicator& world) {
    Results results;
    CommunicationQueue queue(world);
    for (int round = 0; round < 20; ++round) {
      const Tensor queued = input_of(world.rank(), {3001}, DType::Float32, {});
      CommunicationQueue::Ticket ticket = queue.all_reduce(queued);
      all_collectives(world, world.rank() + round, 501, DType::Float64, {}, results);
      queue.wait(ticket);
      results.push_back(queued);
    }
    return results;
  });
}

// Says how many cores the first rank may run on, and how many threads it has in its kernels.
void cores(Processes& processes) {
  run(processes, [](Communicator&) {});
  fmt::print("{} cores, {} threads\n", available_cores(),
             processes.threads_per_rank(processes.place().world_size, 0));
}

}  // namespace

std::map<std::string, Scenario> communication_scenarios() {
  return {{"collectives", collectives},
          {"large", large},
          {"groups", groups},
          {"collectives_on_a_gpu", collectives_on_a_gpu},
          {"collectives_on_gpus", collectives_on_gpus},
          {"groups_on_gpus", groups_on_gpus},
          {"threads", threads},
          {"queue", queue},
          {"cores", cores}};
}

}  // namespace shardgrad::mpi_testing
