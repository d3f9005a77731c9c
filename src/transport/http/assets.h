// assets.h - files that are part of the program: embedded by CMake at build (embed.cmake).
#pragma once

#include <string_view>

namespace syzygy::http::assets {

extern const std::string_view kOpenApi;          // docs/openapi.yaml
extern const std::string_view kDashboard;        // dashboard/dashboard.html
extern const std::string_view kDashboardScript;  // dashboard/dashboard.js
extern const std::string_view kDashboardStyle;   // dashboard/dashboard.css

}  // namespace syzygy::http::assets
