// Checkpoints know nothing of the layout that wrote them, and any layout reads them.
#include <functional>
#include <map>

#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_folder.h"
#include "checkpoint/saved_tensors.h"
#include "tests/checkpoint/test_folder.h"
#include "tests/training/layout_run.h"

namespace shardgrad {
namespace {

TrainingLayout layout(int tp, int dp, int zero, bool sequence_parallel = false) {
  TrainingLayout layout;
  layout.tensor_parallel = tp;
  layout.data_parallel = dp;
  layout.zero_stage = zero;
  layout.sequence_parallel = sequence_parallel;
  layout.bucket_bytes = 3000;  // so that buckets end inside of parameters
  return layout;
}

// Runs `body` on a fresh run of every rank.
void with_training(const TrainingLayout& layout, DType dtype, bool tied,
                   const std::function<void(GPTTraining&)>& body) {
  TrainingSettings settings;
  settings.adamw.max_gradient_norm = 0.5;
  settings.seed = 7;
  run_ranks(layout.world_size(), 1, [&](Communicator& world) {
    GPTTraining training(layout_run::small_config(tied), layout, world, {dtype, Device{}},
                         settings);
    body(training);
  });
}

struct Losses {
  std::vector<double> losses, norms;
};

void train(GPTTraining& training, std::int64_t first, std::int64_t last, Losses* result = nullptr) {
  for (std::int64_t step = first; step < last; ++step) {
    const StepNumbers numbers = training.numbers(training.step(
        {step, 1e-2, layout_run::kSequences, 1}, [&](std::int64_t begin, std::int64_t count) {
          return layout_run::batch_of(step, begin, count);
        }));
    if (result == nullptr || training.mesh().world().rank() != 0) continue;
    result->losses.push_back(numbers.loss);
    result->norms.push_back(numbers.gradient_norm);
  }
}

TrainerState state_at(std::int64_t step) {
  TrainerState state;
  state.step = step;
  state.seed = 7;
  return state;
}

class ReshardTest : public FolderTest {
 protected:
  std::string save(const TrainingLayout& layout, DType dtype, bool tied, std::int64_t steps,
                   const std::string& name) {
    with_training(layout, dtype, tied, [&](GPTTraining& training) {
      train(training, 0, steps);
      save_checkpoint(training, state_at(steps), in(name), 0);
    });
    return checkpoint_path(in(name), steps);
  }

  // The checkpoint, read by another layout and written by it.
  std::string through(const std::string& from, const TrainingLayout& layout, DType dtype, bool tied,
                      const std::string& name) {
    std::int64_t step = 0;
    with_training(layout, dtype, tied, [&](GPTTraining& training) {
      const TrainerState state = load_checkpoint(training, from);
      layout_run::expect_no_drift(training);
      save_checkpoint(training, state, in(name), 0);
      if (training.mesh().world().rank() == 0) step = state.step;
    });
    return checkpoint_path(in(name), step);
  }

