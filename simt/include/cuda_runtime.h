// Stand-in for CUDA's header of this name: the subset that the project uses, run on the CPU by
// simt.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// A block runs on one host thread from start to end, so what the host thread shares, the block
// does. At block scope thread_local implies static.
#define __shared__ thread_local

#include "simt/atomics.h"
#include "simt/device.h"
#include "simt/launch.h"
#include "simt/math.h"
#include "simt/runtime_api.h"
#include "simt/simt.h"
#include "simt/types.h"
#include "simt/warp.h"
