// What PyTorch's CPU build lacks to hold fake tensors on "cuda": a device guard that does nothing.
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace c10::impl {
struct NoGuard final : NoOpDeviceGuardImpl<DeviceType::CUDA> {};
C10_REGISTER_GUARD_IMPL(CUDA, NoOpDeviceGuardImpl<DeviceType::CUDA>)
}  // namespace c10::impl