  static void expect_same_files(const std::string& a, const std::string& b) {
    for (const char* name :
         {"model.safetensors", "optimizer.safetensors", "config.json", "trainer_state.json"}) {
      EXPECT_TRUE(content(a + "/" + name) == content(b + "/" + name))
          << a << " " << b << " " << name;
    }
  }
};

TEST_F(ReshardTest, AnyLayoutReadsAndWritesTheSameBytes) {
  for (const DType dtype : {DType::Float32, DType::BFloat16}) {
    for (const bool tied : {true, false}) {
      const std::string mark = std::string(name_of(dtype)) + (tied ? "" : ".untied");
      const std::string first = save(layout(2, 1, 0), dtype, tied, 3, mark + ".0");
      std::string last = first;
      int number = 0;
      // tp 2 -> 1 -> 4 -> 2, with copies and a sharded optimizer in between.
      for (const TrainingLayout& next :
           {layout(1, 1, 0), layout(4, 1, 0), layout(2, 2, 1), layout(1, 4, 1), layout(4, 2, 0),
            layout(2, 1, 0, true), layout(2, 4, 1, true), layout(1, 2, 0), layout(2, 1, 0)}) {
        const std::string name = mark + "." + std::to_string(++number);
        last = through(last, next, dtype, tied, name);
        expect_same_files(first, last);
      }
    }
  }
}

// What a rank holds after loading against what a rank holds that has always been there: not the
// files, which could lack something.
TEST_F(ReshardTest, LoadingBringsEverythingBack) {
  for (const TrainingLayout& each : {layout(2, 2, 1), layout(1, 2, 0), layout(4, 1, 0)}) {
    const std::string name = each.to_string();
    with_training(each, DType::BFloat16, true, [&](GPTTraining& training) {
      train(training, 0, 3);
      const std::string path = save_checkpoint(training, state_at(3), in(name), 0);
      GPTTraining other(layout_run::small_config(true), each, training.mesh().world(),
                        {DType::BFloat16, Device{}}, {});
      load_checkpoint(other, path);
      const auto same = [](const Tensor& a, const Tensor& b) {
        return reference::bitwise_equal(a, b);
      };
      EXPECT_TRUE(same(training.parameters().values(), other.parameters().values()));
      AdamW &a = training.optimizer(), &b = other.optimizer();
      EXPECT_TRUE(same(a.first_moment(), b.first_moment()));
      EXPECT_TRUE(same(a.second_moment(), b.second_moment()));
      EXPECT_TRUE(same(a.master(), b.master()));
      EXPECT_EQ(a.steps(), b.steps());
      EXPECT_EQ(b.steps(), 3);
    });
  }
}

TEST_F(ReshardTest, ResumedRunIsTheOneThatNeverStopped) {
  for (const DType dtype : {DType::Float32, DType::BFloat16}) {
    for (const TrainingLayout& each : {layout(1, 1, 0), layout(2, 1, 0), layout(2, 2, 1)}) {
      const std::string name = std::string(name_of(dtype)) + each.to_string();
      Losses whole, resumed;
      NamedTensors expected, found;
      with_training(each, dtype, true, [&](GPTTraining& training) {
        train(training, 0, 10);
        save_checkpoint(training, state_at(10), in(name), 1);
        train(training, 10, 20, &whole);
        NamedTensors all = gather_parameters(training);
        if (training.mesh().world().rank() == 0) expected = std::move(all);
      });
      with_training(each, dtype, true, [&](GPTTraining& training) {
        EXPECT_EQ(load_checkpoint(training, find_checkpoint(in(name))).step, 10);
        train(training, 10, 20, &resumed);
        NamedTensors all = gather_parameters(training);
        if (training.mesh().world().rank() == 0) found = std::move(all);
      });
      EXPECT_EQ(whole.losses, resumed.losses) << name;
      EXPECT_EQ(whole.norms, resumed.norms) << name;
      for (const auto& [parameter, tensor] : expected)
        EXPECT_TRUE(reference::bitwise_equal(found.at(parameter), tensor)) << parameter;
    }
  }
}

TEST_F(ReshardTest, ResumedElsewhereItDiffersByRounding) {
  const std::string saved = save(layout(2, 1, 0), DType::Float64, true, 3, "saved");
  Losses expected;
  with_training(layout(2, 1, 0), DType::Float64, true, [&](GPTTraining& training) {
    load_checkpoint(training, saved);
    train(training, 3, 6, &expected);
  });
  for (const TrainingLayout& each : {layout(1, 1, 0), layout(4, 1, 0), layout(1, 2, 1)}) {
    Losses found;
    with_training(each, DType::Float64, true, [&](GPTTraining& training) {
      load_checkpoint(training, saved);
      train(training, 3, 6, &found);
    });
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(found.losses[i], expected.losses[i], 1e-9);
      EXPECT_NEAR(found.norms[i], expected.norms[i], 1e-9);
    }
  }
}

// 37 rows of the vocabulary are padded to 40 or more on every layout of several ranks.
TEST_F(ReshardTest, PaddingIsNotSaved) {
  const std::string saved = save(layout(4, 1, 0), DType::Float32, true, 1, "saved");
  const TensorFiles files(saved);
  EXPECT_EQ(files.find("transformer.wte.weight")->shape, (std::vector<std::int64_t>{37, 16}));
  EXPECT_EQ(files.find("lm_head.weight"), nullptr) << "the tied head is written once";
}

TEST_F(ReshardTest, KeepsTheNewest) {
  with_training(layout(2, 1, 0), DType::Float32, true, [&](GPTTraining& training) {
    for (std::int64_t step : {1, 2, 10, 11}) {
      save_checkpoint(training, state_at(step), in("kept"), 2);
    }
  });
  std::vector<std::int64_t> steps;
  for (const SavedCheckpoint& each : checkpoints_in(in("kept"))) steps.push_back(each.step);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{10, 11}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(in("kept")), {}), 2);
  EXPECT_EQ(find_checkpoint(in("kept")), in("kept") + "/step-000011");
}

}  // namespace
}  // namespace shardgrad
