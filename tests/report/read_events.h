// Reads TensorBoard's files as protozero does.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <vector>

namespace shardgrad {

/// What an event holds; parts that it has not are empty.
struct ReadEvent {
  double wall_time = 0.0;
  std::int64_t step = 0;
  std::string file_version;
  bool starts_session = false;
  std::map<std::string, float> scalars;
  std::map<std::string, std::string> texts;
};

inline void read_value(protozero::pbf_reader value, ReadEvent& event) {
  std::string tag;
  while (value.next()) {
    if (value.tag() == 1) {
      tag = value.get_string();
    } else if (value.tag() == 2) {
      event.scalars[tag] = value.get_float();
    } else if (value.tag() == 8) {
      protozero::pbf_reader tensor = value.get_message();
      while (tensor.next()) {
        if (tensor.tag() == 8) {
          event.texts[tag] = tensor.get_string();
        } else {
          tensor.skip();
        }
      }
    } else {
      value.skip();
    }
  }
}

inline ReadEvent read_event(const std::string& bytes) {
  ReadEvent event;
  protozero::pbf_reader reader(bytes);
  while (reader.next()) {
    switch (reader.tag()) {
      case 1:
        event.wall_time = reader.get_double();
        break;
      case 2:
        event.step = reader.get_int64();
        break;
      case 3:
        event.file_version = reader.get_string();
        break;
      case 5: {
        protozero::pbf_reader summary = reader.get_message();
        while (summary.next(1)) read_value(summary.get_message(), event);
        break;
      }
      case 7: {
        protozero::pbf_reader log = reader.get_message();
        while (log.next(1)) event.starts_session = log.get_enum() == 1;
        break;
      }
      default:
        ADD_FAILURE() << "field " << reader.tag();
        reader.skip();
    }
  }
  return event;
}

/// The events of a file, which ends where a record does. Checksums: tensorboard_event_test.cc.
inline std::vector<ReadEvent> read_events(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<ReadEvent> events;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t length = 0;
    if (at + 16 > bytes.size()) {
      ADD_FAILURE() << "cut off at byte " << at;
      break;
    }
    std::memcpy(&length, bytes.data() + at, 8);
    events.push_back(read_event(bytes.substr(at + 12, length)));
    at += 16 + length;
  }
  return events;
}

}  // namespace shardgrad
