import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { processesOf } from "../../bench/memory.js";
import { execute, Machine, project } from "./machine.js";

/** Runs the operator's command. */
const kataFs = (...words: readonly string[]) => execute([join(project, "dist/bin/kata-fs"), ...words]);

describe("the kata-fs command beside a sandbox", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
    await machine.runDetached("one", ["/bin/busybox", "sleep", "600"]);
  });
  after(() => machine?.stop());

  /** What `list --json` says of this test's own sandbox. */
  async function listed(suffix: string) {
    const { stdout } = await kataFs("list", "--json");
    const all: readonly Record<string, unknown>[] = JSON.parse(stdout.toString());
    return all.find(({ id }) => id === machine.name(suffix));
  }

  it("lists it with its machine, processes and containers", async () => {
    const processes = processesOf(machine.name("one"));
    const found = await listed("one");
    assert.ok(found);
    assert.equal(found["state"], "running");
    assert.equal(found["namespace"], "default");
    assert.deepEqual(found["containers"], [{ id: machine.name("one"), status: "running", processes: 1 }]);
    const { stdout } = await kataFs("list");
    assert.match(
      stdout.toString(),
      new RegExp(
        `^default +${machine.name("one")} +running +1 .* ${processes.shim} +${processes.qemu} +\\d+$`,
        "m",
      ),
    );
  });

  it("shows the guest's console", async () => {
    const { status, stdout, stderr } = await kataFs("console", `default/${machine.name("one")}`);
    assert.equal(status, 0, stderr);
    assert.match(stdout.toString(), /agent listens/);
  });

  it("measures it", async () => {
    const { status, stdout, stderr } = await kataFs("metrics");
    assert.equal(status, 0, stderr);
    const text = stdout.toString();
    const labels = `sandbox_id="${machine.name("one")}",namespace="default"`;
    for (const start of [
      `kata_shim_proc_status{${labels},item="pss"}`,
      `kata_hypervisor_threads{${labels}}`,
      `kata_virtiofsd_fds{${labels}}`,
      `kata_guest_meminfo{${labels},item="mem_available"}`,
      `kata_fs_dax_mapped_bytes_total{${labels},device="kataGuest"}`,
      `kata_fs_requests_total{${labels},device="kataOwn",operation="FUSE_INIT"}`,
    ]) {
      const line = text.split("\n").find((candidate) => candidate.startsWith(`${start} `));
      assert.ok(Number(line?.slice(start.length)) > 0, `${start} in ${text}`);
    }
    const usage = JSON.parse((await kataFs("top", "--json", "--interval", "0.2")).stdout.toString());
    const own = usage.find(
      ({ sandbox }: { sandbox: string }) => sandbox === `default/${machine.name("one")}`,
    );
    assert.ok(own.memoryBytes.every((bytes: number) => bytes > 1 << 20));
  });

  it("answers a scrape until it is ended", async () => {
    const socket = join(machine.disk, "metrics.sock");
    const server = spawn(join(project, "dist/bin/kata-fs"), ["metrics", "--listen", socket], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = once(server, "exit");
    try {
      await once(server.stderr, "data");
      const page = await get(socket, "/metrics");
      assert.match(page.text, /^kata_fs_sandboxes\{state="running"\} [1-9]/m);
      assert.equal((await get(socket, "/")).status, 404);
    } finally {
      server.kill("SIGTERM");
    }
    assert.deepEqual(await ended, [0, null]);
    assert.ok(!existsSync(socket));
  });

  it("removes what is left of it when nobody else does", async () => {
    const found = await listed("one");
    const directory = String(found?.["directory"]);
    // A containerd that stands still sees no end of a shim.
    process.kill(machine.containerd.pid, "SIGSTOP");
    try {
      process.kill(processesOf(machine.name("one")).shim, "SIGKILL");
      const dry = await kataFs("gc", "--dry-run");
      assert.match(dry.stdout.toString(), new RegExp(`^${machine.name("one")}-\\w+: would be removed`, "m"));
      assert.ok(existsSync(directory));
      const { status, stdout, stderr } = await kataFs("gc");
      assert.equal(status, 0, stdout.toString() + stderr);
      assert.match(stdout.toString(), new RegExp(`^${machine.name("one")}-\\w+: removed`, "m"));
      assert.ok(!existsSync(directory));
    } finally {
      process.kill(machine.containerd.pid, "SIGCONT");
    }
    await machine.untilStatus("one", undefined);
    await machine.remove("one");
    assert.deepEqual(await machine.leftovers(), []);
  });
});

/** Asks an HTTP server at a UNIX socket. */
async function get(socketPath: string, path: string): Promise<{ status: number | undefined; text: string }> {
  const asked = request({ socketPath, path });
  asked.end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode, text };
}
