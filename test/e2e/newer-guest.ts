import assert from "node:assert/strict";
import { join } from "node:path";
import type { Overrides } from "../../setup/overrides.js";
import { execute, toolchain } from "./machine.js";

/**
 * What is to be changed of the configuration for guests with another kernel, such as "7.3". They have a copy, in `disk`, of the guest OS
 * directory with that kernel's modules.
 *
 * @param disk a directory beside set-up's, for hard links
 */
export async function guestWith(series: string, disk: string): Promise<Overrides> {
  const { guestRoot, testing } = await toolchain();
  const [kernel, modules] = [testing?.kernel[series], testing?.kernelModules[series]];
  assert.ok(kernel !== undefined && modules !== undefined, `set-up brought no kernel ${series}`);
  const root = join(disk, "guest-root");
  await copy(guestRoot, root, "--link");
  // What stands there is removed first, not written to: it is a link to the one that all guests have.
  await copy(`${modules}/.`, root, "--remove-destination");
  return { hypervisor: { kernel }, guest: { root } };
}

async function copy(from: string, to: string, flag: string): Promise<void> {
  const { status, stderr } = await execute(["cp", "--archive", flag, from, to]);
  assert.equal(status, 0, stderr);
}
