import { closeSync, openSync, readFileSync } from "node:fs";
import { bind } from "../../lib/sys/libc.js";

export type Accelerator = "kvm" | "tcg";

const ioctl = bind<(fd: number, request: number, argument: number) => number>(
  "int ioctl(int fd, uint64_t request, uint64_t argument)",
);

/** `_IO(KVMIO, 0x01)` of linux/kvm.h. */
const KVM_CREATE_VM = 0xae01;

/** A configured accelerator that this host does not have. */
export class AcceleratorError extends Error {
  override readonly name = "AcceleratorError";
}

/**
 * What a VM runs on: the configured accelerator; with "auto" KVM where it works, TCG elsewhere.
 *
 * @throws AcceleratorError for "kvm" where it does not work.
 */
export function chooseAccelerator(configured: "auto" | Accelerator): Accelerator {
  if (configured === "tcg") return "tcg";
  const obstacle = kvmObstacle();
  if (obstacle === undefined) return "kvm";
  if (configured === "auto") return "tcg";
  throw new AcceleratorError(
    `KVM: ${obstacle}; needed: a processor and a kernel with KVM, or hypervisor.accelerator: tcg`,
  );
}

/**
 * Why KVM cannot run a guest here; undefined when it can. A device file is not enough: containers get it without the right to
 * use it, and KVM without the processor's extensions (paravirtualised, as in some clouds) runs only kernels made for it.
 */
function kvmObstacle(): string | undefined {
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8"))) {
    return "the processor shows no virtualisation extensions";
  }
  let kvm: number;
  try {
    kvm = openSync("/dev/kvm", "r+");
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  try {
    const vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) return "KVM_CREATE_VM is refused";
    closeSync(vm);
    return undefined;
  } finally {
    closeSync(kvm);
  }
}
