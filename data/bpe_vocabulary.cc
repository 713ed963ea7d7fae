#include "data/bpe_vocabulary.h"

#include <filesystem>
#include <unordered_map>
#include <unordered_set>

#include "data/byte_alphabet.h"
#include "data/file.h"
#include "files/json.h"
#include "tensor/error.h"

namespace shardgrad {
namespace {

using nlohmann::json;

constexpr const char* kWhere = "load_bpe_vocabulary";
constexpr std::int64_t kMostFileBytes = 64 << 20;

// What both kinds of files say, in their own words.
class VocabularyBuilder {
 public:
  explicit VocabularyBuilder(std::string name) : name_(std::move(name)) {}

  // An object: token -> id.
  void add_tokens(const json& vocab) {
    require(vocab.is_object(), kWhere, "{}: the vocabulary is {}; expected an object, token -> id",
            name_, vocab.type_name());
    for (const auto& [token, id] : vocab.items()) {
      const auto bytes = from_byte_alphabet(token);
      require(bytes.has_value() && !token.empty(), kWhere,
              "{}: token \"{}\" is not written in GPT-2's characters for bytes; expected a "
              "byte-level vocabulary",
              name_, token);
      add(token, *bytes, id);
    }
  }

  // A token that no merge leads to, and that is written as it is.
  void add_special(const std::string& token, const json& id) {
    const auto known = ids_.find(token);
    if (known == ids_.end()) {
      add(token, token, id);
    } else {
      require(id == known->second, kWhere, "{}: token \"{}\" has the ids {} and {}", name_, token,
              known->second, shown(id));
    }
  }

  // `place` says where in the files the merge stands.
  void add_merge(const std::string& left, const std::string& right, const std::string& place) {
    const BpeMerge merge{id_of(left, place), id_of(right, place), id_of(left + right, place)};
    require(pairs_.insert(std::uint32_t{merge.left} << 16 | merge.right).second, kWhere,
            "{}: the merge of \"{}\" and \"{}\" is there twice", place, left, right);
    vocabulary_.merges.push_back(merge);
  }

  // Call once all tokens are there.
  void check_tokens() {
    const std::size_t count = ids_.size();
    require(vocabulary_.tokens.size() == count, kWhere,
            "{}: {} tokens have ids up to {}; expected 0, 1, ... without gap", name_, count,
            static_cast<std::int64_t>(vocabulary_.tokens.size()) - 1);
    for (int byte = 0; byte < 256; ++byte) {
      std::string character;
      append_character(byte, character);
      require(
          ids_.count(character) == 1, kWhere,
          "{}: byte {:#04x} has no token; expected \"{}\" in the vocabulary, so that every text "
          "can be encoded",
          name_, byte, character);
    }
    const auto end = ids_.find(std::string(kEndOfText));
    if (end != ids_.end()) vocabulary_.end_of_text = end->second;
  }

  BpeVocabulary take() { return std::move(vocabulary_); }

 private:
  static void append_character(int byte, std::string& text) {
    text += to_byte_alphabet(std::string(1, static_cast<char>(byte)));
  }

  void add(const std::string& token, const std::string& bytes, const json& id) {
    require(id.is_number_integer() && id >= 0 && id < kMostTokens, kWhere,
            "{}: token \"{}\" has the id {}; expected an integer from 0 to {}", name_, token,
            shown(id), kMostTokens - 1);
    const auto number = id.get<TokenId>();
    if (number >= vocabulary_.tokens.size()) vocabulary_.tokens.resize(number + 1u);
    require(vocabulary_.tokens[number].empty(), kWhere,
            "{}: token \"{}\" has the id {} of another token", name_, token, number);
    require(!bytes.empty(), kWhere, "{}: the token with id {} is empty", name_, number);
    vocabulary_.tokens[number] = bytes;
    ids_[token] = number;
  }

  TokenId id_of(const std::string& token, const std::string& place) const {
    const auto found = ids_.find(token);
    require(found != ids_.end(), kWhere, "{}: \"{}\" is not in the vocabulary", place, token);
    return found->second;
  }

