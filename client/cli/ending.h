// ending.h - the end of a process of the command line, in one place.
//
// To take gRPC down (a dozen threads to join, buffers and tables to free) takes several milliseconds, a tenth of a
// migrate that has nothing to do, and gives nothing back that the kernel does not take back anyway. So what stands on
// gRPC is kept (keep()), and when all has been said the process ends without exit handlers and static destructors
// (end()): gRPC's threads still run, and those would pull the ground from under them. What has to be heard elsewhere
// has been by then: a leave is answered, a result file closed, a database's connection ended by whoever opened it.
// Under a sanitizer everything is taken down, so that it finds what leaks.
#pragma once

#include <memory>

namespace syzygy::cli {

// `what` lives as long as the process.
void keep(std::shared_ptr<void> what);

// The last call of main(), which returns what it gives.
int end(int code);

}  // namespace syzygy::cli
