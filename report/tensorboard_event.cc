#include "report/tensorboard_event.h"

#include <protozero/pbf_writer.hpp>

#include "report/crc32c.h"

namespace shardgrad {
namespace {

using protozero::pbf_writer;

// The numbers of the fields of each message, and the values of their enumerations.
struct EventFields {
  enum { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
};
struct SessionLogFields {
  enum { kStatus = 1 };
  enum Status { kStart = 1 };
};
struct SummaryFields {
  enum { kValue = 1 };
};
struct ValueFields {
  enum { kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9 };
};
struct MetadataFields {
  enum { kPluginData = 1 };
};
struct PluginDataFields {
  enum { kPluginName = 1 };
};
struct TensorFields {
  enum { kDType = 1, kShape = 2, kStringValue = 8 };
  enum DType { kString = 7 };
};
struct ShapeFields {
  enum { kDimension = 2 };
};
struct DimensionFields {
  enum { kSize = 1 };
};

// A message with one field, which is a message or a string.
std::string message_of(protozero::pbf_tag_type field, const std::string& value) {
  std::string bytes;
  pbf_writer(bytes).add_bytes(field, value);
  return bytes;
}

// An event with one field beside its place; as protocol buffers' own libraries do, a step of 0 is
// left out.
std::string event_of(double wall_time, std::int64_t step, protozero::pbf_tag_type field,
                     const std::string& value) {
  std::string bytes;
  pbf_writer event(bytes);
  event.add_double(EventFields::kWallTime, wall_time);
  if (step != 0) event.add_int64(EventFields::kStep, step);
  event.add_bytes(field, value);
  return bytes;
}

// A vector of one string.
std::string text_tensor(const std::string& text) {
  std::string dimension, bytes;
  pbf_writer(dimension).add_int64(DimensionFields::kSize, 1);
  pbf_writer tensor(bytes);
  tensor.add_enum(TensorFields::kDType, TensorFields::kString);
  tensor.add_message(TensorFields::kShape, message_of(ShapeFields::kDimension, dimension));
  tensor.add_bytes(TensorFields::kStringValue, text);
  return bytes;
}

// Lowest byte first.
template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    bytes += static_cast<char>((number >> (8 * i)) & 0xff);
  return bytes;
}

// Rotated and shifted, since the checksum of data that has checksums in it says little.
std::string masked_checksum(std::string_view bytes) {
  const std::uint32_t checksum = crc32c(bytes);
  return little_endian(((checksum >> 15) | (checksum << 17)) + 0xa282ead8u);
}

}  // namespace

std::string file_version_event(double wall_time) {
  return event_of(wall_time, 0, EventFields::kFileVersion, "brain.Event:2");
}

std::string session_start_event(double wall_time, std::int64_t first_step) {
  std::string log;
  pbf_writer(log).add_enum(SessionLogFields::kStatus, SessionLogFields::kStart);
  return event_of(wall_time, first_step, EventFields::kSessionLog, log);
}

std::string scalars_event(double wall_time, std::int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string bytes;
    pbf_writer value(bytes);
    value.add_string(ValueFields::kTag, scalar.tag);
    value.add_float(ValueFields::kSimpleValue, static_cast<float>(scalar.value));
    summary += message_of(SummaryFields::kValue, bytes);
  }
  return event_of(wall_time, step, EventFields::kSummary, summary);
}

std::string text_event(double wall_time, std::int64_t step, const std::string& tag,
                       const std::string& markdown) {
  const std::string plugin = message_of(PluginDataFields::kPluginName, "text");
  std::string bytes;
  pbf_writer value(bytes);
  value.add_string(ValueFields::kTag, tag);
  value.add_message(ValueFields::kTensor, text_tensor(markdown));
  value.add_message(ValueFields::kMetadata, message_of(MetadataFields::kPluginData, plugin));
  return event_of(wall_time, step, EventFields::kSummary, message_of(SummaryFields::kValue, bytes));
}

std::string tensorboard_record(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  return length + masked_checksum(length) + std::string(event) + masked_checksum(event);
}

}  // namespace shardgrad
