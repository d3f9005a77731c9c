// bearer.h - the bearer token that guards both ports.
//
// Compared in constant time; never logged. Without a configured token everybody is accepted. Immutable: any thread.
#pragma once

#include <string>
#include <string_view>

namespace syzygy::wire {

class Bearer {
 public:
  Bearer() = default;  // none configured
  explicit Bearer(std::string token) : token_(std::move(token)) {}

  // `authorization` is the value of that header: "Bearer TOKEN", the scheme in any case.
  [[nodiscard]] bool accepts(std::string_view authorization) const;
  [[nodiscard]] bool configured() const { return !token_.empty(); }

 private:
  std::string token_;
};

}  // namespace syzygy::wire
