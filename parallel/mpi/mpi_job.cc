#include "parallel/mpi/mpi_job.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>
#include <utility>

#include "parallel/mpi/mpi_communicator.h"
#include "parallel/mpi/mpi_cores.h"
#include "parallel/mpi/mpi_error.h"
#include "parallel/mpi/mpi_group.h"
#include "parallel/mpi/mpi_pause.h"

namespace shardgrad::mpi {
namespace {

constexpr const char* kWhere = "mpi";

// News is short enough for MPI to deliver it before anybody asks for it.
constexpr std::size_t kLongestNews = 2000;

// Of several ranks that fail at the same moment, for instance since all of them were started with
// the same mistake, the lowest reports. How long the others wait for its news:
constexpr std::chrono::milliseconds kTimeForNews{500};

// How long a rank waits for its end, when another one has to report and end the job.
constexpr std::chrono::seconds kTimeToEnd{5};

}  // namespace

MpiJob::MpiJob() {
  undo_default_binding();
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), kWhere);
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    shardgrad::fail(kWhere,
                    "this MPI library cannot be used by several threads at once; use one that is "
                    "built with MPI_THREAD_MULTIPLE");
  }
  check(MPI_Comm_dup(MPI_COMM_WORLD, &messages_), kWhere);
  check(MPI_Comm_dup(MPI_COMM_WORLD, &news_), kWhere);
  MPI_Comm_set_errhandler(messages_, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(news_, MPI_ERRORS_RETURN);
  int* greatest_tag = nullptr;
  int found = 0;
  check(MPI_Comm_get_attr(messages_, MPI_TAG_UB, &greatest_tag, &found), kWhere);
  greatest_tag_ = found != 0 ? *greatest_tag : 32767;  // the least that MPI promises
  find_place();
  lowest_failed_rank_ = place_.world_size;
}

void MpiJob::find_place() {
  place_.launched_by_mpi = true;
  MPI_Comm_size(messages_, &place_.world_size);
  MPI_Comm_rank(messages_, &place_.rank);
  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(messages_, MPI_COMM_TYPE_SHARED, place_.rank, MPI_INFO_NULL, &node),
        kWhere);
  MPI_Comm_size(node, &place_.local_size);
  MPI_Comm_rank(node, &place_.local_rank);
  place_.cores = share_of_cores(node);
  int first_rank = place_.rank;  // of this node: its number
  check(MPI_Bcast(&first_rank, 1, MPI_INT, 0, node), kWhere);
  place_.nodes.resize(place_.world_size);
  check(MPI_Allgather(&first_rank, 1, MPI_INT, place_.nodes.data(), 1, MPI_INT, messages_), kWhere);
  MPI_Comm_free(&node);
}

MpiJob::~MpiJob() {
  groups_.clear();
  MPI_Comm_free(&messages_);
  MPI_Comm_free(&news_);
  MPI_Finalize();
}

std::unique_ptr<HostCommunicator> MpiJob::world() {
  std::vector<int> ranks(place_.world_size);
  std::iota(ranks.begin(), ranks.end(), 0);
  // Each run has this number, which next_group_number() does not give: the run before has ended.
  return std::make_unique<MpiCommunicator>(*this, form_group(std::move(ranks), place_.rank, 0));
}

int MpiJob::tag_of(int group_number, int naming_rank) const {
  const std::int64_t tag =
      2 * (static_cast<std::int64_t>(group_number) * place_.world_size + naming_rank);
  require(tag < greatest_tag_, "split", "{} groups are more than MPI has tags for; keep those made",
          group_number);
  return static_cast<int>(tag);
}

std::shared_ptr<MpiGroup> MpiJob::form_group(std::vector<int> world_ranks, int rank, int number) {
  auto group = std::make_shared<MpiGroup>(*this, std::move(world_ranks), rank, number);
  const std::lock_guard<std::mutex> lock(mutex_);
  groups_.push_back(group);
  return group;
}

void MpiJob::wait_for_all() {
  std::vector<std::shared_ptr<MpiGroup>> groups;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    groups.swap(groups_);
  }
  for (const auto& group : groups) group->leave();
  Pause pause(/*may_sleep=*/true);
  for (const auto& group : groups) {
    while (!group->all_have_left()) {
      pause();
      if (pause.is_long()) throw_if_failed(kWhere);
    }
  }
}

void MpiJob::throw_if_failed(const char* where) const {
  look_for_news();
  if (failed_) shardgrad::fail(where, "{}", failure());
}

// --- Failures -----------------------------------------------------------------------------------

void MpiJob::look_for_news() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (;;) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    if (MPI_Improbe(MPI_ANY_SOURCE, 0, news_, &found, &message, &status) != MPI_SUCCESS ||
        found == 0) {
      return;
    }
    char text[kLongestNews];
    int length = 0;
    MPI_Get_count(&status, MPI_CHAR, &length);
    MPI_Mrecv(text, length, MPI_CHAR, &message, MPI_STATUS_IGNORE);
    lowest_failed_rank_ = std::min<int>(lowest_failed_rank_, status.MPI_SOURCE);
    if (failed_) continue;
    failure_.assign(text, static_cast<std::size_t>(length));
    failed_ = true;
  }
}

void MpiJob::fail(const std::string& reason) noexcept {
  look_for_news();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (failed_itself_) return;
  try {
    // What has befallen another rank as well, this one need not have from there.
    const std::string tail = " failed: " + reason;
    const bool is_shared = failure_.size() >= tail.size() &&
                           failure_.compare(failure_.size() - tail.size(), tail.size(), tail) == 0;
    if (failed_ && !is_shared) return;
    if (!failed_) failure_ = fmt::format("rank {}{}", place_.rank, tail);
    failed_itself_ = true;
    failed_ = true;
    send_news();
  } catch (...) {  // out of memory
    failed_itself_ = true;
    failed_ = true;
  }
}

// Nobody waits for these: the process ends soon.
void MpiJob::send_news() {
  const std::size_t length = std::min(failure_.size(), kLongestNews);
  for (int rank = 0; rank < place_.world_size; ++rank) {
    if (rank == place_.rank) continue;
    news_sent_.push_back(MPI_REQUEST_NULL);
    MPI_Isend(failure_.data(), static_cast<int>(length), MPI_CHAR, rank, 0, news_,
              &news_sent_.back());
  }
}

std::string MpiJob::failure() const {
  look_for_news();
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

bool MpiJob::wait_for_lower_rank() const {
  const auto end = std::chrono::steady_clock::now() + kTimeForNews;
  while (std::chrono::steady_clock::now() < end) {
    look_for_news();
    if (lowest_failed_rank_ < place_.rank) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

bool MpiJob::has_to_report() noexcept {
  if (failed_itself_ && (place_.rank == 0 || !wait_for_lower_rank())) return true;
  // The rank that has to report ends this one, too.
  std::this_thread::sleep_for(kTimeToEnd);
  return true;
}

void MpiJob::end_all(int status) noexcept {
  MPI_Abort(MPI_COMM_WORLD, status);
  _exit(status);
}

}  // namespace shardgrad::mpi

namespace shardgrad {

std::unique_ptr<ProcessLink> join_mpi() { return std::make_unique<mpi::MpiJob>(); }

}  // namespace shardgrad
