// tcp_proxy.h - a TCP proxy on 127.0.0.1 that cuts connections at the moment that a test names.
//
// Bytes go through unchanged until a cut. After a cut new connections go through again. Any thread may call.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace syzygy::test {

class TcpProxy {
 public:
  explicit TcpProxy(int to_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  [[nodiscard]] int port() const { return port_; }

  // The clients lose their connections now; the server's side stays open and silent, as if the network had gone.
  void cut_clients();
  // The next time a client sends bytes that contain `text`: they reach the server, and when it has answered the client
  // loses its connection without the answer. Once.
  void cut_after(const std::string& text);
  // Of what clients send from now on, all together, `bytes` reach the server; then both sides lose that connection.
  // Once.
  void cut_requests_after(std::size_t bytes);
  // The same of what the server sends.
  void cut_answers_after(std::size_t bytes);
  [[nodiscard]] int cuts() const { return cuts_; }

 private:
  struct Pair {
    int client = -1;
    int server = -1;
    bool cut = false;
    bool answer_cuts = false;  // the next bytes of the server are the answer that never arrives
  };
  void run();
  bool forward(int to, std::string_view bytes, std::optional<std::size_t>& left);

  int listener_ = -1;
  int wake_[2] = {-1, -1};
  int to_port_ = 0;
  int port_ = 0;
  std::atomic<int> cuts_{0};
  std::mutex mutex_;
  std::string cut_text_;
  std::optional<std::size_t> request_bytes_left_;
  std::optional<std::size_t> answer_bytes_left_;
  bool cut_now_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace syzygy::test
