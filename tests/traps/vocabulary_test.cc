// Traps of a vocabulary that is split over the ranks: 15, 16 and 17.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/functions/linear.h"
#include "parallel/launch.h"
#include "parallel/regions.h"
#include "parallel/sharded_parameters.h"
#include "parallel/vocab_parallel.h"
#include "tests/training/layout_run.h"
#include "tests/traps/trap_testing.h"

namespace shardgrad {
namespace {

using namespace trap_testing;

// Mean cross-entropy of the rows whose label is not -100, and its gradient, written out.
struct DenseCrossEntropy {
  DenseCrossEntropy(const Matrix& logits, const Tensor& labels)
      : gradient(Matrix::Zero(logits.rows(), logits.cols())) {
    int counted = 0;
    for (int row = 0; row < logits.rows(); ++row) {
      const int label = labels.data<std::int32_t>()[row];
      if (label == -100) continue;
      ++counted;
      const double largest = logits.row(row).maxCoeff();
      const Eigen::RowVectorXd e = (logits.row(row).array() - largest).exp();
      loss += std::log(e.sum()) + largest - logits(row, label);
      gradient.row(row) = e / e.sum();
      gradient(row, label) -= 1.0;
    }
    loss /= counted;
    gradient /= counted;
  }

  double loss = 0.0;
  Matrix gradient;
};

// GPT-2's vocabulary, and little else.
GPTConfig gpt2_vocabulary() {
  GPTConfig config = layout_run::small_config(true);
  config.vocab_size = 50257;
  config.n_layers = 1;
  config.d_model = 8;
  config.d_ff = 8;
  return config;
}

MicroBatch text_of_gpt2(std::int64_t first, std::int64_t count) {
  Tensor ids = reference::random_ids({2, 12}, 0, 50257, 1);
  ids.data<std::int32_t>()[3] = 50256;  // the last one, beside the padding
  Tensor targets = reference::random_ids({2, 12}, 0, 50257, 2);
  targets.data<std::int32_t>()[5] = 50256;
  return {ids.slice(0, first, count), targets.slice(0, first, count)};
}

struct VocabularyRun {
  Matrix logits;  // of the first step
  std::vector<double> losses;
  double padding_rows = 0.0;
};

VocabularyRun train_gpt2_vocabulary(int tp) {
  VocabularyRun run;
  TrainingLayout layout;
  layout.tensor_parallel = tp;
  run_ranks(tp, 1, [&](Communicator& world) {
    TrainingSettings settings;
    settings.adamw.max_gradient_norm = 0.5;
    GPTConfig config = gpt2_vocabulary();
    config.dropout = 0.0;
    GPTTraining training(config, layout, world, {DType::Float64}, settings);
    const bool leads = world.rank() == 0;
    {
      const NoGradGuard no_grad;
      const Tensor logits =
          training.model().forward(text_of_gpt2(0, 2).input_ids, {}, {}).logits.value();
      EXPECT_EQ(logits.shape(), (Shape{2, 12, 50257}));
      if (leads) run.logits = to_matrix(logits);
    }
    for (int step = 0; step < 3; ++step) {
      const double loss = training.numbers(training.step({step, 1e-2, 2, 1}, text_of_gpt2)).loss;
      if (leads) run.losses.push_back(loss);
    }
    const Parameter& table = parameter_of(training.model(), "token_embedding.weight");
    const std::int64_t real = std::clamp<std::int64_t>(
        50257 - world.rank() * table.variable.size(0), 0, table.variable.size(0));
    const Matrix rows = to_matrix(table.variable.value());
    EXPECT_GT(rows.topRows(real).rowwise().norm().minCoeff(), 0.0);
    EXPECT_EQ(rows.bottomRows(rows.rows() - real).norm(), 0.0) << "the padding has learned";
    EXPECT_EQ(gather_parameters(training).at("token_embedding.weight").shape(), (Shape{50257, 8}));
    Tensor padding = Tensor::full({1}, rows.rows() - real, DType::Float64);
    world.all_reduce(padding);
    if (leads) run.padding_rows = padding.item();
  });
  return run;
}

// Rows that fill a rank's part of the vocabulary up must not take part in the softmax, nor learn,
// nor be seen from outside.
TEST(Trap15, AVocabularyThatTpDoesNotDivideGivesTheLossOfOneRank) {
  const VocabularyRun one = train_gpt2_vocabulary(1);
  const DenseCrossEntropy dense(one.logits, text_of_gpt2(0, 2).targets);
  EXPECT_NEAR(one.losses[0], dense.loss, 1e-12 * dense.loss);
  for (int tp : {2, 4}) {
    const VocabularyRun many = train_gpt2_vocabulary(tp);
    EXPECT_GT(many.padding_rows, 0.0) << "proves nothing";
    for (int step = 0; step < 3; ++step) {
      EXPECT_NEAR(many.losses[step], one.losses[step], 1e-12 * one.losses[step])
          << "tp=" << tp << ", step " << step;
    }
  }
}

// Over 4 ranks the parts are 64, 64, 64 and 58: a label in each, at both ends of the parts.
constexpr std::int64_t kVocabulary = 250;
const std::vector<std::int32_t> kLabels{0, 63, 64, -100, 127, 128, 191, 192, -100, 249, 249, 5};

// Rank's columns of the logits; padding that would win every row if it counted.
Tensor own_columns(const Tensor& all, const Communicator& group) {
  const std::int64_t part = (kVocabulary + group.world_size() - 1) / group.world_size();
  const std::int64_t padded = (part + 63) / 64 * 64, first = group.rank() * padded;
  Tensor own = Tensor::full({all.size(0), padded}, 1e6, all.dtype());
  const std::int64_t real = std::min(padded, kVocabulary - first);
  own.slice(1, 0, real).copy_from(all.slice(1, first, real));
  return own;
}

// Without the maximum of all ranks exp() overflows; a label is known to one rank alone; sums in
// bfloat16 lose what is small.
TEST(Trap16, CrossEntropyFindsTheTargetInAnyShardAndNeverOverflows) {
  const Tensor labels = Tensor::from(kLabels, {12});
  for (const DType dtype : {DType::Float64, DType::Float32, DType::BFloat16}) {
    for (const double magnitude : {1.0, 1000.0}) {
      const Tensor all = reference::random_tensor({12, kVocabulary}, dtype, 1, magnitude);
      const DenseCrossEntropy dense(to_matrix(all), labels);
      const double tolerance = dtype == DType::Float64 ? 1e-12 : 1e-6;
      for (int tp : {1, 2, 4}) {
        run_ranks(tp, 1, [&](Communicator& group) {
          Variable logits(own_columns(all, group), true);
          const Variable loss = vocab_parallel_cross_entropy(logits, labels, kVocabulary, group);
          EXPECT_NEAR(loss.value().item(), dense.loss, tolerance * dense.loss)
              << name_of(dtype) << " x " << magnitude << ", tp=" << tp;
          backward(loss);
          const Matrix found = to_matrix(logits.gradient());
          Matrix expected = Matrix::Zero(found.rows(), found.cols());
          const std::int64_t first = group.rank() * found.cols();
          const std::int64_t real = std::min<std::int64_t>(found.cols(), kVocabulary - first);
          expected.leftCols(real) = dense.gradient.middleCols(first, real);
          // In bfloat16 each element is rounded: 8 significant bits.
          EXPECT_LT((found - expected).norm(),
                    (dtype == DType::BFloat16 ? 0.004 : tolerance) * dense.gradient.norm());
          EXPECT_EQ(found.rightCols(found.cols() - real).norm(), 0.0);
        });
      }
    }
  }
}

// A table that is both the first layer and the last gets two gradients, and no more than one rank
// may hold a row of it.
TEST(Trap17, TheGradientOfATiedTableIsTheSumOfThatOfBothItsUses) {
  constexpr std::int64_t kWidth = 6;
  const Tensor ids = Tensor::from<std::int32_t>({0, 63, 64, 249, 3, 3, 128, 0}, {8});
  const Tensor labels = Tensor::from<std::int32_t>({63, 3, 249, 0, 192, 127, 64, 3}, {8});
  const Tensor table = random64({kVocabulary, kWidth}, 1);
  // Dense: hidden = table[ids], logits = hidden table^T.
  const Matrix weight = to_matrix(table);
  Matrix hidden(8, kWidth);
  for (int row = 0; row < 8; ++row) hidden.row(row) = weight.row(ids.data<std::int32_t>()[row]);
  const DenseCrossEntropy dense(hidden * weight.transpose(), labels);
  Matrix expected = dense.gradient.transpose() * hidden;
  for (int row = 0; row < 8; ++row) {
    expected.row(ids.data<std::int32_t>()[row]) += dense.gradient.row(row) * weight;
  }
  for (int tp : {1, 2, 4}) {
    run_ranks(tp, 1, [&](Communicator& group) {
      VocabParallelEmbedding embedding(kVocabulary, kWidth, group, 1.0, {DType::Float64});
      initialize_parameters(embedding, 1);
      Parameter& own = *embedding.weight();
      const std::int64_t rows = own.variable.size(0), first = group.rank() * rows;
      const std::int64_t real = std::min(rows, kVocabulary - first);
      own.variable.mutable_value().slice(0, 0, real).copy_from(table.slice(0, first, real));
      const Variable logits =
          linear(embedding.forward(ids), own.variable, Variable(), copied_input(group, nullptr));
      const Variable loss = vocab_parallel_cross_entropy(logits, labels, kVocabulary, group);
      EXPECT_NEAR(loss.value().item(), dense.loss, 1e-13 * dense.loss);
      backward(loss);
      EXPECT_LT(
          relative_difference(gather_shards(own.variable.gradient(), own.shard, group), expected),
          1e-13)
          << "tp=" << tp;
    });
  }
}

// The same of a whole model, against one of one rank that has two tables with the same values: the
// gradients of both, added.
TEST(Trap17, ATiedModelLearnsAtBothEndsOfIt) {
  const Tensor ids = reference::random_ids({2, 9}, 0, 37, 1);
  for (int tp : {1, 2, 4}) {
    NamedTensors weights;
    Tensor found;
    run_ranks(tp, 1, [&](Communicator& world) {
      GPTModel tied(layout_run::small_config(true), world, {DType::Float64});
      initialize_parameters(tied, 7);
      backward(tied.loss(ids, ids, {}));
      for (const auto& [name, parameter] : tied.named_parameters()) {
        const Tensor whole = gather_shards(parameter->variable.value(), parameter->shard, world);
        if (world.rank() == 0) weights[name] = whole;
      }
      const Tensor gradient =
          gather_shards(gradient_of(tied, "token_embedding.weight"),
                        parameter_of(tied, "token_embedding.weight").shard, world);
      if (world.rank() == 0) found = gradient;
    });
    weights["head.weight"] = weights.at("token_embedding.weight");
    run_ranks(1, 1, [&](Communicator& world) {
      GPTModel untied(layout_run::small_config(false), world, {DType::Float64});
      initialize_parameters(untied, 99);
      set_all(untied, weights);
      backward(untied.loss(ids, ids, {}));
      const Matrix first = to_matrix(gradient_of(untied, "token_embedding.weight")).topRows(37);
      const Matrix last = to_matrix(gradient_of(untied, "head.weight")).topRows(37);
      EXPECT_GT(std::min(first.norm(), last.norm()), 0.01) << "proves nothing";
      EXPECT_LT(relative_difference(found, first + last), 1e-12) << "tp=" << tp;
    });
  }
}

// Two copies of it would drift apart, each with half of the gradient.
TEST(Trap17, ATiedModelHasOneTableForTheOptimizerAndIsTiedAfterItsSteps) {
  const Tensor ids = reference::random_ids({2, 9}, 0, 37, 1);
  for (int tp : {1, 2, 4}) {
    NamedTensors weights;
    Tensor logits;
    run_ranks(tp, 1, [&](Communicator& world) {
      TrainingLayout layout;
      layout.tensor_parallel = tp;
      GPTTraining training(layout_run::small_config(true), layout, world, {DType::Float64}, {});
      int tables = 0;
      for (const auto& [name, parameter] : training.parameters().parameters()) {
        const Shape& shape = parameter->shard.global_shape;
        tables += shape == Shape{37, 16};
        EXPECT_EQ(name.find("head"), std::string::npos);
      }
      EXPECT_EQ(tables, 1);
      for (int step = 0; step < 2; ++step) {
        training.step({step, 1e-2, layout_run::kSequences, 1},
                      [&](std::int64_t first, std::int64_t count) {
                        return layout_run::batch_of(step, first, count);
                      });
      }
      const NamedTensors gathered = gather_parameters(training);
      const NoGradGuard no_grad;
      const Tensor own = training.model().forward(ids, {}, {}).logits.value();
      if (world.rank() != 0) return;
      weights = gathered;
      logits = own;
    });
    // The same weights in a model that has two tables.
    weights["head.weight"] = weights.at("token_embedding.weight");
    run_ranks(1, 1, [&](Communicator& world) {
      GPTModel untied(layout_run::small_config(false), world, {DType::Float64});
      initialize_parameters(untied, 99);
      set_all(untied, weights);
      EXPECT_LT(relative_difference(logits, untied.forward(ids, {}, {}).logits.value()), 1e-12);
    });
  }
}

}  // namespace
}  // namespace shardgrad
