#include "tools/run_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "files/whole_file.h"
#include "report/number_text.h"
#include "report/page.h"
#include "tools/metrics_file.h"
#include "tools/printable_text.h"
#include "tools/progress_line.h"

namespace shardgrad {
namespace {

// Where validations follow each other faster, not each makes the page anew: it takes at most this
// share of the time.
constexpr double kLeastSecondsBetweenReports = 1.0;
constexpr double kMostShareOfTime = 0.02;

nlohmann::ordered_json to_json(const TrainOptions& options, const std::string& device) {
  const GPTConfig& model = options.model;
  return {{"preset", options.preset},
          {"vocab_size", model.vocab_size},
          {"max_position_embeddings", model.max_position_embeddings},
          {"n_layers", model.n_layers},
          {"n_heads", model.n_heads},
          {"d_model", model.d_model},
          {"d_ff", model.d_ff},
          {"dropout", model.dropout},
          {"dtype", name_of(dtype_of(options.device))},
          {"tie_embeddings", model.tie_embeddings},
          {"tp", options.layout.tensor_parallel},
          {"dp", options.layout.data_parallel},
          {"sequence_parallel", options.layout.sequence_parallel},
          {"recompute", options.layout.recompute == Recompute::Block ? "block" : "none"},
          {"zero", options.layout.zero_stage},
          {"overlap", options.layout.overlap},
          {"data", options.data.path},
          {"val_data", options.data.held_out_path},
          {"tokenizer", options.data.tokenizer},
          {"batch_size", options.batch_size},
          {"seq_len", options.seq_len},
          {"grad_accum", options.grad_accum},
          {"steps", options.steps},
          {"lr", options.schedule.peak},
          {"min_lr", options.schedule.minimum},
          {"warmup_steps", options.schedule.warmup_steps},
          {"schedule", schedule_name(options.schedule.kind)},
          {"weight_decay", options.adamw.weight_decay},
          {"beta1", options.adamw.beta1},
          {"beta2", options.adamw.beta2},
          {"grad_clip", options.adamw.max_gradient_norm},
          {"label_smoothing", options.label_smoothing},
          {"spike_threshold", options.spike_threshold},
          {"max_skipped", options.max_skipped},
          {"seed", options.seed},
          {"eval_interval", options.eval_interval},
          {"eval_steps", options.eval_steps},
          {"sample_interval", options.sample_interval},
          {"sample_tokens", options.sample_tokens},
          {"threads", options.threads},
          {"device", device},
          {"tf32", options.device.tf32}};
}

// Columns of the terminal, many if it does not tell.
std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 1000;
}

}  // namespace

