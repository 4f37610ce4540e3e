// The C++ side: no exception leaves it. A function returns 0, or 1 after setting *error to a message that the caller gives back
// to torch_ffi_release (null where there was no memory for it).

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/util/Exception.h>

#include <dlfcn.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace {

template <typename Work>
int guarded(char **error, Work work) noexcept {
  try {
    work();
    return 0;
  } catch (const c10::Error &caught) {
    *error = strdup(caught.what_without_backtrace());
  } catch (const std::exception &caught) {
    *error = strdup(caught.what());
  } catch (...) {
    *error = strdup("an exception of an unknown type");
  }
  return 1;
}

std::vector<at::Tensor> gathered(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (size_t place = 0; place < count; ++place) list.push_back(*tensors[place]);
  return list;
}

}  // namespace

extern "C" {

// Five lists of `count` tensors each; those at the same place have one shape, type and device, except for `steps`, which has one
// value each. It is counted up here.
int torch_ffi_fused_adamw(size_t count, at::Tensor *const *values, at::Tensor *const *gradients, at::Tensor *const *first_moments,
                          at::Tensor *const *second_moments, at::Tensor *const *steps, double learning_rate, double beta1,
                          double beta2, double weight_decay, double epsilon, char **error) {
  return guarded(error, [=] {
    at::NoGradGuard no_grad;
    auto counted = gathered(steps, count);
    for (auto &step : counted) step.add_(1);
    auto moved = gathered(values, count);
    auto first = gathered(first_moments, count);
    auto second = gathered(second_moments, count);
    at::_fused_adamw_(moved, gathered(gradients, count), first, second, {}, counted, learning_rate, beta1, beta2, weight_decay,
                      epsilon, /*amsgrad=*/false, /*maximize=*/false);
  });
}

// Loads the CUDA part of the libtorch that this program runs with, if it has one: *loaded says so. It registers itself with the
// rest as it is loaded.
int torch_ffi_load_cuda(int *loaded, char **error) {
  return guarded(error, [=] {
    *loaded = 0;
    Dl_info found;
    if (dladdr(reinterpret_cast<void *>(&at::_ops::_fused_adamw_::call), &found) == 0 || found.dli_fname == nullptr) return;
    const std::string library(found.dli_fname);
    const std::string path = library.substr(0, library.find_last_of('/') + 1) + "libtorch_cuda.so";
    if (access(path.c_str(), R_OK) != 0) return;
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
    *loaded = 1;
  });
}

void torch_ffi_release(char *error) { std::free(error); }

}  // extern "C"
