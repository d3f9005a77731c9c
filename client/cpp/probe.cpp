#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/name.h"
#include "client/cpp/credentials.h"
#include "client/cpp/probe_until.h"

namespace syzygy {

namespace {

struct Until {
  BootTime at;
  const StopSource* stop;

  [[nodiscard]] bool over() const { return BootClock::now() >= at || (stop != nullptr && stop->signal() != 0); }
  // True once `fd` is ready.
  [[nodiscard]] bool ready(int fd, short events) const {
    while (!over()) {
      const auto left = std::min<Duration>(at - BootClock::now(), Duration{1'000});
      std::array<pollfd, 2> fds{pollfd{fd, events, 0}, pollfd{stop != nullptr ? stop->fd() : -1, POLLIN, 0}};
      if (::poll(fds.data(), fds.size(), static_cast<int>(std::max<Duration::rep>(left.count(), 0)) + 1) > 0 &&
          fds[0].revents != 0) {
        return true;
      }
    }
    return false;
  }
};

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// getaddrinfo has no timeout: it works on a thread of its own, which is left behind when it takes too long.
std::expected<Addresses, std::string> resolve(const Endpoint& endpoint, const Until& until) {
  struct Asking {
    std::string host;
    std::string port;
    StopSource answered;  // what Until can wait for
    int error = 0;
    addrinfo* found = nullptr;
    ~Asking() {
      if (found != nullptr) ::freeaddrinfo(found);
    }
  };
  auto asking = std::make_shared<Asking>();
  asking->host = endpoint.host;
  asking->port = std::to_string(endpoint.port);
  std::thread([asking] {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    asking->error = ::getaddrinfo(asking->host.c_str(), asking->port.c_str(), &hints, &asking->found);
    asking->answered.request(1);
  }).detach();
  if (!until.ready(asking->answered.fd(), POLLIN) || asking->answered.signal() == 0) {
    return std::unexpected("no answer from the name service in time");
  }
  if (asking->error != 0) return std::unexpected(::gai_strerror(asking->error));
  return Addresses(std::exchange(asking->found, nullptr), &::freeaddrinfo);
}

struct Connected {
  Socket socket;
  int error = 0;  // errno; ETIMEDOUT: until was over
};

Connected connect_one(const addrinfo& to, const Until& until) {
  Connected out{Socket(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, to.ai_protocol)), 0};
  if (out.socket.fd() < 0) {
    out.error = errno;
    return out;
  }
  if (::connect(out.socket.fd(), to.ai_addr, to.ai_addrlen) == 0) return out;
  if (errno != EINPROGRESS) {
    out.error = errno;
    return out;
  }
  if (!until.ready(out.socket.fd(), POLLOUT)) {
    out.error = ETIMEDOUT;
    return out;
  }
  socklen_t size = sizeof out.error;
  ::getsockopt(out.socket.fd(), SOL_SOCKET, SO_ERROR, &out.error, &size);
  return out;
}

// The first address that takes the connection; else the last one's error.
Connected connect_any(const addrinfo* addresses, const Until& until) {
  Connected out;
  out.error = EHOSTUNREACH;
  for (const addrinfo* a = addresses; a != nullptr; a = a->ai_next) {
    out = connect_one(*a, until);
    if (out.error == 0 || until.over()) break;
  }
  return out;
}

bool send_all(int fd, std::string_view bytes, const Until& until) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      if (!until.ready(fd, POLLOUT)) return false;
    } else {
      return false;
    }
  }
  return true;
}

enum class Got { kBytes, kEnd, kNothing };

// Appends what has come; kNothing: until was over.
Got receive(int fd, std::string& into, const Until& until) {
  std::array<char, 4'096> buffer{};
  while (true) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(n));
      return Got::kBytes;
    }
    if (n == 0) return Got::kEnd;
    if (errno != EAGAIN && errno != EINTR) return Got::kEnd;  // a reset is an end as well
    if (!until.ready(fd, POLLIN)) return Got::kNothing;
  }
}

