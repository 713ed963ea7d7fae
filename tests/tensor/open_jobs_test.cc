// Threads that wait take pieces of others' jobs: each piece is worked on once, and the results do
// not tell by whom.
#include "tensor/open_jobs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "tensor/kernels/attention.h"
#include "tensor/kernels/gelu.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/layer_norm.h"
#include "tensor/parallel_for.h"
#include "tests/support/reference.h"
#include "tests/tensor/kernel_testing.h"

namespace shardgrad {
namespace {

using kernel_testing::IntraOpThreads;
using namespace reference;

const std::function<bool()> kAlways = [] { return true; };

TEST(OpenJobs, AHelperTakesWhatIsLeft) {
  OpenJobs jobs;
  EXPECT_FALSE(jobs.help(kAlways));
  WorkShares shares(6, 1);
  std::vector<std::int64_t> worked_on;
  const auto body = [&](const TakePieces& take) {
    for (std::int64_t piece = take(); piece >= 0; piece = take()) worked_on.push_back(piece);
  };
  const OpenJobs::Listing listing(jobs, shares, body);
  const TakePieces own(shares, 0);
  EXPECT_EQ(own(), 0);
  EXPECT_EQ(own(), 1);
  const IntraOpThreads scope(1);
  EXPECT_TRUE(jobs.help(kAlways));
  EXPECT_EQ(worked_on, (std::vector<std::int64_t>{5, 4, 3, 2}));
  EXPECT_EQ(own(), -1);
  EXPECT_FALSE(jobs.help(kAlways));
}

TEST(OpenJobs, AHelperStopsWhenItHasWorkOfItsOwn) {
  OpenJobs jobs;
  WorkShares shares(6, 1);
  int worked_on = 0;
  const auto body = [&](const TakePieces& take) {
    while (take() >= 0) ++worked_on;
  };
  const OpenJobs::Listing listing(jobs, shares, body);
  const IntraOpThreads scope(1);
  EXPECT_TRUE(jobs.help([&] { return worked_on < 2; }));
  EXPECT_EQ(worked_on, 2);
  EXPECT_EQ(TakePieces(shares, 0)(), 0);
}

TEST(OpenJobs, AJobThatIsOverHasNoHelpers) {
  OpenJobs jobs;
  WorkShares shares(6, 1);
  const auto body = [](const TakePieces&) { FAIL() << "was called"; };
  { const OpenJobs::Listing listing(jobs, shares, body); }
  EXPECT_FALSE(jobs.help(kAlways));
}

TEST(OpenJobs, JobsBeyondTheListAreTheirOwnersAlone) {
  OpenJobs jobs;
  WorkShares many(1000, 1), one(1, 1);
  std::atomic<int> helped_one{0};
  const auto nothing = [](const TakePieces&) {};
  const auto count = [&](const TakePieces& take) {
    while (take() >= 0) ++helped_one;
  };
  std::vector<std::unique_ptr<OpenJobs::Listing>> listings;
  for (int i = 0; i < 100; ++i) {
    listings.push_back(std::make_unique<OpenJobs::Listing>(jobs, many, nothing));
  }
  listings.push_back(std::make_unique<OpenJobs::Listing>(jobs, one, count));
  EXPECT_TRUE(jobs.help(kAlways));
  EXPECT_EQ(helped_one, 0);
  listings.erase(listings.begin(), listings.end() - 1);  // leaves the one that found no place
  EXPECT_FALSE(jobs.help(kAlways));
  EXPECT_EQ(TakePieces(one, 0)(), 0);
}

// Owners whose jobs follow each other without a pause, and helpers that come and go.
TEST(OpenJobs, EachPieceIsWorkedOnOnceBeforeItsJobIsOver) {
  constexpr int kOwners = 2, kHelpers = 2, kJobs = 3000, kPieces = 12;
  std::atomic<int> owners_left{kOwners};
  std::atomic<std::int64_t> helped{0};
  std::vector<std::thread> threads;
  for (int owner = 0; owner < kOwners; ++owner) {
    threads.emplace_back([&] {
      const IntraOpThreads scope(1);
      const std::thread::id self = std::this_thread::get_id();
      for (int job = 0; job < kJobs || (helped == 0 && job < 100 * kJobs); ++job) {
        int done[kPieces] = {};  // a piece that came too late would not be seen, or be two
        parallel_pieces(kPieces, [&](const auto& take) {
          for (std::int64_t piece = take(); piece >= 0; piece = take()) {
            ++done[piece];
            if (std::this_thread::get_id() != self) ++helped;
          }
        });
        for (int times : done) ASSERT_EQ(times, 1);
      }
      --owners_left;
    });
  }
  for (int helper = 0; helper < kHelpers; ++helper) {
    threads.emplace_back([&] {
      const IntraOpThreads scope(1);
      int taken = 0;
      while (owners_left > 0) OpenJobs::of_process().help([&] { return ++taken % 5 != 0; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(helped, 0);
}

// The threads of a rank that has several all help.
TEST(OpenJobs, HelpersBringAllTheirThreads) {
  OpenJobs jobs;
  WorkShares shares(1000, 2);
  std::atomic<int> bodies{0}, pieces{0};
  const auto body = [&](const TakePieces& take) {
    ++bodies;
    while (take() >= 0) ++pieces;
  };
  const OpenJobs::Listing listing(jobs, shares, body);
  const IntraOpThreads scope(3);
  EXPECT_TRUE(jobs.help(kAlways));
  EXPECT_EQ(bodies, 3);
  EXPECT_EQ(pieces, 1000);
}

// What a kernel computes, for the calling thread alone and while another helps.
class HelpedKernels : public ::testing::Test {
 protected:
  // `compute` returns the kernel's outputs; it is repeated until a helper has worked on it.
  static void expect_same_bits(const std::function<std::vector<Tensor>()>& compute) {
    const IntraOpThreads scope(1);
    const std::vector<Tensor> alone = compute();
    std::atomic<bool> is_over{false};
    std::atomic<int> helped{0};
    std::thread helper([&] {
      const IntraOpThreads scope(1);
      while (!is_over) helped += OpenJobs::of_process().help([&] { return !is_over; });
    });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (int round = 0; round < 5 || helped == 0; ++round) {
      const std::vector<Tensor> together = compute();
      for (std::size_t i = 0; i < alone.size(); ++i) {
        EXPECT_TRUE(bitwise_equal(together[i], alone[i])) << "output " << i;
      }
      if (std::chrono::steady_clock::now() > deadline) break;
    }
    is_over = true;
    helper.join();
    EXPECT_GT(helped, 0);
  }
};

TEST_F(HelpedKernels, ProductsAreTheSame) {
  for (DType dtype : {DType::Float32, DType::BFloat16}) {
    const Tensor x = random_tensor({600, 300}, dtype, 1),
                 weight = random_tensor({520, 300}, dtype, 2);
    const Tensor bias = random_tensor({520}, dtype, 3), dy = random_tensor({600, 520}, dtype, 4);
    expect_same_bits([&] {
      Tensor y = Tensor::empty({600, 520}, dtype), dx = Tensor::empty({600, 300}, dtype);
      Tensor dweight = Tensor::empty({520, 300}, DType::Float32);
      Tensor pre_activation = Tensor::empty({600, 520}, dtype);
      kernels::gemm_bias_gelu(x, weight.transpose(0, 1), bias, GeluKind::Tanh, pre_activation, y);
      kernels::gemm(dy, weight, {}, dx, false);
      kernels::gemm(dy.transpose(0, 1), x, {}, dweight, false);
      return std::vector<Tensor>{pre_activation, y, dx, dweight};
    });
  }
}

TEST_F(HelpedKernels, AttentionIsTheSame) {
  const AttentionShape shape{3, 70, 4, 16, 0, 4, 0};
  const DropoutMask dropout{0.1, {7, 0}, 0};
  const Tensor qkv = random_tensor({3 * 70, 3 * 64}, DType::Float32, 1);
  const Tensor dout = random_tensor({3 * 70, 64}, DType::Float32, 2);
  expect_same_bits([&] {
    Tensor out = Tensor::empty({3 * 70, 64}), log_sum_exp = Tensor::empty({3, 4, 70});
    Tensor dqkv = Tensor::empty({3 * 70, 3 * 64});
    kernels::attention_forward(qkv, {}, shape, dropout, out, log_sum_exp);
    kernels::attention_backward(qkv, {}, out, log_sum_exp, dout, shape, dropout, dqkv);
    return std::vector<Tensor>{out, log_sum_exp, dqkv};
  });
}

TEST_F(HelpedKernels, RowsAndSumsAreTheSame) {
  const Tensor x = random_tensor({900, 200}, DType::Float32, 1);
  const Tensor dy = random_tensor({900, 200}, DType::Float32, 2);
  const Tensor gamma = random_tensor({200}, DType::Float32, 3);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({900, 200}), dx = Tensor::empty({900, 200});
    Tensor mean = Tensor::empty({900}), rstd = Tensor::empty({900});
    Tensor dgamma = Tensor::empty({200}), dbeta = Tensor::empty({200});
    Tensor activated = Tensor::empty({900, 200});
    kernels::layer_norm_forward(x, gamma, gamma, 1e-5, y, mean, rstd);
    kernels::layer_norm_backward(x, gamma, mean, rstd, dy, {}, dx, dgamma, false, dbeta, false);
    kernels::gelu_forward(x, activated, GeluKind::Exact);
    return std::vector<Tensor>{y, mean, rstd, dx, dgamma, dbeta, activated};
  });
}

}  // namespace
}  // namespace shardgrad