std::string settings_text(const TrainOptions& options, const std::string& device) {
  // Paths may hold any bytes; what is no UTF-8 is replaced here, and kept in run.toml.
  return to_json(options, device)
      .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

RunLog::RunLog(const TrainOptions& options, const std::string& device, bool in_place)
    : out_(options.out),
      record_(run_name(options.out)),
      report_(options.report),
      first_step_(options.checkpoints.resumed_step),
      loss_unit_(options.data.is_bytes() ? "nats per byte" : "nats per token"),
      total_steps_(options.steps),
      terminal_(in_place && isatty(STDOUT_FILENO) != 0) {
  require_no_other_run(out_, options.checkpoints);
  std::error_code error;
  std::filesystem::create_directories(out_, error);
  require(!error, "train", "cannot make the folder {}: {}; choose another --out", out_,
          error.message());
  const std::string settings = settings_text(options, device);
  write_whole_file(out_ + "/config.json", settings + "\n");
  write_whole_file(out_ + "/run.toml", options.config);
  const bool goes_on = continues_in(out_, options.checkpoints);
  start_lines(goes_on);
  if (goes_on && report_) {
    record_ = read_run_record(out_);
  } else {
    record_.set_settings(nlohmann::ordered_json::parse(settings), out_ + "/config.json");
  }
  if (options.tensorboard) {
    tensorboard_.emplace(out_ + "/tensorboard", first_step_ + 1);
    tensorboard_->add_text(first_step_, "settings", markdown_table(record_.settings()));
  }
}

RunLog::~RunLog() {
  if (line_open_) std::fputc('\n', stdout);
  if (finished_) return;
  // An error ends the run, and is told; one of the report would not be more important.
  try {
    write_report();
  } catch (...) {
  }
}

void RunLog::start_lines(bool goes_on) {
  if (goes_on) write_whole_file(metrics_path(), lines_up_to(metrics_path(), first_step_));
  metrics_.emplace(metrics_path(), goes_on ? "a" : "w");
  const std::string samples = goes_on ? lines_up_to(samples_path(), first_step_) : "";
  if (!samples.empty()) {
    write_whole_file(samples_path(), samples);
    return;
  }
  std::error_code error;
  std::filesystem::remove(samples_path(), error);
  require(!error, "train", "cannot remove {}: {}", samples_path(), error.message());
}

void RunLog::write(const StepMetrics& metrics) {
  nlohmann::ordered_json line{{"step", metrics.step}};
  std::vector<Scalar> scalars;
  const auto add = [&](Metric metric, double value) {
    scalars.push_back({names_of(metric).tag, value});
    // JSON knows no NaN: a number that is none is left out.
    if (std::isfinite(value)) line[names_of(metric).key] = value;
  };
  add(Metric::Loss, metrics.loss);
  add(Metric::LearningRate, metrics.learning_rate);
  add(Metric::GradientNorm, metrics.gradient_norm);
  add(Metric::TokensPerSecond, metrics.tokens_per_second);
  if (metrics.skipped_steps > 0) {
    add(Metric::SkippedSteps, static_cast<double>(metrics.skipped_steps));
    line[names_of(Metric::SkippedSteps).key] = metrics.skipped_steps;  // without a decimal point
  }
  if (metrics.spiked_steps > 0) {
    add(Metric::SpikedSteps, static_cast<double>(metrics.spiked_steps));
    line[names_of(Metric::SpikedSteps).key] = metrics.spiked_steps;
  }
  if (metrics.validation_loss) add(Metric::ValidationLoss, *metrics.validation_loss);
  if (metrics.model_flops_utilization) {
    add(Metric::ModelFlopsUtilization, *metrics.model_flops_utilization);
  }
  metrics_->append(line.dump() + "\n");
  if (tensorboard_) tensorboard_->add_scalars(metrics.step, scalars);
  if (report_) record_.add_step(line, metrics_path());
  show(metrics);
  if (metrics.validation_loss && Clock::now() >= next_report_) write_report();
}

void RunLog::write_report() {
  if (!report_ || record_.steps().empty()) return;
  const Clock::time_point start = Clock::now();
  write_whole_file(out_ + "/report.html", report_page({record_}));
  const std::chrono::duration<double> took = Clock::now() - start;
  const std::chrono::duration<double> pause(
      std::max(kLeastSecondsBetweenReports, took.count() / kMostShareOfTime));
  next_report_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(pause);
}

void RunLog::finish() {
  write_report();
  finished_ = true;
  std::string files = "metrics.jsonl";
  if (tensorboard_) files += ", tensorboard";
  if (report_ && !record_.steps().empty()) files += ", report.html";
  say(fmt::format("\nwrote {}/config.json, {}", out_, files));
}

void RunLog::show(const StepMetrics& metrics) {
  const Clock::time_point now = Clock::now();
  const bool last = metrics.step == total_steps_;
  const double pause = terminal_ ? 0.1 : 5.0;
  if (!last && !metrics.validation_loss && metrics.step != first_step_ + 1 &&
      std::chrono::duration<double>(now - last_shown_).count() < pause) {
    return;
  }
  last_shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const std::string time =
      last ? "took " + duration_text(elapsed)
           : "ETA " + duration_text(elapsed / static_cast<double>(metrics.step - first_step_) *
                                    static_cast<double>(total_steps_ - metrics.step));
  // A line that wraps cannot be updated in place.
  const std::string text = terminal_
                               ? progress_line(metrics, total_steps_, time, terminal_columns() - 1)
                               : progress_line(metrics, total_steps_, time);
  fmt::print("{}{}{}", terminal_ ? "\r\033[K" : "", text, terminal_ ? "" : "\n");
  line_open_ = terminal_;
  std::fflush(stdout);
  if (metrics.validation_loss) {
    say(fmt::format("step {}  validation loss {:.4f} {}", metrics.step, *metrics.validation_loss,
                    loss_unit_));
  }
}

void RunLog::write_sample(std::int64_t step, const std::string& text) {
  const std::string shown_text = printable(text);
  const nlohmann::ordered_json line{{"step", step}, {"text", shown_text}};
  LogFile(samples_path(), "a").append(line.dump() + "\n");
  if (tensorboard_) tensorboard_->add_text(step, "sample", markdown_code(shown_text));
  record_.add_sample(line, samples_path());
  say(fmt::format("\nA sample after step {}, continuing the first bytes of the held-out text:\n{}",
                  step, shown_text));
}

void RunLog::say(const std::string& text) {
  fmt::print("{}{}\n", line_open_ ? "\n" : "", text);
  line_open_ = false;
  std::fflush(stdout);
}

}  // namespace shardgrad
