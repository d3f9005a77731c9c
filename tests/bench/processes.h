// processes.h - what the processes of one benchmark share: a piece of memory with a seat for each, and the machine's
// monotonic clock, which is the same for all of them.
//
// A party waits on its seat for the number of the next round, runs it, and leaves two times there. Nothing is read or
// written elsewhere while the clock runs: the driver sleeps on the memory, too. Errors end the process with a message:
// a benchmark that could not measure must not print a figure.
#pragma once

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace syzygy::bench {

// What stands between the commas.
inline std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  for (std::size_t at = 0;;) {
    const std::size_t comma = list.find(',', at);
    words.push_back(list.substr(at, comma - at));
    if (comma == std::string::npos) return words;
    at = comma + 1;
  }
}

template <class... Args>
[[noreturn]] void give_up(fmt::format_string<Args...> text, Args&&... args) {
  fmt::print(stderr, "bench: {}\n", fmt::format(text, std::forward<Args>(args)...));
  std::exit(1);
}

[[noreturn]] inline void give_up_errno(const char* what) { give_up("{}: {}", what, std::strerror(errno)); }

inline std::int64_t now_ns() {
  timespec at{};
  ::clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1'000'000'000L + at.tv_nsec;
}

inline void pause_ns(std::int64_t ns) {
  const timespec length{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  ::nanosleep(&length, nullptr);
}

struct alignas(64) Seat {
  std::atomic<std::uint32_t> go{0};  // the round to run; kLeave: none any more
  std::atomic<std::uint32_t> ready{0};
  std::atomic<std::uint32_t> done{0};
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> returned{0};
};
inline constexpr std::uint32_t kLeave = ~0U;

inline void wait_on(std::atomic<std::uint32_t>& word, std::uint32_t while_it_is) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, while_it_is, nullptr, nullptr, 0);
}

inline void tell(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value, std::memory_order_release);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

// The seats of `count` parties, in memory that child processes find at descriptor `fd`.
inline Seat* make_seats(std::size_t count, int* fd) {
  *fd = ::memfd_create("seats", 0);
  if (*fd < 0 || ::ftruncate(*fd, static_cast<off_t>(count * sizeof(Seat))) != 0) give_up_errno("memfd_create");
  void* memory = ::mmap(nullptr, count * sizeof(Seat), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  if (memory == MAP_FAILED) give_up_errno("mmap");
  return new (memory) Seat[count];
}

inline Seat& seat_of(int fd, std::size_t index) {
  void* memory = ::mmap(nullptr, (index + 1) * sizeof(Seat), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) give_up_errno("mmap");
  return static_cast<Seat*>(memory)[index];
}

// A child of the benchmark never outlives it.
inline void end_with_parent(int parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) std::exit(1);
}

}  // namespace syzygy::bench
