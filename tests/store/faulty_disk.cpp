#include "tests/store/faulty_disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>

namespace syzygy::store_tests {

namespace fs = std::filesystem;

// What SQLite allocates for a file: ours, and the underlying VFS's right behind it.
struct FaultyDisk::File : sqlite3_file {
  FaultyDisk* disk;
  std::string* path;  // nullptr: not in our directory, without faults
  bool is_store;

  sqlite3_file* under() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

struct FaultyDisk::Methods {
  static File* ours(sqlite3_file* file) { return static_cast<File*>(file); }
  static sqlite3_file* under(sqlite3_file* file) { return ours(file)->under(); }
  static FaultyDisk* disk(sqlite3_vfs* vfs) { return static_cast<FaultyDisk*>(vfs->pAppData); }

  static std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static int open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* opened, int flags, int* out_flags) {
    File* file = new (opened) File{};
    file->disk = disk(vfs);
    file->is_store = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    const int code = file->disk->under_->xOpen(file->disk->under_, name, file->under(), flags, out_flags);
    if (code != SQLITE_OK) {
      file->pMethods = nullptr;
      return code;
    }
    file->pMethods = &kFile;
    if (name == nullptr || fs::path(name).parent_path() != file->disk->directory_) return code;
    file->path = new std::string(name);
    const std::lock_guard lock(file->disk->mutex_);
    file->disk->files_.try_emplace(*file->path, Contents{read_file(*file->path), {}});
    return code;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
    FaultyDisk* self = disk(vfs);
    {
      const std::lock_guard lock(self->mutex_);
      self->files_.erase(name);
    }
    return self->under_->xDelete(self->under_, name, sync_directory);
  }

  static int close(sqlite3_file* file) {
    delete ours(file)->path;
    return under(file)->pMethods->xClose(under(file));
  }

  static int read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 offset) {
    const int code = under(file)->pMethods->xRead(under(file), bytes, size, offset);
    File* self = ours(file);
    const std::lock_guard lock(self->disk->mutex_);
    if (self->path != nullptr && self->is_store && self->disk->damage_reads_ && offset >= 4096)
      for (int i = 0; i < size; ++i) static_cast<unsigned char*>(bytes)[i] ^= 0x55;
    return code;
  }

  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    File* self = ours(file);
    if (self->path == nullptr) return under(file)->pMethods->xWrite(under(file), bytes, size, offset);
    const bool full = self->disk->fails_now(Fails::kWriteFull, *self);
    const bool error = !full && self->disk->fails_now(Fails::kWriteError, *self);
    if (full) size /= 2;
    {
      const std::lock_guard lock(self->disk->mutex_);
      self->disk->files_[*self->path].since.push_back(
          {static_cast<std::uint64_t>(offset),
           std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size))});
    }
    const int code = under(file)->pMethods->xWrite(under(file), bytes, size, offset);
    if (full) return SQLITE_FULL;
    return error ? SQLITE_IOERR_WRITE : code;
  }

  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    File* self = ours(file);
    if (self->path != nullptr) {
      const std::lock_guard lock(self->disk->mutex_);
      Contents& contents = self->disk->files_[*self->path];
      contents.durable.resize(std::min(contents.durable.size(), static_cast<std::size_t>(size)));
      std::erase_if(contents.since, [size](const Write& w) { return w.offset >= static_cast<std::uint64_t>(size); });
    }
    return under(file)->pMethods->xTruncate(under(file), size);
  }

  static int sync(sqlite3_file* file, int flags) {
    File* self = ours(file);
    FaultyDisk& disk = *self->disk;
    if (self->path != nullptr) {
      if (disk.fails_now(Fails::kSyncError, *self)) return SQLITE_IOERR_FSYNC;
      std::unique_lock lock(disk.mutex_);
      ++disk.syncs_;
      if (disk.hold_ == Hold::kNext) {
        disk.hold_ = Hold::kHeld;
        disk.changed_.notify_all();
        disk.changed_.wait(lock, [&] { return disk.hold_ != Hold::kHeld; });
      }
    }
    const int code = under(file)->pMethods->xSync(under(file), flags);
    if (self->path != nullptr && code == SQLITE_OK) {
      const std::lock_guard lock(disk.mutex_);
      Contents& contents = disk.files_[*self->path];
      for (const Write& write : contents.since) put(contents.durable, write.offset, write.bytes);
      contents.since.clear();
    }
    return code;
  }

  static void put(std::string& contents, std::uint64_t offset, std::string_view bytes) {
    if (contents.size() < offset + bytes.size()) contents.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), contents.begin() + static_cast<std::ptrdiff_t>(offset));
  }

  static int size(sqlite3_file* file, sqlite3_int64* size) {
    return under(file)->pMethods->xFileSize(under(file), size);
  }
  static int lock(sqlite3_file* file, int level) { return under(file)->pMethods->xLock(under(file), level); }
  static int unlock(sqlite3_file* file, int level) { return under(file)->pMethods->xUnlock(under(file), level); }
  static int reserved(sqlite3_file* file, int* out) {
    return under(file)->pMethods->xCheckReservedLock(under(file), out);
  }
  static int control(sqlite3_file* file, int operation, void* argument) {
    return under(file)->pMethods->xFileControl(under(file), operation, argument);
  }
  static int sector(sqlite3_file* file) { return under(file)->pMethods->xSectorSize(under(file)); }
  static int characteristics(sqlite3_file* file) { return under(file)->pMethods->xDeviceCharacteristics(under(file)); }
  static int map(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
    if (ours(file)->path != nullptr && region > 0 && extend != 0 &&
        ours(file)->disk->fails_now(Fails::kIndexGrowth, *ours(file)))
      return SQLITE_IOERR_SHMSIZE;
    return under(file)->pMethods->xShmMap(under(file), region, size, extend, out);
  }
  static int shared_lock(sqlite3_file* file, int offset, int n, int flags) {
    return under(file)->pMethods->xShmLock(under(file), offset, n, flags);
  }
  static void barrier(sqlite3_file* file) { under(file)->pMethods->xShmBarrier(under(file)); }
  static int unmap(sqlite3_file* file, int remove) { return under(file)->pMethods->xShmUnmap(under(file), remove); }

  // Version 2: no memory-mapped reads, which would pass us by.
  static constexpr sqlite3_io_methods kFile = {
      2,      close,           read, write,       truncate, sync,  size,    lock,   unlock, reserved, control,
      sector, characteristics, map,  shared_lock, barrier,  unmap, nullptr, nullptr};
};

