#include "SHViTThreadPool.h"

#include <stddef.h>

// ExecuTorch's XCFrameworks contain these functions and not their header, extension/threadpool/threadpool.h.
namespace executorch::extension::threadpool {

class ThreadPool {
public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};

ThreadPool *get_threadpool();

} // namespace executorch::extension::threadpool

using executorch::extension::threadpool::get_threadpool;

bool SHViTSetThreadCount(uint32_t count) {
  auto *pool = get_threadpool();
  if (pool == nullptr) {
    return false;
  }
  static const auto standard = static_cast<uint32_t>(pool->get_thread_count());
  return pool->_unsafe_reset_threadpool(count == 0 ? standard : count);
}

uint32_t SHViTThreadCount(void) {
  const auto *pool = get_threadpool();
  return pool == nullptr ? 0 : static_cast<uint32_t>(pool->get_thread_count());
}