  std::string name_;
  BpeVocabulary vocabulary_;
  std::unordered_map<std::string, TokenId> ids_;
  std::unordered_set<std::uint32_t> pairs_;
};

// The two words of a merge. @throws Error when `line` is anything else.
std::pair<std::string, std::string> words_of(std::string_view line, const std::string& place) {
  const auto space = line.find(' ');
  require(space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
              line.find(' ', space + 1) == std::string_view::npos,
          kWhere, "{}: \"{}\" is no merge; expected two tokens and a space between them", place,
          line);
  return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

bool is_empty(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() || *found == "" || *found == false;
}

// Refuses what would give other ids than ours. Post-processors add special tokens around a text,
// and decoders concern text only.
void check_kind(const json& file, const std::string& name) {
  const auto refuse = [&](const std::string& what) {
    fail(kWhere, "{}: {}; expected byte-level BPE as GPT-2's", name, what);
  };
  if (!file.is_object() || !file.contains("model") || !file["model"].is_object()) {
    refuse("there is no object \"model\"");
  }
  const json& model = file["model"];
  if (model.value("type", json("BPE")) != "BPE") refuse("the model is not BPE");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                          "byte_fallback", "ignore_merges"}) {
    if (!is_empty(model, key)) refuse(fmt::format("the model has \"{}\"", key));
  }
  if (!is_empty(file, "normalizer")) refuse("there is a normalizer");
  const json splitter = file.value("pre_tokenizer", json());
  if (!splitter.is_object() || splitter.value("type", json()) != "ByteLevel" ||
      splitter.value("add_prefix_space", json(true)) != false ||
      splitter.value("use_regex", json(true)) != true) {
    refuse("the pre-tokenizer is not ByteLevel with add_prefix_space false and use_regex true");
  }
}

void add_special_tokens(const json& tokens, const std::string& name, VocabularyBuilder& builder) {
  require(tokens.is_array(), kWhere, "{}: \"added_tokens\" is {}; expected a list", name,
          tokens.type_name());
  for (const json& token : tokens) {
    require(token.is_object() && token.contains("content") && token["content"].is_string() &&
                token.contains("id"),
            kWhere, "{}: an added token is {}; expected \"id\" and \"content\"", name,
            shown(token));
    const std::string content = token["content"].get<std::string>();
    require(
        token.value("special", json(false)) == true, kWhere,
        "{}: the added token \"{}\" is not special, so it would be looked for in the text; that "
        "is not supported",
        name, content);
    builder.add_special(content, token["id"]);
  }
}

}  // namespace

BpeVocabulary parse_bpe_files(std::string_view vocab_json, const std::string& vocab_name,
                              std::string_view merges_txt, const std::string& merges_name) {
  VocabularyBuilder builder(vocab_name);
  builder.add_tokens(parse_json(vocab_json, vocab_name));
  builder.check_tokens();
  std::size_t number = 0;
  for (std::size_t start = 0; start < merges_txt.size();) {
    const std::size_t end = std::min(merges_txt.find('\n', start), merges_txt.size());
    std::string_view line = merges_txt.substr(start, end - start);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const std::string place = fmt::format("{}, line {} at offset {}", merges_name, ++number, start);
    start = end + 1;
    const bool comment = line.substr(0, 9) == "#version:";
    if (comment || (line.empty() && start >= merges_txt.size())) continue;
    const auto [left, right] = words_of(line, place);
    builder.add_merge(left, right, place);
  }
  return builder.take();
}

BpeVocabulary parse_tokenizer_json(std::string_view text, const std::string& name) {
  const json file = parse_json(text, name);
  check_kind(file, name);
  VocabularyBuilder builder(name);
  const json& model = file["model"];
  require(model.contains("vocab") && model.contains("merges") && model["merges"].is_array(), kWhere,
          "{}: the model has no \"vocab\" or no list \"merges\"", name);
  builder.add_tokens(model["vocab"]);
  add_special_tokens(file.value("added_tokens", json::array()), name, builder);
  builder.check_tokens();
  std::size_t number = 0;
  for (const json& merge : model["merges"]) {
    const std::string place = fmt::format("{}, merge {}", name, number++);
    if (merge.is_string()) {  // as older versions write them
      const auto [left, right] = words_of(merge.get_ref<const std::string&>(), place);
      builder.add_merge(left, right, place);
      continue;
    }
    require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
            kWhere, "{}: expected two tokens", place);
    builder.add_merge(merge[0].get<std::string>(), merge[1].get<std::string>(), place);
  }
  return builder.take();
}

BpeVocabulary load_bpe_vocabulary(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string whole = fs::is_directory(path, error) ? path + "/tokenizer.json" : path;
  if (fs::is_regular_file(whole, error)) {
    return parse_tokenizer_json(read_file(whole, kMostFileBytes), whole);
  }
  const std::string vocab = path + "/vocab.json", merges = path + "/merges.txt";
  require(
      fs::exists(vocab, error) && fs::exists(merges, error), kWhere,
      "there is no tokenizer in {}; expected \"bytes\", or a folder with tokenizer.json, or with "
      "vocab.json and merges.txt",
      path);
  return parse_bpe_files(read_file(vocab, kMostFileBytes), vocab, read_file(merges, kMostFileBytes),
                         merges);
}

std::string to_vocab_json(const BpeVocabulary& vocabulary) {
  std::string text = "{";
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    text += fmt::format("{}{}:{}", id == 0 ? "" : ",",
                        json(to_byte_alphabet(vocabulary.tokens[id])).dump(), id);
  }
  return text + "}";
}

std::string to_merges_txt(const BpeVocabulary& vocabulary) {
  std::string text = "#version: 0.2\n";
  for (const BpeMerge& merge : vocabulary.merges) {
    text += to_byte_alphabet(vocabulary.tokens[merge.left]) + " " +
            to_byte_alphabet(vocabulary.tokens[merge.right]) + "\n";
  }
  return text;
}

}  // namespace shardgrad
