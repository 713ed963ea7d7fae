// Starts a built program with mpirun, as a user does.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/tools/run_program.h"

namespace shardgrad::tool_testing {

/// Runs `mpirun OPTIONS -n PROCESSES PROGRAM ARGUMENTS` in `folder`. The settings let it run as
/// root, with more ranks than cores, and where there is no network.
inline Result mpirun(int processes, const std::string& program,
                     const std::vector<std::string>& arguments, const std::string& folder,
                     const std::vector<std::string>& options = {"--oversubscribe"}) {
  std::vector<std::string> words{"mpirun"};
  words.insert(words.end(), options.begin(), options.end());
  words.insert(words.end(), {"-n", std::to_string(processes), tool_path(program)});
  words.insert(words.end(), arguments.begin(), arguments.end());
  // Open MPI names its files, in TMPDIR and of the memory that ranks share, by process number, and
  // those of two sandboxes may be the same: jobs that then shared memory crashed. The path of a
  // socket must be short, so the test's own folder will not do.
  std::string scratch = "/tmp/mpi.XXXXXX";  // mkdtemp puts letters in place of the X
  if (mkdtemp(scratch.data()) == nullptr) {
    ADD_FAILURE() << "cannot make a folder in /tmp: " << std::strerror(errno);
    return {};
  }
  const Result result =
      run("/usr/bin/env", words, folder,
          {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_pml=ob1",
           "OMPI_MCA_btl=self,vader", "OMPI_MCA_btl_vader_single_copy_mechanism=none",
           "OMPI_MCA_plm_rsh_agent=", "OMPI_MCA_btl_vader_backing_directory=" + scratch,
           "TMPDIR=" + scratch});
  std::filesystem::remove_all(scratch);
  return result;
}

/// Runs scenario `name` of the program in this folder.
inline Result run_ranks_program(int processes, const std::string& name, const std::string& folder,
                                const std::vector<std::string>& options = {"--oversubscribe"}) {
  return mpirun(processes, "tests/mpi/ranks", {name}, folder, options);
}

/// Options for programs on simt, with a GPU for each of four ranks, whose streams work at once or
/// as late as they may.
inline std::vector<std::string> on_four_gpus(bool deferred) {
  return {"--oversubscribe", "-x", "SIMT_DEVICES=4", "-x",
          deferred ? "SIMT_DEFERRED=1" : "SIMT_DEFERRED=0"};
}

/// How often `part` occurs in `text`.
inline int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace shardgrad::tool_testing
