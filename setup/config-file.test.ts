import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../configs/index.js";
import { configurationFor, withOverrides } from "./config-file.js";
import type { Toolchain } from "./toolchain.js";

const TOOLCHAIN: Toolchain = {
  qemu: { argv: ["/k/ld.so", "/k/qemu"], env: { QEMU_MODULE_DIR: "/k/modules" }, version: "11.1.3" },
  kernel: "/k/vmlinuz",
  guestRoot: "/k/root",
  shmemPreload: "/k/preload.so",
  firmware: "qboot.rom",
  runc: "/k/runc",
  containerd: {},
  testing: undefined,
};

test("set-up's configuration has this machine's places, the defaults, and the comments", () => {
  const yaml = configurationFor(TOOLCHAIN);
  const { hypervisor, guest, daemon } = parseConfiguration(yaml, "made");
  assert.deepEqual(hypervisor.argv, TOOLCHAIN.qemu.argv);
  assert.deepEqual(hypervisor.env, TOOLCHAIN.qemu.env);
  assert.equal(hypervisor.kernel, TOOLCHAIN.kernel);
  assert.equal(guest.root, TOOLCHAIN.guestRoot);
  assert.equal(daemon.dax, true);
  assert.match(yaml, /# Memory of a sandbox,/);
});

test("overrides replace single keys, the last one wins", () => {
  const base = "hypervisor: { cpus: 2, memoryMiB: 512 }\n";
  const yaml = withOverrides(
    base,
    { hypervisor: { cpus: 3 } },
    { runtime: { reportDirectory: "/r" }, hypervisor: { cpus: 4 } },
  );
  const { hypervisor, runtime } = parseConfiguration(yaml, "merged");
  assert.equal(hypervisor.cpus, 4);
  assert.equal(hypervisor.memoryMiB, 512);
  assert.equal(runtime.reportDirectory, "/r");
});
