// What TensorBoard reads, as bytes: events, which are protocol buffers, in records. The formats are
// those of TensorFlow's event.proto, summary.proto and tensor.proto, and of its TFRecord files
// (https://www.tensorflow.org/tutorials/load_data/tfrecord).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardgrad {

/// A number under the name by which TensorBoard finds its curve; "loss/train" is in the group
/// "loss".
struct Scalar {
  std::string tag;
  double value;  ///< stored as a float; NaN and infinities are allowed
};

/// The first event of a file. `wall_time` here and below: seconds since 1970.
std::string file_version_event(double wall_time);

/// Says that a run begins, or goes on, with `first_step`: what earlier files of the same folder
/// have of that step and later ones no longer counts.
std::string session_start_event(double wall_time, std::int64_t first_step);

/// The numbers of a step.
std::string scalars_event(double wall_time, std::int64_t step, const std::vector<Scalar>& scalars);

/// A text for TensorBoard's page of texts, in Markdown. Must be UTF-8.
std::string text_event(double wall_time, std::int64_t step, const std::string& tag,
                       const std::string& markdown);

/// `event` as a record of a file: its length and the length's checksum, then the bytes and theirs.
std::string tensorboard_record(std::string_view event);

}  // namespace shardgrad
