import type { Configuration } from "../../configs/index.js";
import type { Accelerator } from "../vm/accelerator.js";
import { rootParameters } from "./guest-os.js";

/** The vsock port of the guest at which Kata's agent gives a shell. */
export const DEBUG_CONSOLE_PORT = 1026;
/** The vsock port of the guest at which our agent reaches ports of the guest's loopback interface; Kata's agent has none. */
export const PORT_FORWARD_PORT = 1027;

/**
 * The guest kernel's command line; the user's parameters come last and win.
 * @param tscKhz of the host's time stamp counter, if that is known
 */
export function kernelParameters(
  { hypervisor, guest, daemon }: Configuration,
  accelerator: Accelerator,
  tscKhz?: number,
): string[] {
  return [
    "console=ttyS0",
    ...rootParameters(guest, daemon.dax),
    // A guest that fails ends at once, and QEMU with it.
    "panic=-1",
    "reboot=k",
    "quiet",
    "net.ifnames=0",
    // Boot time: what a VM does not have, or need not wait for.
    "cryptomgr.notests",
    "rcupdate.rcu_expedited=1",
    // Memory that is plugged in is used at once. No device of ours needs bounce buffers, for which the kernel would keep 64 MiB where
    // memory may come to lie above 4 GiB.
    "memhp_default_state=online",
    "swiotlb=noforce",
    "tsc=reliable",
    "no_timer_check",
    "noreplace-smp",
    ...(accelerator === "tcg" ? emulated(tscKhz) : []),
    `agent.log=${guest.agentLogLevel}`,
    `agent.port_forward_vport=${PORT_FORWARD_PORT}`,
    ...(guest.debugConsole ? ["agent.debug_console", `agent.debug_console_vport=${DEBUG_CONSOLE_PORT}`] : []),
    ...hypervisor.kernelParameters.split(/\s+/).filter((parameter) => parameter !== ""),
  ];
}

/** Of an emulated processor: it does not speculate. */
function emulated(tscKhz: number | undefined): string[] {
  // Measured in the guest at boot, it may come out many times too low when the host is busy (the kernel believes the PIT, which loses count of a
  // processor that stands still), and the guest's clock runs away. KVM tells its guests.
  return ["mitigations=off", ...(tscKhz === undefined ? [] : [`tsc_early_khz=${tscKhz}`])];
}
