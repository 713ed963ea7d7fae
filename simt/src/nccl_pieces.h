// How a call's data passes through memory of bounded size: in pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/src/nccl_call.h"

namespace simt {

constexpr size_t kPieceBytes = size_t{64} << 10;

/// In memory that processes share: where a rank puts the pieces of its data down, one after the
/// other, for one rank or for all.
struct Mailbox {
  uint64_t put;         // pieces so far
  uint64_t taken;       // by the one rank; or by this rank, of all ranks' pieces
  CollectiveCall call;  // to which the piece belongs; its pointers mean nothing to others
  alignas(64) char data[kPieceBytes];
};

/// The pieces of a rank's data in the call, at least one: it shows the others what the call is.
size_t piece_count(const CollectiveCall& call, int ranks);

/// Puts down what this rank has for the others in a piece of a collective, or of a send.
void put_piece(const CollectiveCall& call, int rank, int ranks, size_t piece, Mailbox& own);
/// Takes what this rank gets in a piece of a collective, of which every rank has put down its part.
void take_piece(const CollectiveCall& call, int rank, size_t piece,
                const std::vector<const Mailbox*>& boxes);
/// The same for a receive.
void take_piece(const CollectiveCall& call, size_t piece, const Mailbox& box);

}  // namespace simt
