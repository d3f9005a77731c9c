// handlers.h - one function per operation: a request of HTTP to the api::Service, its answer back.
//
// Nothing is decided here. What may block (pages out of the store, a large body to parse) goes to two workers behind a
// bounded queue; all else runs where it came. Owned by the server; any thread.
#pragma once

#include <memory>

#include "api/service.h"
#include "transport/http/exchange.h"
#include "transport/http/loop.h"

namespace syzygy::http {

class Handlers final : public Handler {
 public:
  // Both must outlive it.
  Handlers(api::Service& service, Common& common);
  ~Handlers() override;

  void handle(Request request, const Ticket& ticket) override;
  void stop();  // waits for the workers; what was queued is still answered

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace syzygy::http
