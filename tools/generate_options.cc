#include "tools/generate_options.h"

#include "tools/program.h"

namespace shardgrad {
namespace {

void add_text_options(CLI::App& app, GenerateOptions& options) {
  constexpr const char* kGroup = "Text";
  app.add_option("--model", options.model,
                 "Folder of the model: a checkpoint, the --out of a training run (its newest "
                 "checkpoint), or a GPT-2 in the form of Hugging Face's transformers")
      ->required()
      ->group(kGroup);
  app.add_option(
         "--tokenizer", options.tokenizer,
         "bytes, or a folder with vocab.json and merges.txt, or with tokenizer.json (default: "
         "the model's folder if it has them, else bytes)")
      ->group(kGroup);
  CLI::Option* const prompt =
      app.add_option("--prompt", options.prompt, "The text to continue (default: read from stdin)")
          ->group(kGroup);
  CLI::Option* const file = app.add_option("--prompt-file", options.prompt_file,
                                           "The file with the text to continue, "
                                           "every byte of it; - is stdin")
                                ->excludes(prompt)
                                ->group(kGroup);
  app.add_flag("--interactive", options.interactive,
               "Continue each line of stdin on its own, until it ends")
      ->excludes(prompt)
      ->excludes(file)
      ->group(kGroup);
  app.add_option("--max-new-tokens", options.max_new_tokens,
                 "Length of a continuation. It may exceed the model's context: when that is full, "
                 "the model goes on from the newer half of what it sees")
      ->check(at_least(0))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--num-samples", options.num_samples,
                 "Continuations of the text; the second is that of the next --seed, and so on")
      ->check(at_least(1))
      ->capture_default_str()
      ->group(kGroup);
}

void add_sampling_options(CLI::App& app, GenerateOptions& options) {
  constexpr const char* kGroup = "Choice of each token (in this order)";
  SamplingOptions& sampling = options.sampling;
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "Above 1 makes tokens that the text has already less likely (CTRL's; 1: off)")
      ->capture_default_str()
      ->group(kGroup);
  CLI::Option* const temperature =
      app.add_option("--temperature", sampling.temperature,
                     "Divides the logits: below 1 likely tokens get likelier, above 1 less so")
          ->check(not_negative())
          ->capture_default_str()
          ->group(kGroup);
  app.add_flag("--greedy", "Always the likeliest token, as --temperature=0")
      ->excludes(temperature)
      ->group(kGroup);
  app.add_option("--top-k", sampling.top_k, "Only the k likeliest tokens (0: all)")
      ->check(at_least(0))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--top-p", sampling.top_p,
                 "Of these, only the fewest likeliest whose probabilities sum up to p (1: all)")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--seed", options.seed,
                 "Of the random choices: the same seed gives the same text, at any --tp")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(kGroup);
}

}  // namespace

bool parse_generate_options(int argc, const char* const* argv, GenerateOptions& options) {
  CLI::App app(
      "Continues texts with a trained GPT, on one rank or on several that share each layer (--tp). "
      "Keys and values of earlier tokens are cached, so a new token costs a pass over itself "
      "alone. The text comes on stdout as it is made, with what a terminal cannot show as \\xNN; "
      "the time that it took, on stderr.",
      "generate");
  add_text_options(app, options);
  add_sampling_options(app, options);
  constexpr const char* kGroup = "Ranks";
  app.add_option("--tp", options.tp,
                 "Tensor-parallel ranks, which share the model; the text is the same at any number "
                 "(default: under mpirun its ranks, else 1)")
      ->check(at_least(1, kMostThreads))
      ->group(kGroup);
  app.add_option("--threads", options.threads, "Threads per rank (default: cores / ranks)")
      ->check(at_least(1, kMostThreads))
      ->group(kGroup);
  add_device_options(app, options.device, kGroup);
  if (!parse_command_line(app, argc, argv)) return false;
  if (app.get_option("--greedy")->count() > 0) options.sampling.temperature = 0.0;
  options.sampling.validate();
  if (app.get_option("--prompt")->count() > 0) {
    require(!options.prompt.empty(), "generate", "--prompt is empty; give at least one character");
  } else if (options.prompt_file.empty()) {
    options.prompt_file = "-";
  }
  options.model = user_path(options.model);
  if (options.tokenizer != "bytes") options.tokenizer = user_path(options.tokenizer);
  if (options.prompt_file != "-") options.prompt_file = user_path(options.prompt_file);
  return true;
}

}  // namespace shardgrad