// The client's half of HTTP/2's hello: the preface and an empty SETTINGS frame.
constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

// What the first bytes of an answer to kHello are; nullopt: too few to say.
std::optional<Answer> judge(std::string_view bytes) {
  if (bytes.size() >= 2 && (bytes[0] == '\x15' || bytes[0] == '\x16') && bytes[1] == '\x03') return Answer::kWantsTls;
  if (bytes.size() >= 5 && bytes.starts_with("HTTP/")) return Answer::kHttp1;
  if (bytes.size() < 9) return std::nullopt;
  const bool settings = bytes[3] == '\4' && bytes[0] == '\0' && bytes.substr(5, 4) == std::string_view("\0\0\0\0", 4);
  return settings ? Answer::kHttp2 : Answer::kOther;
}

Answer hello_in_plaintext(int fd, const Until& until) {
  if (!send_all(fd, kHello, until)) return until.over() ? Answer::kTimedOut : Answer::kClosed;
  std::string bytes;
  while (true) {
    const Got got = receive(fd, bytes, until);
    if (const auto answer = judge(bytes)) return *answer;
    if (got == Got::kNothing) return bytes.empty() ? Answer::kTimedOut : Answer::kOther;
    if (got == Got::kEnd) return bytes.empty() ? Answer::kClosed : Answer::kOther;
  }
}

struct Shaken {
  Answer answer = Answer::kTlsFailed;
  std::string detail;
};

using SslContext = std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)>;
using Ssl = std::unique_ptr<SSL, decltype(&::SSL_free)>;

bool is_address(const std::string& name) {
  const std::unique_ptr<ASN1_OCTET_STRING, decltype(&::ASN1_OCTET_STRING_free)> address(::a2i_IPADDRESS(name.c_str()),
                                                                                        &::ASN1_OCTET_STRING_free);
  return address != nullptr;
}

// OpenSSL over memory: it never writes to the socket itself, so that no SIGPIPE can come from it.
class TlsHello {
 public:
  TlsHello(int fd, const Until& until) : fd_(fd), until_(until) {}

