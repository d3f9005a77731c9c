#include "store/redis_hints.h"

#include <pthread.h>

#include <algorithm>

#include "store/redis_version.h"

namespace syzygy {
namespace {

using Clock = std::chrono::steady_clock;

// How long silence is believed: then the server is asked whether it is there, and has as long again to answer.
constexpr std::chrono::milliseconds kSilence{2'000};
constexpr std::chrono::milliseconds kPauseMin{50};
constexpr std::chrono::milliseconds kPauseMax{2'000};

}  // namespace

RedisHints::RedisHints(RedisRoute& route, std::string channel, std::string handle)
    : route_(route), channel_(std::move(channel)), handle_(std::move(handle)), thread_([this] {
        ::pthread_setname_np(::pthread_self(), "redis-hints");
        run();
      }) {}

RedisHints::~RedisHints() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (connection_) connection_->cancel();
  }
  changed_.notify_all();
  thread_.join();
}

void RedisHints::set(Hint hint) {
  const std::lock_guard lock(hint_mutex_);
  hint_ = std::move(hint);
}

void RedisHints::wait_until_heard(RedisDeadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [&] { return hears_; });
}

bool RedisHints::stopped() {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void RedisHints::run() {
  auto pause = kPauseMin;
  while (!stopped()) {
    auto connected = route_.connect(route_.deadline());
    if (connected) {
      const std::shared_ptr<RedisConnection> connection = *std::move(connected);
      {
        const std::lock_guard lock(mutex_);
        if (stop_) return;
        connection_ = connection;
      }
      const auto began = Clock::now();
      listen(*connection);
      if (Clock::now() - began > kPauseMax) pause = kPauseMin;
    }
    std::unique_lock lock(mutex_);
    connection_ = nullptr;
    hears_ = false;
    changed_.wait_for(lock, pause, [&] { return stop_; });
    pause = std::min(2 * pause, kPauseMax);
  }
}

// Until the connection breaks, falls silent, or leads to one that is no longer the master.
void RedisHints::listen(RedisConnection& connection) {
  const std::vector<RedisCommand> subscribe = {{"SUBSCRIBE", channel_}};
  const auto subscribed = connection.ask(subscribe, route_.deadline());
  if (!subscribed || is_error(*subscribed->front())) return;
  {
    const std::lock_guard lock(mutex_);
    hears_ = true;
  }
  changed_.notify_all();
  for (bool asked = false; !stopped();) {
    auto reply = connection.receive(Clock::now() + kSilence);
    if (!reply) return;
    if (*reply) {
      asked = false;
      take(**reply);
      continue;
    }
    if (asked || !route_.still_there()) return;
    // The answer comes among the messages: ask() would take one of those for it.
    const std::vector<RedisCommand> ping = {{"PING"}};
    if (!connection.send(ping, Clock::now() + kSilence)) return;
    asked = true;
  }
}

void RedisHints::take(const redisReply& message) {
  if (message.type != REDIS_REPLY_ARRAY || message.elements != 3 || text_of(*message.element[0]) != "message") return;
  std::string_view text = text_of(*message.element[2]);
  const auto space = text.find(' ');
  if (space == std::string_view::npos || text.substr(0, space) == handle_) return;
  text.remove_prefix(space + 1);
  const auto end = text.find(' ');
  if (end == std::string_view::npos) return;
  const auto version = redis_version_of(text.substr(0, end));
  if (!version) return;
  const std::lock_guard lock(hint_mutex_);
  if (hint_) hint_(std::string(text.substr(end + 1)), *version);
}

}  // namespace syzygy
