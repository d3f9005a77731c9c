// faulty_disk.h - the disk under SQLite, with its failures in a test's hands: a VFS over the usual one.
//
// While an object lives it is the default VFS of the process, so a SqliteStore that is opened under it runs on it.
// Failures are those of one directory: what a test copies elsewhere reads and writes well. One at a time, and it must
// outlive the stores that were opened under it. Threads: any.
#pragma once

#include <sqlite3.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace syzygy::store_tests {

class FaultyDisk {
 public:
  enum class Fails : std::uint8_t {
    kNothing,
    kWriteFull,   // a write takes half of its bytes, then there is no room
    kWriteError,  // a write takes all of its bytes and reports an I/O error
    kSyncError,   // an fsync reports an I/O error
    kIndexGrowth  // the index of the log cannot grow
  };

  explicit FaultyDisk(std::filesystem::path directory);
  ~FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  // What is written to the store file itself is written by a checkpoint.
  enum class On : std::uint8_t { kEveryFile, kStoreFile };

  // The operation of that kind after `skip` of them fails, and every one after it until mend(), or only that one.
  void fail(Fails what, std::uint64_t skip, bool once, On where = On::kEveryFile);
  void mend() { fail(Fails::kNothing, 0, true); }
  [[nodiscard]] std::uint64_t failed();  // since the last fail() or mend()

  void damage_reads(bool damage);  // what is read from the store file beyond its first page has its bits flipped
  void hold_next_sync();           // it waits until release_sync(); others pass
  void wait_for_held_sync();       // until it waits so (with a bound)
  void release_sync();
  [[nodiscard]] std::uint64_t syncs();

  // Power is lost now: writes into `to` what SQLite's files hold afterwards. What was fsynced is there; of each later
  // write any subset of its sectors is, as `random` has it, and of all of them
  // `kept_of_8` eighths, where that is said: 0 is nothing, 8 is all.
  void power_loss(const std::filesystem::path& to, std::mt19937& random, std::optional<unsigned> kept_of_8 = {});

 private:
  struct File;
  struct Methods;
  friend struct Methods;

  struct Write {
    std::uint64_t offset;
    std::string bytes;
  };
  struct Contents {
    std::string durable;
    std::vector<Write> since;  // written after the last fsync, in order
  };

  bool fails_now(Fails what, const File& file);

  const std::filesystem::path directory_;
  sqlite3_vfs vfs_{};
  sqlite3_vfs* const under_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Fails what_ = Fails::kNothing;
  On where_ = On::kEveryFile;
  std::uint64_t skip_ = 0;
  bool once_ = true;
  std::uint64_t failed_ = 0;
  std::uint64_t syncs_ = 0;
  bool damage_reads_ = false;
  enum class Hold : std::uint8_t { kNone, kNext, kHeld } hold_ = Hold::kNone;
  std::map<std::string, Contents> files_;
};

}  // namespace syzygy::store_tests
