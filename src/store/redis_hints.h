// redis_hints.h - hears what other users of the store published: a thread with a connection of its own, which is made
// again whenever it breaks. What is published while it is broken is lost: hints may be.
//
// A message is "HANDLE EPOCH:COUNTER:COMMIT KEY". Those of our own handle are not told. Threads: any; the hint runs on
// the thread inside, and set() waits for one that runs.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "store/redis_route.h"
#include "store/store.h"

namespace syzygy {

class RedisHints {
 public:
  // Hears `channel`, and tells `hint` from now on. The route must outlive it.
  RedisHints(RedisRoute& route, std::string channel, std::string handle);
  ~RedisHints();  // ends the thread
  RedisHints(const RedisHints&) = delete;
  RedisHints& operator=(const RedisHints&) = delete;

  void set(Hint hint);
  // Waits until it hears, so that what is published after that is not missed; gives up at the deadline.
  void wait_until_heard(RedisDeadline deadline);

 private:
  void run();
  void listen(RedisConnection& connection);
  void take(const redisReply& message);
  bool stopped();

  RedisRoute& route_;
  const std::string channel_;
  const std::string handle_;

  std::mutex hint_mutex_;  // held while the hint runs
  Hint hint_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::shared_ptr<RedisConnection> connection_;  // while it is listened to
  bool hears_ = false;
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace syzygy
