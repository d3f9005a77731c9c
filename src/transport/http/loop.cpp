#include "transport/http/loop.h"

#include <ctime>

#include "transport/http/connection.h"

namespace syzygy::http {

namespace asio = boost::asio;

void Mailbox::post(Letter letter) {
  const std::scoped_lock lock(mutex_);
  if (loop_ == nullptr) return;
  letters_.push_back(std::move(letter));
  if (letters_.size() == 1) {
    asio::post(loop_->io_, [loop = loop_] { loop->deliver(); });
  }
}

void Ticket::then(std::function<void(Connection&)> act) const {
  mailbox_->post([id = connection_, request = request_, act = std::move(act)](Loop& loop) {
    const auto connection = loop.find(id);
    if (connection && connection->answering(request)) act(*connection);
  });
}

void Ticket::respond(Response response) const {
  then([response = std::move(response)](Connection& connection) mutable { connection.respond(std::move(response)); });
}

Loop::Loop(Common& common)
    : common_(common), work_(asio::make_work_guard(io_)), timer_(io_), mailbox_(std::make_shared<Mailbox>(*this)) {}

Loop::~Loop() { end(); }

void Loop::start() {
  thread_ = std::thread([this] { io_.run(); });
}

void Loop::adopt(int descriptor, transport::Connections::Slot slot) {
  count_.fetch_add(1, std::memory_order_relaxed);
  common_.counters.connections.fetch_add(1, std::memory_order_relaxed);
  auto held = std::make_shared<transport::Connections::Slot>(std::move(slot));
  mailbox_->post([descriptor, held](Loop& loop) {
    const std::uint64_t id = loop.next_id_++;
    const auto connection = std::make_shared<Connection>(loop, id, descriptor, std::move(*held));
    loop.connections_.emplace(id, connection);
    connection->start();
    if (loop.draining_) connection->drain();
  });
}

void Loop::drain() {
  mailbox_->post([](Loop& loop) {
    loop.draining_ = true;
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(loop.connections_.size());
    for (const auto& [id, connection] : loop.connections_) all.push_back(connection);
    for (const auto& connection : all) connection->drain();
  });
}

void Loop::end() {
  if (thread_.joinable()) {
    mailbox_->post([](Loop& loop) {
      while (!loop.connections_.empty()) {
        const auto connection = loop.connections_.begin()->second;
        connection->close();
      }
      loop.deadlines_.clear();
      loop.timer_.cancel();
      loop.work_.reset();
    });
    thread_.join();
  }
  std::vector<Mailbox::Letter> dropped;
  const std::scoped_lock lock(mailbox_->mutex_);
  mailbox_->loop_ = nullptr;
  dropped.swap(mailbox_->letters_);
}

std::shared_ptr<Connection> Loop::find(std::uint64_t id) const {
  const auto it = connections_.find(id);
  return it == connections_.end() ? nullptr : it->second;
}

void Loop::remove(std::uint64_t id) {
  if (connections_.erase(id) == 0) return;
  common_.counters.connections.fetch_sub(1, std::memory_order_relaxed);
  if (count_.fetch_sub(1, std::memory_order_relaxed) == 1 && draining_) {
    const std::scoped_lock lock(common_.drained_mutex);
    common_.drained.notify_all();
  }
}

void Loop::deliver() {
  std::vector<Mailbox::Letter> letters;
  {
    const std::scoped_lock lock(mailbox_->mutex_);
    letters.swap(mailbox_->letters_);
  }
  for (auto& letter : letters) {
    letter(*this);
    letter = nullptr;
  }
}

void Loop::set_deadline(Connection& connection, TimePoint at) {
  if (connection.deadline() == at) return;
  if (connection.deadline() != TimePoint::max()) deadlines_.erase({connection.deadline(), connection.id()});
  connection.note_deadline(at);
  if (at == TimePoint::max()) return;
  deadlines_.emplace(at, connection.id());
  if (at < armed_) arm_timer();
}

void Loop::arm_timer() {
  if (deadlines_.empty()) {
    armed_ = TimePoint::max();
    return;
  }
  armed_ = deadlines_.begin()->first;
  timer_.expires_at(armed_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) on_timer();
  });
}

void Loop::on_timer() {
  const TimePoint now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const std::uint64_t id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (const auto connection = find(id)) {
      connection->note_deadline(TimePoint::max());
      connection->on_deadline(now);
    }
  }
  arm_timer();
}

std::string_view Loop::date() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    // Not strftime(): its names follow the process's locale.
    char text[64];
    const int n =
        std::snprintf(text, sizeof text, "%s, %02d %s %d %02d:%02d:%02d GMT", kDays[parts.tm_wday], parts.tm_mday,
                      kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    date_.assign(text, static_cast<std::size_t>(n));
  }
  return date_;
}

}  // namespace syzygy::http
