import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { descriptorLimit, raiseDescriptorLimit } from "./resource-limit.js";

const MODULE = fileURLToPath(new URL("./resource-limit.ts", import.meta.url));
const CAP_SYS_RESOURCE = 24n;
const UNPRIVILEGED = ["setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"];

/** What a process with these limits gets, in a process of its own: limits cannot be taken back. */
function raisedFrom(
  soft: number,
  hard: number,
  prefix: readonly string[] = [],
): { soft: number; hard: number } {
  const program = `
    import { raiseDescriptorLimit } from ${JSON.stringify(MODULE)};
    console.log(JSON.stringify(raiseDescriptorLimit()));`;
  const [command = "", ...args] = [
    ...["prlimit", `--nofile=${soft}:${hard}`],
    ...prefix,
    ...[process.execPath, "--import", "tsx", "--input-type=module", "--eval", program],
  ];
  return JSON.parse(execFileSync(command, args, { encoding: "utf8", timeout: 60_000 }));
}

describe("raiseDescriptorLimit", () => {
  it("says what the kernel says", () => {
    const [, soft, hard] =
      /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
    assert.deepEqual(descriptorLimit(), { soft: Number(soft), hard: Number(hard) });
  });

  it("never lowers it, nor goes above what was asked for", () => {
    const before = descriptorLimit();
    assert.deepEqual(raiseDescriptorLimit(1), before);
  });

  const isRoot = process.getuid?.() === 0;
  const capabilities = /^CapEff:\s+(\w+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
  const mayRaise = ((BigInt(`0x${capabilities}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;

  it("goes to fs.nr_open if the process may", { skip: !mayRaise && "without CAP_SYS_RESOURCE" }, () => {
    const most = Math.max(4096, Number(readFileSync("/proc/sys/fs/nr_open", "latin1")));
    assert.deepEqual(raisedFrom(1024, 4096), { soft: most, hard: most });
  });

  it("goes to the hard limit if that is all it may", { skip: !isRoot && "not root" }, () => {
    assert.deepEqual(raisedFrom(1024, 4096, UNPRIVILEGED), { soft: 4096, hard: 4096 });
  });
});
