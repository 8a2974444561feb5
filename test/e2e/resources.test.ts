import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createConnection } from "node:net";
import { after, before, describe, it } from "node:test";
import { processesOf, type SandboxProcesses } from "../../bench/memory.js";
import { directoryIn, mountedHierarchies } from "../../lib/cgroup/hierarchies.js";
import { callUnary, createClient } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import { socketPath } from "../../shim/address.js";
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

const MIB = 2 ** 20;
const BASE_MIB = 512;
const LIMIT_MIB = 96;
const HIGHER_LIMIT_MIB = 600;
/** What the kernel of a guest keeps for itself, and the records of memory that may still come. */
const KERNEL_MIB = 128;
/** Of x86. */
const BLOCK_MIB = 128;

describe("the resources of a sandbox", () => {
  let machine: Machine;
  let processes: SandboxProcesses;
  let qemu: number;

  before(async () => {
    machine = await Machine.start("1.7", {
      hypervisor: { cpus: 1, maxCpus: 2, memoryMiB: BASE_MIB, maxMemoryMiB: 4096 },
    });
    await machine.runDetached("r", ["/bin/busybox", "sleep", "600"], {
      flags: ["--memory-limit", `${LIMIT_MIB * MIB}`],
    });
    processes = processesOf(machine.name("r"));
    qemu = processes.qemu;
  });
  after(() => machine?.stop());

  /** Memory of the guest in MiB, as its kernel counts it. */
  async function guestMemoryMiB(): Promise<number> {
    const { stdout } = await machine.exec("r", ["/bin/cat", "/proc/meminfo"]);
    return Number(/^MemTotal: +(\d+) kB$/m.exec(stdout.toString())?.[1]) / 1024;
  }

  async function update(resources: object): Promise<void> {
    const client = createClient(
      createConnection(socketPath(machine.containerd.address, "default", machine.name("r"))),
    );
    const value = Buffer.from(JSON.stringify(resources));
    await callUnary(
      client,
      "containerd.task.v2.Task",
      "Update",
      containerd.UpdateTaskRequest,
      containerd.Empty,
      {
        id: machine.name("r"),
        resources: { type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", value },
      },
    );
    client.close();
  }

  /** The cgroups of a process or thread, by hierarchy. */
  function cgroupsOf(pid: number): string[] {
    const procCgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    return mountedHierarchies().map((hierarchy) =>
      directoryIn(hierarchy, procCgroup).slice(hierarchy.mountPoint.length),
    );
  }

  const vcpuThreads = () =>
    readdirSync(`/proc/${qemu}/task`).filter((tid) =>
      /^CPU \d+\//.test(readFileSync(`/proc/${qemu}/task/${tid}/comm`, "utf8")),
    );

  it("what runs the guest is in the sandbox's cgroup, the rest in the overhead's", () => {
    const version = mountedHierarchies()[0]?.version;
    const sandbox = `/default/kata_${machine.name("r")}`;
    for (const process of [processes.shim, processes.daemon, ...(version === 1 ? [qemu] : [])]) {
      for (const path of cgroupsOf(process)) assert.match(path, /^\/kata_overhead\//);
    }
    assert.equal(vcpuThreads().length, 1);
    for (const tid of vcpuThreads()) {
      assert.deepEqual(new Set(cgroupsOf(Number(tid))), new Set([sandbox]));
    }
  });

  it("the VM has what its container may use on top of its own, and grows with an Update", async () => {
    const before = await guestMemoryMiB();
    const started = BASE_MIB + LIMIT_MIB;
    assert.ok(before <= started && before > started - KERNEL_MIB, `${before} MiB`);

    await update({ memory: { limit: HIGHER_LIMIT_MIB * MIB }, cpu: { quota: 50_000, period: 100_000 } });
    const after = await guestMemoryMiB();
    const more = Math.ceil((HIGHER_LIMIT_MIB - LIMIT_MIB) / BLOCK_MIB) * BLOCK_MIB;
    assert.equal(Math.round(after - before), more);
    // QEMU has the processor in any case; a kernel that knows no hypervisor may not take it.
    assert.equal(vcpuThreads().length, 2);
    const threadCgroups = vcpuThreads().map((tid) => cgroupsOf(Number(tid)));
    assert.deepEqual(threadCgroups[1], threadCgroups[0]);

    // New memory is of use: what is written there by the guest, through virtio-fs, arrives.
    const script = `busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=16 2>/dev/null; md5sum < /dev/shm/x; cp /dev/shm/x /copy; md5sum < /copy`;
    const { stdout, stderr } = await machine.exec("r", ["/bin/sh", "-c", script]);
    const [first, second] = stdout.toString().trim().split("\n");
    assert.ok(first !== undefined && first.length > 30 && first === second, stdout.toString() + stderr);
  });

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
    const cgroups = [processes.shim, Number(vcpuThreads()[0])].flatMap((pid) => {
      const procCgroup = readFileSync(`/proc/${pid}/cgroup`, "utf8");
      return mountedHierarchies().map((hierarchy) => directoryIn(hierarchy, procCgroup));
    });
    assert.ok(cgroups.every(existsSync));
    await machine.remove("r");
    assert.deepEqual(await machine.leftovers(), []);
    assert.deepEqual(cgroups.filter(existsSync), []);
  });
});