FaultyDisk::FaultyDisk(std::filesystem::path directory)
    : directory_(std::move(directory)), under_(sqlite3_vfs_find(nullptr)) {
  vfs_ = *under_;  // all that is not a file's affair is answered by the one below
  vfs_.zName = "faulty-disk";
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + under_->szOsFile;
  vfs_.xOpen = Methods::open;
  vfs_.xDelete = Methods::remove;
  vfs_.xAccess = [](sqlite3_vfs* vfs, const char* name, int flags, int* out) {
    sqlite3_vfs* under = Methods::disk(vfs)->under_;
    return under->xAccess(under, name, flags, out);
  };
  vfs_.xFullPathname = [](sqlite3_vfs* vfs, const char* name, int size, char* out) {
    sqlite3_vfs* under = Methods::disk(vfs)->under_;
    return under->xFullPathname(under, name, size, out);
  };
  EXPECT_EQ(sqlite3_vfs_register(&vfs_, 1), SQLITE_OK);
}

FaultyDisk::~FaultyDisk() {
  release_sync();
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(under_, 1);
}

void FaultyDisk::fail(Fails what, std::uint64_t skip, bool once, On where) {
  const std::lock_guard lock(mutex_);
  what_ = what;
  where_ = where;
  skip_ = skip;
  once_ = once;
  failed_ = 0;
}

bool FaultyDisk::fails_now(Fails what, const File& file) {
  const std::lock_guard lock(mutex_);
  if (what_ != what || (once_ && failed_ > 0) || (where_ == On::kStoreFile && !file.is_store)) return false;
  if (skip_ > 0) {
    --skip_;
    return false;
  }
  ++failed_;
  return true;
}

std::uint64_t FaultyDisk::failed() {
  const std::lock_guard lock(mutex_);
  return failed_;
}

void FaultyDisk::damage_reads(bool damage) {
  const std::lock_guard lock(mutex_);
  damage_reads_ = damage;
}

void FaultyDisk::hold_next_sync() {
  const std::lock_guard lock(mutex_);
  hold_ = Hold::kNext;
}

void FaultyDisk::wait_for_held_sync() {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(10), [&] { return hold_ == Hold::kHeld; }));
}

void FaultyDisk::release_sync() {
  const std::lock_guard lock(mutex_);
  hold_ = Hold::kNone;
  changed_.notify_all();
}

std::uint64_t FaultyDisk::syncs() {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

void FaultyDisk::power_loss(const std::filesystem::path& to, std::mt19937& random, std::optional<unsigned> kept_of_8) {
  constexpr std::size_t kSector = 512;
  // Some losses keep nearly all, some nearly nothing, most something in between.
  const unsigned kept = kept_of_8.value_or(std::uniform_int_distribution<unsigned>(0, 8)(random));
  const std::lock_guard lock(mutex_);
  for (const auto& [name, contents] : files_) {
    std::string after = contents.durable;
    for (const Write& write : contents.since) {
      for (std::size_t at = 0; at < write.bytes.size();) {
        const std::size_t size = std::min(kSector - (write.offset + at) % kSector, write.bytes.size() - at);
        if (random() % 8 < kept) Methods::put(after, write.offset + at, std::string_view(write.bytes).substr(at, size));
        at += size;
      }
    }
    std::ofstream(to / fs::path(name).filename(), std::ios::binary) << after;
  }
}

}  // namespace syzygy::store_tests
