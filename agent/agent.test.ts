import assert from "node:assert/strict";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { statusName, TtrpcError } from "../lib/ttrpc/index.js";
import { agent } from "../proto/index.js";
import { AgentProcess, missing } from "./testing/agent-process.js";

/** These drive the real agent, with the guest's own crun, as a shim would. */
describe("agent", { skip: missing() }, () => {
  let machine: AgentProcess;
  before(async () => {
    machine = await AgentProcess.start();
    await machine.call("CreateSandbox", agent.CreateSandboxRequest, agent.Empty, { hostname: "pod-1" });
  });
  after(() => machine.stop());

  const newId = () => machine.newId();

  function process(script: string, changes: agent.Process.$Properties = {}): agent.Process.$Properties {
    return { Args: ["/bin/busybox", "sh", "-c", script], Env: ["PATH=/bin"], Cwd: "/", User: {}, ...changes };
  }

  async function create(
    container_id: string,
    init: agent.Process.$Properties,
    sandbox_pidns = false,
  ): Promise<void> {
    const OCI = {
      Process: init,
      Root: { Path: machine.rootfs, Readonly: true },
      Mounts: [
        { destination: "/proc", source: "proc", type: "proc" },
        { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["nosuid", "mode=755"] },
        {
          destination: "/dev/pts",
          source: "devpts",
          type: "devpts",
          options: ["newinstance", "ptmxmode=0666"],
        },
      ],
      Linux: { Namespaces: [{ Type: "mount" }, { Type: "ipc" }, { Type: "uts" }] },
    };
    const request = { container_id, exec_id: container_id, OCI, sandbox_pidns };
    await machine.call("CreateContainer", agent.CreateContainerRequest, agent.Empty, request);
  }

  const start = (container_id: string) =>
    machine.call("StartContainer", agent.StartContainerRequest, agent.Empty, { container_id });
  const remove = (container_id: string) =>
    machine.call("RemoveContainer", agent.RemoveContainerRequest, agent.Empty, { container_id });
  const exec = (container_id: string, exec_id: string, added: agent.Process.$Properties) =>
    machine.call("ExecProcess", agent.ExecProcessRequest, agent.Empty, {
      container_id,
      exec_id,
      process: added,
    });
  const signal = (container_id: string, exec_id: string, number: number) =>
    machine.call("SignalProcess", agent.SignalProcessRequest, agent.Empty, {
      container_id,
      exec_id,
      signal: number,
    });

  async function wait(container_id: string, exec_id = ""): Promise<number> {
    const request = { container_id, exec_id };
    const reply = await machine.call(
      "WaitProcess",
      agent.WaitProcessRequest,
      agent.WaitProcessResponse,
      request,
    );
    return reply.status;
  }

  async function output(
    method: "ReadStdout" | "ReadStderr",
    container_id: string,
    exec_id = "",
  ): Promise<string> {
    let text = "";
    for (;;) {
      const request = { container_id, exec_id, len: 4096 };
      const { data } = await machine.call(method, agent.ReadStreamRequest, agent.ReadStreamResponse, request);
      if (data.length === 0) return text;
      text += Buffer.from(data).toString();
    }
  }

  async function write(container_id: string, text: string, exec_id = ""): Promise<void> {
    const request = { container_id, exec_id, data: Buffer.from(text) };
    await machine.call("WriteStdin", agent.WriteStreamRequest, agent.WriteStreamResponse, request);
  }

  function rejectsWith(code: string, text: RegExp) {
    return (error: unknown) =>
      error instanceof TtrpcError && statusName(error.code) === code && text.test(error.rawMessage);
  }

  test("runs a container from creation to removal", async () => {
    const id = newId();
    await create(id, process("hostname; echo complaint >&2; exit 7"));
    await start(id);
    assert.equal(await output("ReadStdout", id), "pod-1\n");
    assert.equal(await output("ReadStderr", id), "complaint\n");
    assert.equal(await wait(id), 7);
    assert.equal(await wait(id, id), 7);
    await remove(id);
    await assert.rejects(wait(id), rejectsWith("NOT_FOUND", new RegExp(id)));
  });

  test("begins the program only at start", async () => {
    const id = newId();
    await create(id, process("echo begun"));
    const early = output("ReadStdout", id);
    const first = await Promise.race([
      early,
      new Promise((resolve) => setTimeout(resolve, 100, "nothing yet")),
    ]);
    assert.equal(first, "nothing yet");
    await start(id);
    assert.equal(await early, "begun\n");
    await remove(id);
  });

  test("feeds standard input until it is closed", async () => {
    const id = newId();
    await create(id, process("cat"));
    await start(id);
    const big = "0123456789abcdef".repeat(16 * 1024);
    const echoed = output("ReadStdout", id);
    await write(id, big);
    await machine.call("CloseStdin", agent.CloseStdinRequest, agent.Empty, { container_id: id });
    assert.equal((await echoed) === big, true);
    assert.equal(await wait(id), 0);
    await remove(id);
  });

  test("gives a process a terminal of the size asked for", async () => {
    const id = newId();
    await create(id, process("read line; stty size; echo got $line", { Terminal: true }));
    await start(id);
    const size = { container_id: id, exec_id: "", row: 40, column: 100 };
    await machine.call("TtyWinResize", agent.TtyWinResizeRequest, agent.Empty, size);
    await write(id, "hello\r");
    assert.equal(await output("ReadStdout", id), "hello\r\n40 100\r\ngot hello\r\n");
    assert.equal(await output("ReadStderr", id), "");
    assert.equal(await wait(id), 0);
    await remove(id);
  });

  test("loses nothing of a terminal whose process has gone", async () => {
    const id = newId();
    await create(id, process("sleep 100"));
    await start(id);
    const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\r\n`).join("");
    for (const round of [1, 2, 3]) {
      const execId = `seq-${round}`;
      await exec(id, execId, process("seq 1 20000", { Terminal: true }));
      assert.equal(await wait(id, execId), 0);
      const text = await output("ReadStdout", id, execId);
      assert.equal(text.length, numbers.length);
      assert.equal(text === numbers, true);
    }
    await remove(id);
  });

  test("goes on when a terminal takes no more input", async () => {
    const id = newId();
    await create(id, process("stty raw; exec sleep 100", { Terminal: true }));
    await start(id);
    const stats = () =>
      machine.call("StatsContainer", agent.StatsContainerRequest, agent.StatsContainerResponse, {
        container_id: id,
      });
    const pasted = write(id, "x".repeat(400_000));
    const first = await Promise.race([pasted, stats().then(() => "an answer to another call")]);
    assert.equal(first, "an answer to another call");
    await signal(id, "", 9);
    await assert.rejects(pasted, rejectsWith("FAILED_PRECONDITION", /stdin is closed/));
    await remove(id);
  });

  test("adds processes, with and without a terminal", async () => {
    const id = newId();
    await create(id, process("sleep 100"));
    await start(id);
    await exec(id, "plain", process("echo $$-$WHO; exit 3", { Env: ["PATH=/bin", "WHO=me"] }));
    await exec(id, "tty", process("tty", { Terminal: true }));
    assert.match(await output("ReadStdout", id, "plain"), /^\d+-me\n$/);
    assert.equal(await output("ReadStdout", id, "tty"), "/dev/pts/0\r\n");
    assert.deepEqual(await Promise.all([wait(id, "plain"), wait(id, "plain")]), [3, 3]);
    await exec(id, "plain", process("exit 4"));
    assert.equal(await wait(id, "plain"), 4);
    await assert.rejects(exec(id, id, process("true")), rejectsWith("ALREADY_EXISTS", new RegExp(id)));
    await remove(id);
  });

  test("keeps output for readers that come after the exit", async () => {
    const id = newId();
    await create(id, process("sleep 100"));
    await start(id);
    await exec(id, "quick", process("echo late"));
    assert.equal(await wait(id, "quick"), 0);
    assert.equal(await output("ReadStdout", id, "quick"), "late\n");
    await remove(id);
  });

  test("does not wait for children that keep the output open", async () => {
    const id = newId();
    await create(id, process("sleep 100"));
    await start(id);
    await exec(id, "daemon", process("echo up; sleep 100 &"));
    assert.equal(await output("ReadStdout", id, "daemon"), "up\n");
    assert.equal(await wait(id, "daemon"), 0);
    await remove(id);
  });

  test("tells signals as exit codes above 128", async () => {
    const id = newId();
    await create(id, process("sleep 100"));
    await start(id);
    await exec(id, "victim", process("exec sleep 100"));
    await signal(id, "victim", 1);
    assert.equal(await wait(id, "victim"), 129);
    await signal(id, "", 9);
    assert.equal(await wait(id), 137);
    // A second kill finds nobody, which is what it wanted.
    await signal(id, "", 9);
    await remove(id);
  });

  test("ends an init that has no handler for SIGTERM, and lets one that has decide", async () => {
    const [deaf, polite] = [newId(), newId()];
    await create(deaf, process("exec sleep 100"));
    await create(polite, process("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"));
    await Promise.all([start(deaf), start(polite)]);
    await machine.call("ReadStdout", agent.ReadStreamRequest, agent.ReadStreamResponse, {
      container_id: polite,
    });
    await Promise.all([signal(deaf, "", 15), signal(polite, "", 15)]);
    assert.equal(await wait(deaf), 137);
    assert.equal(await wait(polite), 5);
    await Promise.all([remove(deaf), remove(polite)]);
  });

  test("shares a pid namespace when asked to", async () => {
    const [first, second, third] = [newId(), newId(), newId()];
    await create(first, process("sleep 100"), true);
    await create(second, process("echo $$"), true);
    await create(third, process("echo $$"));
    await Promise.all([first, second, third].map(start));
    assert.notEqual(await output("ReadStdout", second), "1\n");
    assert.equal(await output("ReadStdout", third), "1\n");
    for (const id of [third, second, first]) await remove(id);
  });

  test("says why a container cannot be made, and leaves its name free", async () => {
    const id = newId();
    const reason = rejectsWith("INTERNAL", /nothing-like-that.*(not found|no such file)/);
    await assert.rejects(create(id, { Args: ["nothing-like-that"], Env: ["PATH=/bin"], Cwd: "/" }), reason);
    await create(id, process("sleep 100"));
    await start(id);
    await assert.rejects(exec(id, "e", { Args: ["/bin/nothing-like-that"], Cwd: "/" }), reason);
    await assert.rejects(create(id, process("true")), rejectsWith("ALREADY_EXISTS", new RegExp(id)));
    await remove(id);
  });

  test("refuses bad names and unknown ones", async () => {
    for (const id of ["", "../x", "a/b", ".", "-a"]) {
      await assert.rejects(
        create(id, process("true")),
        rejectsWith("INVALID_ARGUMENT", /Invalid container id/),
      );
    }
    await assert.rejects(start("nobody"), rejectsWith("NOT_FOUND", /nobody/));
    await assert.rejects(signal("nobody", "", 9), rejectsWith("NOT_FOUND", /nobody/));
    await assert.rejects(
      machine.call("SetIPTables", agent.Empty, agent.Empty, {}),
      rejectsWith("UNIMPLEMENTED", /SetIPTables/),
    );
  });

  test("gives the guest's network card a name, addresses, routes and neighbours", async () => {
    machine.inNetwork("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "card0");
    machine.inNetwork("ip", "link", "set", "card0", "address", "02:00:00:00:00:07");
    machine.inNetwork("ip", "link", "set", "eth0", "up");
    const update = (hwAddr: string, address: string, mask: string) =>
      machine.call("UpdateInterface", agent.UpdateInterfaceRequest, agent.Interface, {
        interface: {
          device: "eth0",
          name: "eth0",
          IPAddresses: [
            { family: agent.IPFamily.v4, address, mask },
            { family: agent.IPFamily.v6, address: "fd55::2", mask: "64" },
          ],
          mtu: 1400,
          hwAddr,
          type: "veth",
        },
      });
    // What a runtime takes for a card that comes later.
    await assert.rejects(
      update("02:00:00:00:00:99", "10.55.0.2", "24"),
      rejectsWith("INTERNAL", /Link not found/),
    );
    for (const [address, mask] of [
      ["10.55.0.2", "33"],
      ["10.55.0", "24"],
    ] as const) {
      await assert.rejects(
        update("02:00:00:00:00:07", address, mask),
        rejectsWith("INVALID_ARGUMENT", /10\.55/),
      );
    }
    await update("02:00:00:00:00:07", "10.55.0.2", "24");
    const shown = machine.inNetwork("ip", "addr", "show", "dev", "eth0");
    assert.match(
      shown,
      /,UP.* mtu 1400 (.|\n)*02:00:00:00:00:07(.|\n)*inet 10\.55\.0\.2\/24(.|\n)*inet6 fd55::2\/64/,
    );
    // Who had the name has given way.
    assert.match(machine.inNetwork("ip", "link", "show", "dev", "eth0_temp"), /state DOWN/);

    const { Routes } = await machine.call("UpdateRoutes", agent.UpdateRoutesRequest, agent.Routes, {
      routes: {
        Routes: [
          { dest: "", gateway: "10.55.1.1", device: "eth0", family: agent.IPFamily.v4 },
          { dest: "10.55.1.0/24", device: "eth0", scope: 253, family: agent.IPFamily.v4, mtu: 1300 },
          { dest: "fd56::/48", gateway: "fd55::1", device: "eth0", family: agent.IPFamily.v6 },
        ],
      },
    });
    assert.deepEqual(Routes.map(({ dest }) => dest).sort(), ["", "10.55.1.0/24", "fd56:0:0:0:0:0:0:0/48"]);
    assert.match(
      machine.inNetwork("ip", "route"),
      /default via 10\.55\.1\.1 dev eth0(.|\n)*10\.55\.1\.0\/24 .*mtu 1300/,
    );
    await machine.call("AddARPNeighbors", agent.AddARPNeighborsRequest, agent.Empty, {
      neighbors: {
        ARPNeighbors: [
          { toIPAddress: { address: "10.55.1.1" }, device: "eth0", lladdr: "02:00:00:00:00:08", state: 0x80 },
        ],
      },
    });
    assert.match(
      machine.inNetwork("ip", "neigh"),
      /10\.55\.1\.1 dev eth0 lladdr 02:00:00:00:00:08 PERMANENT/,
    );
    const { Interfaces } = await machine.call(
      "ListInterfaces",
      agent.ListInterfacesRequest,
      agent.Interfaces,
      {},
    );
    const [eth0] = Interfaces.filter(({ name }) => name === "eth0");
    assert.equal(eth0?.mtu, 1400);
    await assert.rejects(
      machine.call("UpdateRoutes", agent.UpdateRoutesRequest, agent.Routes, {
        routes: { Routes: [{ dest: "10.1.0.0/16", device: "eth7" }] },
      }),
      rejectsWith("NOT_FOUND", /eth7/),
    );
  });

  test("mounts storages for a container and unmounts them after it", async () => {
    const mount_point = "/run/kata-containers/scratch";
    const storages = [
      { driver: "ephemeral", source: "tmpfs", fstype: "tmpfs", options: ["size=1m"], mount_point },
    ];
    const OCI = {
      Process: process("df -k /scratch | tail -n 1; ls /scratch; touch /scratch/left-behind"),
      Root: { Path: machine.rootfs },
      Mounts: [
        { destination: "/proc", source: "proc", type: "proc" },
        { destination: "/scratch", source: mount_point, type: "bind", options: ["rbind"] },
      ],
    };
    for (const container_id of [newId(), newId()]) {
      const request = { container_id, storages, OCI };
      await machine.call("CreateContainer", agent.CreateContainerRequest, agent.Empty, request);
      await start(container_id);
      // A megabyte, and nothing in it: the second container does not get the first one's.
      assert.match(await output("ReadStdout", container_id), /^tmpfs\s+1024\s.*\n$/);
      assert.equal(await wait(container_id), 0);
      await remove(container_id);
    }
  });

  test("stacks more layers than fit the options of a mount", async () => {
    const base = join(machine.directory, "l".repeat(60));
    const layers = Array.from({ length: 100 }, (_, index) => join(base, `${index}`));
    cpSync(join(machine.rootfs, "bin"), join(base, "0/bin"), { recursive: true });
    for (const [index, layer] of layers.entries()) {
      mkdirSync(layer, { recursive: true });
      writeFileSync(join(layer, `file-${index}`), "");
    }
    const [upper, work] = ["upper", "work"].map((name) => join(machine.directory, name));
    const container_id = newId();
    const mount_point = `/run/kata-containers/${container_id}/rootfs`;
    const options = [`lowerdir=${layers.join(":")}`, ...[`upperdir=${upper}`, `workdir=${work}`]];
    const driver_options = [upper, work].map(
      (path) => `io.katacontainers.volume.overlayfs.create_directory=${path}`,
    );
    const overlay = {
      driver: "overlayfs",
      source: "overlay",
      fstype: "overlay",
      options,
      driver_options,
      mount_point,
    };
    await machine.call("CreateContainer", agent.CreateContainerRequest, agent.Empty, {
      container_id,
      storages: [overlay],
      OCI: {
        Process: process("ls / | grep -c file-; echo new > /written"),
        Root: { Path: mount_point },
        Mounts: [
          { destination: "/proc", source: "proc", type: "proc" },
          { destination: "/dev", source: "tmpfs", type: "tmpfs" },
        ],
      },
    });
    await start(container_id);
    assert.equal(await output("ReadStdout", container_id), "100\n");
    assert.equal(await wait(container_id), 0);
    await remove(container_id);
    assert.equal(readFileSync(join(machine.directory, "upper/written"), "utf8"), "new\n");
  });

  test("gives the host a shell with a terminal, which ends with its connection", async () => {
    const console = await machine.connectDebugConsole();
    let text = "";
    console.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    console.write("tty; echo pid=$$=; exit 0\n");
    await once(console, "close");
    assert.match(text, /\/dev\/pts\/\d+\r\n/);
    assert.match(text, /pid=\d+=\r\n/);

    const hungUp = await machine.connectDebugConsole();
    const marker = join(machine.directory, "hung-up");
    hungUp.write(`(trap 'echo > ${marker}; exit' HUP; echo ready-$((6 * 7)); sleep 60)\n`);
    let seen = "";
    for await (const chunk of hungUp) {
      seen += String(chunk);
      // Leaving the loop ends the connection.
      if (seen.includes("ready-42")) break;
    }
    while (!existsSync(marker)) await delay(20);
  });
});