  // `verify`: empty CA means the system's. Without it any certificate will do: only whether it speaks TLS is asked.
  Shaken shake(const std::string& name, const std::string* ca) {
    SslContext context(::SSL_CTX_new(::TLS_client_method()), &::SSL_CTX_free);
    if (!context) return {Answer::kTlsFailed, "OpenSSL cannot start"};
    if (ca != nullptr) {
      trust(context.get(), *ca);
      ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    }
    Ssl ssl(::SSL_new(context.get()), &::SSL_free);
    if (!ssl) return {Answer::kTlsFailed, "OpenSSL cannot start"};
    BIO* in = ::BIO_new(::BIO_s_mem());
    BIO* out = ::BIO_new(::BIO_s_mem());
    ::SSL_set_bio(ssl.get(), in, out);  // owns both now
    static constexpr std::array<unsigned char, 3> kH2{2, 'h', '2'};
    ::SSL_set_alpn_protos(ssl.get(), kH2.data(), kH2.size());
    if (is_address(name)) {
      ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl.get()), name.c_str());
    } else {
      ::SSL_set_tlsext_host_name(ssl.get(), name.c_str());
      ::SSL_set1_host(ssl.get(), name.c_str());
    }
    const auto shaken = drive(ssl.get(), in, out, [&] { return ::SSL_connect(ssl.get()); });
    if (shaken) return *shaken;
    if (ca == nullptr) return {Answer::kHttp2, {}};
    return greet(ssl.get(), in, out);
  }

 private:
  static void trust(SSL_CTX* context, const std::string& ca) {
    if (ca.empty()) {
      ::SSL_CTX_set_default_verify_paths(context);
      return;
    }
    const std::unique_ptr<BIO, decltype(&::BIO_free)> bio(::BIO_new_mem_buf(ca.data(), static_cast<int>(ca.size())),
                                                          &::BIO_free);
    while (X509* certificate = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
      ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context), certificate);
      ::X509_free(certificate);
    }
    ::ERR_clear_error();
  }

  // Repeats `step` until it succeeds (nullopt) or cannot.
  template <class Step>
  std::optional<Shaken> drive(SSL* ssl, BIO* in, BIO* out, Step step) {
    while (true) {
      ::ERR_clear_error();
      const int done = step();
      const int why = ::SSL_get_error(ssl, done);
      const bool sent = flush(out);
      if (done > 0) return std::nullopt;
      if (why != SSL_ERROR_WANT_READ) return refused(ssl);
      if (!sent) return Shaken{Answer::kClosed, {}};
      std::string bytes;
      const Got got = receive(fd_, bytes, until_);
      if (got == Got::kNothing) return Shaken{Answer::kTimedOut, {}};
      if (got == Got::kEnd) return Shaken{Answer::kClosed, {}};
      ::BIO_write(in, bytes.data(), static_cast<int>(bytes.size()));
    }
  }

  bool flush(BIO* out) {
    std::array<char, 4'096> buffer{};
    int n = 0;
    while ((n = ::BIO_read(out, buffer.data(), buffer.size())) > 0) {
      if (!send_all(fd_, std::string_view(buffer.data(), static_cast<std::size_t>(n)), until_)) return false;
    }
    return true;
  }

  static Shaken refused(SSL* ssl) {
    const long verdict = ::SSL_get_verify_result(ssl);
    const std::string verified = ::X509_verify_cert_error_string(verdict);
    if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
      return {Answer::kWrongName, verified};
    }
    if (verdict != X509_V_OK) return {Answer::kUntrusted, verified};
    const unsigned long error = ::ERR_peek_error();
    const char* text = ::ERR_reason_error_string(error);
    return {Answer::kTlsFailed, text != nullptr ? text : "the handshake failed"};
  }

  Shaken greet(SSL* ssl, BIO* in, BIO* out) {
    if (const auto failed = drive(ssl, in, out, [&] { return ::SSL_write(ssl, kHello.data(), kHello.size()); })) {
      return *failed;
    }
    std::string bytes;
    while (true) {
      std::array<char, 4'096> buffer{};
      int n = 0;
      const auto failed = drive(ssl, in, out, [&] { return n = ::SSL_read(ssl, buffer.data(), buffer.size()); });
      if (failed) return failed->answer == Answer::kTlsFailed && bytes.empty() ? Shaken{Answer::kClosed, {}} : *failed;
      bytes.append(buffer.data(), static_cast<std::size_t>(n));
      if (const auto answer = judge(bytes)) return {*answer, {}};
    }
  }

  int fd_;
  const Until& until_;
};

std::string sentence(const Endpoint& endpoint, const ClientOptions& options, Answer answer, const std::string& detail) {
  std::string at = endpoint.text() + ": ";
  const std::string name = options.server_name.empty() ? endpoint.host : options.server_name;
  switch (answer) {
    case Answer::kHttp2:
      return at + "speaks HTTP/2, as a gRPC server does.";
    case Answer::kUnresolved:
      return at + "the name has no address (" + detail + ").";
    case Answer::kRefused:
      return at + "connection refused: nobody listens there.";
    case Answer::kUnreachable:
      return at + "cannot be reached (" + detail + ").";
    case Answer::kTimedOut:
      return at + "no answer in time: a firewall in between, or a host that is down or stuck.";
    case Answer::kClosed:
      return at + "hung up without a word: it is not a gRPC port, or something in between closes connections.";
    case Answer::kHttp1:
      return at + "a web server answers (HTTP/1). The daemon's gRPC port is meant, by default " +
             std::to_string(kGrpcPortDefault) + "; its HTTP port is another.";
    case Answer::kOther:
      return at + "something else than a gRPC server answers there.";
    case Answer::kWantsTls:
      return at + "the server speaks TLS and this client did not: give --tls (and --ca-file).";
    case Answer::kNoTls:
      return at + "the server speaks no TLS and this client did: leave out --tls, or give the daemon a certificate.";
    case Answer::kUntrusted:
      return at + "its certificate is not accepted (" + detail + "): give the CA that signed it with --ca-file.";
    case Answer::kWrongName:
      return at + "its certificate is not for " + printable(name) + " (" + detail +
             "): give the name that it carries with --server-name.";
    case Answer::kTlsFailed:
      return at + "the TLS handshake failed (" + detail + ").";
  }
  return at;
}

