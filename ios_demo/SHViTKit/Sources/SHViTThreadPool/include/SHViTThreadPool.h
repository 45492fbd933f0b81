#ifndef SHVIT_THREAD_POOL_H
#define SHVIT_THREAD_POOL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Gives ExecuTorch's thread pool a number of threads; 0 gives it the number that it had at first.
///
/// Call it only while no model is loaded: a loaded model keeps a pointer to the pool, which this replaces.
///
/// Returns false if there is no pool.
bool SHViTSetThreadCount(uint32_t count);

/// Returns the number of threads of ExecuTorch's thread pool; 0 if there is no pool.
uint32_t SHViTThreadCount(void);

#ifdef __cplusplus
}
#endif

#endif
