#include "tools/run_log.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/metrics_file.h"
#include "tools/printable_text.h"
#include "tools/progress_line.h"

namespace shardgrad {
namespace {

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

FilePointer open(const std::string& path, const char* mode) {
  FilePointer file(std::fopen(path.c_str(), mode));
  require(file != nullptr, "train", "cannot write {}: {}; choose another --out", path,
          std::strerror(errno));
  return file;
}

// The condition comes first: the order in which a call evaluates its arguments is unspecified, and
// `errno` would be read too early.
void write_and_flush(const std::string& text, std::FILE* file, const std::string& path) {
  const bool written = std::fputs(text.c_str(), file) >= 0 && std::fflush(file) == 0;
  require(written, "train", "cannot write {}: {}", path, std::strerror(errno));
}

// Under another name first, so that the file is there whole or not at all.
void write_whole(const std::string& path, const std::string& text) {
  const std::string partial = path + ".partial";
  {
    const FilePointer file = open(partial, "w");
    write_and_flush(text, file.get(), partial);
  }
  std::error_code error;
  std::filesystem::rename(partial, path, error);
  require(!error, "train", "cannot rename {} to {}: {}", partial, path, error.message());
}

std::string duration(double seconds) {
  const auto total = static_cast<std::int64_t>(seconds + 0.5);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{}:{:02} min", total / 60, total % 60);
  return fmt::format("{}:{:02} h", total / 3600, total % 3600 / 60);
}

// Columns of the terminal, many if it does not tell.
std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 1000;
}

}  // namespace

std::string settings_text(const TrainOptions& options, const std::string& device) {
  return to_json(options, device).dump(2);
}

RunLog::RunLog(const TrainOptions& options, const std::string& device, bool in_place)
    : metrics_path_(options.out + "/metrics.jsonl"),
      samples_path_(options.out + "/samples.jsonl"),
      first_step_(options.checkpoints.resumed_step),
      loss_unit_(options.data.is_bytes() ? "nats per byte" : "nats per token"),
      total_steps_(options.steps),
      terminal_(in_place && isatty(STDOUT_FILENO) != 0) {
  require_no_other_run(options.out, options.checkpoints);
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  require(!error, "train", "cannot make the folder {}: {}; choose another --out", options.out,
          error.message());
  write_whole(options.out + "/config.json", settings_text(options, device) + "\n");
  write_whole(options.out + "/run.toml", options.config);
  const bool goes_on = continues_in(options.out, options.checkpoints);
  if (goes_on) write_whole(metrics_path_, lines_up_to(metrics_path_, first_step_));
  const std::string samples = goes_on ? lines_up_to(samples_path_, first_step_) : "";
  if (!samples.empty()) {
    write_whole(samples_path_, samples);
  } else {
    std::filesystem::remove(samples_path_, error);
    require(!error, "train", "cannot remove {}: {}", samples_path_, error.message());
  }
  metrics_ = open(metrics_path_, goes_on ? "a" : "w");
}

RunLog::~RunLog() {
  if (line_open_) std::fputc('\n', stdout);
}

void RunLog::write(const StepMetrics& metrics) {
  nlohmann::ordered_json line{{"step", metrics.step}};
  // JSON knows no NaN: a number that is none is left out.
  const auto add = [&](const char* name, double value) {
    if (std::isfinite(value)) line[name] = value;
  };
  add("loss", metrics.loss);
  add("lr", metrics.learning_rate);
  add("grad_norm", metrics.gradient_norm);
  add("tokens_per_second", metrics.tokens_per_second);
  if (metrics.skipped_steps > 0) line["skipped_steps"] = metrics.skipped_steps;
  if (metrics.spiked_steps > 0) line["spiked_steps"] = metrics.spiked_steps;
  if (metrics.validation_loss) add("val_loss", *metrics.validation_loss);
  if (metrics.model_flops_utilization) add("mfu", *metrics.model_flops_utilization);
  write_and_flush(line.dump() + "\n", metrics_.get(), metrics_path_);
  show(metrics);
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
      last ? "took " + duration(elapsed)
           : "ETA " + duration(elapsed / static_cast<double>(metrics.step - first_step_) *
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
  const FilePointer samples = open(samples_path_, "a");
  write_and_flush(line.dump() + "\n", samples.get(), samples_path_);
  say(fmt::format("\nA sample after step {}, continuing the first bytes of the held-out text:\n{}",
                  step, shown_text));
}

void RunLog::say(const std::string& text) {
  fmt::print("{}{}\n", line_open_ ? "\n" : "", text);
  line_open_ = false;
  std::fflush(stdout);
}

}  // namespace shardgrad
