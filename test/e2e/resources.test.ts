import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { processesOf } from "../../bench/memory.js";
import { Machine } from "./machine.js";

/** A field of proc_pid_status(5), of the process or of one of its threads. */
function statusField(pid: number, name: string): string {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return new RegExp(`^${name}:[\t ]*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
}

const O_ACCMODE = 3;

/** What the open descriptors of a process refer to, and whether they can be written to. */
function descriptorsOf(pid: number): { target: string; isWritable: boolean }[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    const [, flags = ""] = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8")) ?? [];
    return {
      target: readlinkSync(`/proc/${pid}/fd/${fd}`),
      isWritable: (Number.parseInt(flags, 8) & O_ACCMODE) !== 0,
    };
  });
}

describe("the resources of a sandbox", () => {
  let machine: Machine;
  let qemu: number;

  before(async () => {
    machine = await Machine.start("1.7");
    await machine.runDetached("r", ["/bin/busybox", "sleep", "600"]);
    qemu = processesOf(machine.name("r")).qemu;
  });
  after(() => machine?.stop());

  it("QEMU is a user of its own without rights, behind a seccomp filter", () => {
    const [uid = "0", ...others] = statusField(qemu, "Uid").split("\t");
    assert.ok(Number(uid) >= 1_900_000_000 && others.every((other) => other === uid), uid);
    assert.equal(statusField(qemu, "Gid").split("\t")[0], uid);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      assert.match(statusField(qemu, set), /^0+$/, set);
    }
    assert.equal(statusField(qemu, "NoNewPrivs"), "1");
    const SECCOMP_MODE_FILTER = "2";
    for (const thread of readdirSync(`/proc/${qemu}/task`)) {
      assert.equal(statusField(Number(thread), "Seccomp"), SECCOMP_MODE_FILTER, `thread ${thread}`);
    }
  });

  it("QEMU has the descriptors that it needs, and nothing of containerd's environment", () => {
    const isMap = (target: string) => target.startsWith("/share/");
    const needed =
      /^(\/dev\/null|\/dev\/kvm|socket:\[\d+\]|anon_inode:.*|\/memfd:memory-backend-memfd \(deleted\))$/;
    const descriptors = descriptorsOf(qemu);
    assert.deepEqual(
      descriptors.filter(({ target }) => !isMap(target) && !needed.test(target)),
      [],
    );
    // What kata-fsd mapped into the guest: files by its own names, all read-only.
    const maps = descriptors.filter(({ target }) => isMap(target));
    assert.ok(maps.length > 0);
    assert.deepEqual(
      maps.filter(({ isWritable }) => isWritable),
      [],
    );
    const names = readFileSync(`/proc/${qemu}/environ`, "utf8")
      .split("\0")
      .map((variable) => variable.split("=", 1)[0]);
    assert.deepEqual(
      names.filter((name) => name !== "" && name !== "QEMU_MODULE_DIR"),
      ["PATH"],
    );
  });

  it("the guest's memory is a memory file, not a file of a file system", () => {
    const shared = readFileSync(`/proc/${qemu}/maps`, "utf8")
      .split("\n")
      .filter((line) => / rw-s /.test(line) && !/anon_inode|\/dev\/zero/.test(line));
    assert.ok(shared.length > 0);
    for (const line of shared) assert.match(line, /\/memfd:memory-backend-memfd \(deleted\)$/);
  });

  it("nothing is left at its end", async () => {
    await machine.remove("r");
    assert.deepEqual(await machine.leftovers(), []);
  });
});