Answer of_errno(int error) {
  if (error == ECONNREFUSED) return Answer::kRefused;
  return error == ETIMEDOUT ? Answer::kTimedOut : Answer::kUnreachable;
}

Shaken look(const Endpoint& endpoint, const ClientOptions& options, const Until& until) {
  auto addresses = resolve(endpoint, until);
  if (!addresses) return {Answer::kUnresolved, addresses.error()};
  Connected first = connect_any(addresses->get(), until);
  if (first.error != 0) return {of_errno(first.error), std::generic_category().message(first.error)};

  if (!options.tls) {
    const Answer answer = hello_in_plaintext(first.socket.fd(), until);
    if (answer != Answer::kClosed) return {answer, {}};
    // Many TLS servers hang up on plaintext without an alert: does it shake hands?
    first.socket = Socket();  // some serve one at a time
    Connected second = connect_any(addresses->get(), until);
    if (second.error != 0) return {answer, {}};
    const Shaken tls = TlsHello(second.socket.fd(), until).shake(endpoint.host, nullptr);
    return {tls.answer == Answer::kHttp2 ? Answer::kWantsTls : Answer::kClosed, {}};
  }

  auto ca = read_ca(options.ca_file);
  if (!ca) return {Answer::kUntrusted, ca.error().message};
  const std::string& name = options.server_name.empty() ? endpoint.host : options.server_name;
  const BootTime now = BootClock::now();
  const Until half{now + (until.at - now) / 2, until.stop};  // the rest is for a second look
  Shaken shaken = TlsHello(first.socket.fd(), half).shake(name, &*ca);
  if (shaken.answer != Answer::kTlsFailed && shaken.answer != Answer::kClosed && shaken.answer != Answer::kTimedOut) {
    return shaken;
  }
  // A server without TLS takes our hello for garbage: does it understand plaintext?
  first.socket = Socket();
  Connected second = connect_any(addresses->get(), until);
  if (second.error != 0) return shaken;
  const Answer plain = hello_in_plaintext(second.socket.fd(), until);
  if (plain == Answer::kHttp2 || plain == Answer::kHttp1) return {Answer::kNoTls, {}};
  return shaken;
}

}  // namespace

Probe probe_until(const Endpoint& endpoint, const ClientOptions& options, BootTime until, const StopSource* stop) {
  const Shaken seen = look(endpoint, options, Until{until, stop});
  return {seen.answer, sentence(endpoint, options, seen.answer, seen.detail)};
}

Probe probe(const Endpoint& endpoint, const ClientOptions& options, Duration timeout) {
  return probe_until(endpoint, options, BootClock::now() + timeout, nullptr);
}

bool is_mismatch(Answer answer) {
  return answer == Answer::kWantsTls || answer == Answer::kNoTls || answer == Answer::kUntrusted ||
         answer == Answer::kWrongName;
}

std::string_view to_string(Answer answer) {
  switch (answer) {
    case Answer::kHttp2:
      return "http2";
    case Answer::kUnresolved:
      return "unresolved";
    case Answer::kRefused:
      return "refused";
    case Answer::kUnreachable:
      return "unreachable";
    case Answer::kTimedOut:
      return "timed_out";
    case Answer::kClosed:
      return "closed";
    case Answer::kHttp1:
      return "http1";
    case Answer::kOther:
      return "other";
    case Answer::kWantsTls:
      return "wants_tls";
    case Answer::kNoTls:
      return "no_tls";
    case Answer::kUntrusted:
      return "untrusted";
    case Answer::kWrongName:
      return "wrong_name";
    case Answer::kTlsFailed:
      return "tls_failed";
  }
  return "";
}

}  // namespace syzygy
