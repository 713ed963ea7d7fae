#include "simt/src/nccl_pieces.h"

#include <algorithm>
#include <cstring>

#include "simt/src/memory.h"
#include "simt/src/nccl_reduce.h"

namespace simt {
namespace {

/// The elements of a piece: of the part for each rank, in a call that has such parts.
struct Piece {
  size_t begin, count;   // elements
  size_t offset, bytes;  // the same in bytes
};

size_t largest_piece(const CollectiveCall& call, int ranks) {
  const size_t parts = call.kind == CollectiveKind::ReduceScatter ? static_cast<size_t>(ranks) : 1;
  return kPieceBytes / parts / element_bytes(call.type);
}

Piece piece_of(const CollectiveCall& call, int ranks, size_t piece) {
  const size_t largest = largest_piece(call, ranks), size = element_bytes(call.type);
  const size_t begin = piece * largest;
  const size_t count = std::min(largest, call.count - std::min(begin, call.count));
  return {begin, count, begin * size, count * size};
}

void copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace

size_t piece_count(const CollectiveCall& call, int ranks) {
  const size_t largest = largest_piece(call, ranks);
  return std::max<size_t>(1, (call.count + largest - 1) / largest);
}

void put_piece(const CollectiveCall& call, int rank, int ranks, size_t piece, Mailbox& own) {
  const OpenMemory open;
  const Piece part = piece_of(call, ranks, piece);
  const auto* from = static_cast<const char*>(call.send) + part.offset;
  own.call = call;
  if (call.kind == CollectiveKind::ReduceScatter) {
    for (size_t other = 0; other < static_cast<size_t>(ranks); ++other) {
      copy(own.data + other * part.bytes, from + other * call.bytes(), part.bytes);
    }
  } else if (call.kind != CollectiveKind::Broadcast || rank == call.root) {
    copy(own.data, from, part.bytes);
  }
}

void take_piece(const CollectiveCall& call, int rank, size_t piece,
                const std::vector<const Mailbox*>& boxes) {
  const OpenMemory open;
  const Piece part = piece_of(call, static_cast<int>(boxes.size()), piece);
  char* to = static_cast<char*>(call.receive) + part.offset;
  if (call.reduces()) {
    if (call.kind == CollectiveKind::Reduce && rank != call.root) return;
    const size_t own_part =
        call.kind == CollectiveKind::ReduceScatter ? static_cast<size_t>(rank) * part.bytes : 0;
    std::vector<const void*> inputs;
    for (const Mailbox* box : boxes) inputs.push_back(box->data + own_part);
    reduce_elements(inputs, {to}, part.count, call.type, call.op);
  } else if (call.kind == CollectiveKind::AllGather) {
    for (size_t from = 0; from < boxes.size(); ++from) {
      copy(to + from * call.bytes(), boxes[from]->data, part.bytes);
    }
  } else {
    copy(to, boxes[static_cast<size_t>(call.root)]->data, part.bytes);
  }
}

void take_piece(const CollectiveCall& call, size_t piece, const Mailbox& box) {
  const OpenMemory open;
  const Piece part = piece_of(call, 1, piece);
  copy(static_cast<char*>(call.receive) + part.offset, box.data, part.bytes);
}

}  // namespace simt
