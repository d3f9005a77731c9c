// kill_point.h - named moments at which a test may kill this very process, by a real SIGKILL. Nothing at all in a
// release.
//
// A test sets SYZYGY_KILL_AT=name (the first time the point is passed) or name:n (the n-th time). The point writes its
// name to the file named by SYZYGY_KILL_LOG, if set, and then the process is gone; with SYZYGY_KILL_WITH=STOP it stands
// still there until it is told to go on (SIGCONT). With SYZYGY_KILL_ONCE=file only the
// first of several processes that share the file dies: whoever creates it. Only builds with SYZYGY_KILL_POINTS know any
// of it.
#pragma once

#ifdef SYZYGY_KILL_POINTS
namespace syzygy {
void kill_point(const char* name);
}  // namespace syzygy
#define SYZYGY_KILL_POINT(name) ::syzygy::kill_point(name)
#else
#define SYZYGY_KILL_POINT(name) static_cast<void>(0)
#endif
