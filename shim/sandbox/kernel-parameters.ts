import type { Configuration } from "../../configs/index.js";
import type { Accelerator } from "../vm/accelerator.js";
import { Tags } from "./layout.js";

/** The guest kernel's command line; the user's parameters come last and win. */
export function kernelParameters(
  { hypervisor, guest, daemon }: Configuration,
  accelerator: Accelerator,
): string[] {
  return [
    "console=ttyS0",
    `root=${Tags.guest}`,
    "rootfstype=virtiofs",
    ...(daemon.dax ? ["rootflags=dax=always"] : []),
    "ro",
    "init=/sbin/init",
    // A guest that fails ends at once, and QEMU with it.
    "panic=-1",
    "reboot=k",
    "quiet",
    "net.ifnames=0",
    // Boot time: what a VM does not have, or need not wait for.
    "cryptomgr.notests",
    "rcupdate.rcu_expedited=1",
    "random.trust_cpu=on",
    // Memory that is plugged in is used at once. No device of ours needs bounce buffers, for which the kernel would keep 64 MiB where
    // memory may come to lie above 4 GiB.
    "memhp_default_state=online",
    "swiotlb=noforce",
    "tsc=reliable",
    "no_timer_check",
    "noreplace-smp",
    "initcall_blacklist=jent_mod_init,crypto_kdf108_init,init_encrypted",
    "lsm=landlock,yama,capability",
    // An emulated processor does not speculate.
    ...(accelerator === "tcg" ? ["mitigations=off"] : []),
    `agent.log=${guest.agentLogLevel}`,
    ...hypervisor.kernelParameters.split(/\s+/).filter((parameter) => parameter !== ""),
  ];
}
