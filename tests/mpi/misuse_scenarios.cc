#include <vector>

#include "tests/mpi/scenarios.h"

namespace shardgrad::mpi_testing {
namespace {

// The message of the Error that `call` throws.
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void check_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    require(text.find(part) != std::string::npos, "ranks", "\"{}\" does not contain \"{}\"", text,
            part);
  }
}

// Calls that the ranks do not agree on, several in a row in one group, which works in between.
void mismatches(Processes& processes) {
  run(processes, [](Communicator& world) {
    const int rank = world.rank();
    const bool odd = rank == 1;
    const auto works = [&] {
      Tensor x = Tensor::full({3}, 1.0);
      world.all_reduce(x);
      require(x.data<float>()[2] == static_cast<float>(world.world_size()), "ranks",
              "the sum after a mismatch is {}", x.data<float>()[2]);
    };
    Tensor x = Tensor::zeros({4, 8});
    check_contains(message_of([&] { odd ? world.broadcast(x, 0) : world.all_reduce(x); }),
                   {"rank 0 called all_reduce(float32 [4, 8], sum)",
                    "rank 1 called broadcast(float32 [4, 8], rank 0)"});
    works();
    Tensor other_shape = Tensor::zeros({odd ? 2 : 1});
    check_contains(message_of([&] { world.all_reduce(other_shape); }),
                   {"float32 [1]", "float32 [2]"});
    works();
    Tensor other_dtype = Tensor::zeros({2}, odd ? DType::Int32 : DType::Float32);
    check_contains(message_of([&] { world.all_reduce(other_dtype); }),
                   {"float32 [2]", "int32 [2]"});
    works();
    check_contains(message_of([&] { world.all_reduce(x, odd ? ReduceOp::Max : ReduceOp::Sum); }),
                   {"sum", "max"});
    works();
    check_contains(message_of([&] { world.broadcast(x, odd ? 1 : 0); }), {"broadcast"});
    works();
    check_contains(message_of([&] { odd ? world.all_reduce(x) : world.barrier(); }),
                   {"rank 0 called barrier()"});
    works();
    check_contains(message_of([&] { odd ? void(world.split(0, 0)) : world.barrier(); }),
                   {"rank 1 called split()"});
    works();
    for (int round = 0; round < 100; ++round) {
      Tensor y = Tensor::zeros({1 + (rank == round % world.world_size() ? 1 : 0)});
      check_contains(message_of([&] { world.all_reduce(y); }), {"every rank of a group"});
    }
    works();
  });
}

// For two ranks.
void send_mismatches(Processes& processes) {
  run(processes, [](Communicator& world) {
    const bool sends = world.rank() == 0;
    const int peer = 1 - world.rank();
    Tensor x = Tensor::zeros({world.rank() + 2});
    check_contains(message_of([&] { sends ? world.send(x, peer) : world.receive(x, peer); }),
                   {"send(float32 [2], rank 1)", "receive(float32 [3], rank 0)"});
    check_contains(message_of([&] { world.send(x, peer); }), {"send(float32 [2], rank 1)"});
    check_contains(message_of([&] { world.receive(x, peer); }), {"receive(float32 [3], rank 0)"});
    check_contains(message_of([&] { sends ? world.all_reduce(x) : world.receive(x, peer); }),
                   {"receive(float32 [3]", "all_reduce("});
    Tensor y = Tensor::full({3}, world.rank());
    sends ? world.send(y, peer) : world.receive(y, peer);
    require(y.data<float>()[2] == 0.0f, "ranks", "received {}", y.data<float>()[2]);
  });
}

}  // namespace

std::map<std::string, Scenario> misuse_scenarios() {
  return {{"mismatches", mismatches}, {"send_mismatches", send_mismatches}};
}

}  // namespace shardgrad::mpi_testing
