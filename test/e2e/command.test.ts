import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { processesOf } from "../../bench/memory.js";
import { execute, Machine, project } from "./machine.js";

/** Runs the operator's command. */
const kataFs = (...words: readonly string[]) => kataFsWith("", ...words);
const kataFsWith = (input: string, ...words: readonly string[]) =>
  execute([join(project, "dist/bin/kata-fs"), ...words], Buffer.from(input));

/** Of environments and arguments, which no log may have. */
const SECRET = "hunter2-of-the-test";

/** Names of the metrics in the expressions of the Grafana dashboard. */
function dashboardMetrics(): readonly string[] {
  const { panels, templating } = JSON.parse(readFileSync(join(project, "docs/grafana/kata-fs.json"), "utf8"));
  const expressions: readonly string[] = [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }: { expr: string }) => expr)),
    ...templating.list.map(({ definition = "" }) => definition),
  ];
  const names = new Set(expressions.flatMap((text) => text.match(/\bkata_\w+/g) ?? []));
  assert.ok(names.size > 20, [...names].join(", "));
  return [...names];
}

/** What a guest writes to its console takes a moment to the shim. */
const LOGGED_LIMIT_MS = 10_000;

describe("the kata-fs command beside a sandbox", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7", {
      guest: { agentLogLevel: "debug" },
      runtime: { logLevel: "debug" },
    });
    await machine.runDetached("one", ["/bin/busybox", "sleep", "600"], { flags: ["--env", `KEY=${SECRET}`] });
  });
  after(() => machine?.stop());

  /** What `list --json` says of this test's own sandbox. */
  async function listed(suffix: string) {
    const { stdout } = await kataFs("list", "--json");
    const all: readonly Record<string, unknown>[] = JSON.parse(stdout.toString());
    return all.find(({ id }) => id === machine.name(suffix));
  }

  /** The log of the sandbox, once it has this message. */
  async function loggedUntil(message: string): Promise<readonly Record<string, unknown>[]> {
    const deadline = performance.now() + LOGGED_LIMIT_MS;
    for (;;) {
      const { stdout } = await kataFs("logs", machine.name("one"), "--json");
      const lines: readonly Record<string, unknown>[] = stdout
        .toString()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      if (lines.some(({ msg }) => msg === message)) return lines;
      assert.ok(performance.now() < deadline, `${message} in ${stdout}`);
    }
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
        `^default +${machine.name("one")} +running +1 .* ${processes.shim} +${processes.qemu} +\\d+ +0$`,
        "m",
      ),
    );
  });

  it("checks what sandboxes here need", async () => {
    const env = { ...process.env, KATA_FS_CONFIG: join(machine.disk, "config.yaml") };
    const { stdout } = await execute([join(project, "dist/bin/kata-fs"), "check", "--json"], undefined, env);
    const findings: readonly { title: string; verdict: string }[] = JSON.parse(stdout.toString());
    for (const wanted of [
      "configuration",
      "QEMU",
      "guest kernel",
      "guest root",
      "kata-fsd",
      "daemon's sandbox",
    ]) {
      const finding = findings.find(({ title }) => title === wanted);
      assert.equal(finding?.verdict, "ok", `${wanted} in ${stdout}`);
    }
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
    for (const name of dashboardMetrics()) {
      assert.match(text, new RegExp(`^${name}\\{`, "m"), "what the dashboard shows is measured");
    }
    const usage = JSON.parse((await kataFs("top", "--json", "--interval", "0.2")).stdout.toString());
    const own = usage.find(
      ({ sandbox }: { sandbox: string }) => sandbox === `default/${machine.name("one")}`,
    );
    assert.deepEqual(
      own.memoryBytes.filter((bytes: number) => !(bytes > 5 << 20)),
      [],
      "shim, QEMU and kata-fsd are no small processes",
    );
    assert.ok(own.guestMemoryBytes > 10 << 20, `the guest has ${own.guestMemoryBytes} bytes in use`);
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

  it("runs commands in the guest, outside of the container", async () => {
    const name = machine.name("one");
    const { status, stdout, stderr } = await kataFs(
      ...["exec", name, "--", "sh", "-c", "ps -o args | grep '[s]leep 600'; cat /etc/hostname; exit 7"],
    );
    assert.equal(status, 7, stderr);
    assert.match(stdout.toString(), /sleep 600\nkata-fs\n$/);
    const script = await kataFsWith("uname -s; mount | grep -c kataShared", "exec", "--json", name);
    assert.deepEqual(JSON.parse(script.stdout.toString()), { status: 0, output: "Linux\n1\n" });
  });

  it("gives a user at a terminal a shell of the guest", async () => {
    const shell = [join(project, "dist/bin/kata-fs"), "exec", machine.name("one")].join(" ");
    // script(1) is the user's terminal.
    const typed = Buffer.from("tty; echo $((6 * 7)); exit 5\n");
    const { status, stdout } = await execute(["script", "-qec", shell, "/dev/null"], typed);
    assert.equal(status, 5, stdout.toString());
    assert.match(stdout.toString(), /\/dev\/pts\/\d+\r\n42\r\n/);
  });

  it("tells what its shim and the agent have logged, and no secret", async () => {
    const name = machine.name("one");
    const exec = ["/bin/sh", "-c", `echo ${SECRET}`];
    const { stdout } = await machine.exec("one", exec);
    assert.equal(stdout.toString(), `${SECRET}\n`);
    await kataFs("exec", name, "--", "sh", "-c", "echo words of the kernel > /dev/console");
    const lines = await loggedUntil("words of the kernel");
    const others = lines.filter(({ sandbox, namespace }) => sandbox !== name || namespace !== "default");
    assert.deepEqual(others, [], "every line says whose it is");
    const listens = lines.find(({ msg }) => msg === "agent listens");
    assert.equal(listens?.["source"], "agent");
    const plain = (await kataFs("logs", name)).stdout.toString();
    assert.match(
      plain,
      new RegExp(`^time="[^"]+" level=info msg="sandbox is up" namespace=default sandbox=${name} `, "m"),
    );
    const everything = plain + (await machine.containerd.logTail(1000));
    assert.ok(everything.includes("agent listens"), "containerd's log has the agent's lines, too");
    const ours = everything.split("\n").filter((line) => line.includes(`sandbox=${name}`));
    assert.ok(ours.length > 0, "containerd's log has lines of the sandbox");
    assert.ok(!ours.join("\n").includes(SECRET), "no line has an argument or the environment");
  });

  it("removes what is left of it when nobody else does", async () => {
    const found = await listed("one");
    const directory = String(found?.["directory"]);
    // A containerd that stands still sees no end of a shim.
    process.kill(machine.containerd.pid, "SIGSTOP");
    try {
      const follower = spawn(join(project, "dist/bin/kata-fs"), ["logs", machine.name("one"), "--follow"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const followed = once(follower, "exit");
      await once(follower.stdout, "data");
      process.kill(processesOf(machine.name("one")).shim, "SIGKILL");
      assert.deepEqual(await followed, [0, null], "the log is followed until the shim ends");
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
