import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Codec, callUnary, createClient, TtrpcError } from "../lib/ttrpc/index.js";
import { containerd } from "../proto/index.js";
import { socketPath } from "./address.js";
import { runningShimPid } from "./shim-process.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const ADDRESS = "/run/kata-fs-test.sock";

let root: string;
let bundle: string;
let launcher: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kata-fs-shim-"));
  bundle = join(root, "bundle");
  launcher = join(root, "dist/bin/containerd-shim-kata-fs-v2");
  mkdirSync(bundle);
  mkdirSync(dirname(launcher), { recursive: true });
  copyFileSync(join(HERE, "launcher.sh"), launcher);
  // In the place of the bundle: the sources, as they are.
  const [loader, main] = [import.meta.resolve("tsx/esm/api"), new URL("./main.ts", import.meta.url).href];
  writeFileSync(
    join(root, "dist/shim.cjs"),
    `import(${JSON.stringify(loader)}).then(({ register }) => { register(); return import(${JSON.stringify(main)}); });`,
  );
  writeFileSync(join(bundle, "config.json"), "{}");
  spawnSync("mkfifo", [join(bundle, "log")]);
});
afterEach(() => {
  const pid = runningShimPid(bundle);
  if (pid !== undefined) process.kill(pid, "SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

function run(args: readonly string[], cwd = bundle) {
  const { status, stdout, stderr } = spawnSync(launcher, args, { cwd, timeout: 30_000 });
  return { status, stdout, stderr: stderr.toString() };
}

function flags(id: string): string[] {
  return ["-namespace", "n", "-address", ADDRESS, "-publish-binary", "/bin/true", "-id", id];
}

function connected(address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(address.replace("unix://", ""), () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Calls the task service of the shim at an address, on a connection of its own. */
async function call<I, O>(
  address: string,
  method: string,
  input: Pick<Codec<I, unknown>, "encode">,
  output: Pick<Codec<never, O>, "decode">,
  request: I,
): Promise<O> {
  const client = createClient(await connected(address));
  try {
    return await callUnary(client, "containerd.task.v2.Task", method, input, output, request, {
      timeoutMs: 20_000,
    });
  } finally {
    client.close();
  }
}

const { ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse, Empty, ShutdownRequest } =
  containerd;

test("a shim from its start to its Shutdown", async () => {
  const started = run([...flags("c1"), "start"]);
  const address = started.stdout.toString();
  assert.deepEqual([started.status, started.stderr], [0, ""]);
  assert.equal(address, `unix://${socketPath(ADDRESS, "n", "c1")}`);
  assert.equal(readFileSync(join(bundle, "address"), "utf8"), address);

  const { shim_pid } = await call(address, "Connect", ConnectRequest, ConnectResponse, { id: "c1" });
  assert.equal(shim_pid, runningShimPid(bundle));

  const again = run([...flags("c1"), "start"]);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /another shim already serves/);

  const inPod = join(root, "pod-container");
  mkdirSync(inPod);
  const annotations = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "c1",
  };
  writeFileSync(join(inPod, "config.json"), JSON.stringify({ annotations }));
  assert.equal(run([...flags("c2"), "start"], inPod).stdout.toString(), address);
  assert.equal(readFileSync(join(inPod, "address"), "utf8"), address);

  process.kill(shim_pid, "SIGTERM");
  const options = {
    type_url: "runtimeoptions.v1.Options",
    value: containerd.RuntimeOptions.encode({ config_path: join(root, "missing.yaml") }).finish(),
  };
  await assert.rejects(
    call(address, "Create", CreateTaskRequest, CreateTaskResponse, { id: "c1", bundle, options }),
    (error) => error instanceof TtrpcError && error.rawMessage.includes("missing.yaml"),
    "SIGTERM has not ended it, and a configuration that is missing is named",
  );

  await call(address, "Shutdown", ShutdownRequest, Empty, { id: "c1" });
  for (let i = 0; i < 200 && runningShimPid(bundle) !== undefined; i++) await sleep(20);
  assert.equal(runningShimPid(bundle), undefined);
  assert.equal(existsSync(address.replace("unix://", "")), false);
  assert.equal(readFileSync(join(bundle, "shim.stderr"), "utf8"), "");
});

test("a pod's container whose sandbox is not there", () => {
  const annotations = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "p",
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify({ annotations }));
  const { status, stderr } = run([...flags("c1"), "start"]);
  assert.equal(status, 1);
  assert.match(stderr, /no shim serves sandbox p, which container c1 belongs to/);
});

test("delete after a shim that was killed", async () => {
  const address = run([...flags("c3"), "start"]).stdout.toString();
  const { shim_pid } = await call(address, "Connect", ConnectRequest, ConnectResponse, { id: "c3" });
  process.kill(shim_pid, "SIGKILL");
  const { status, stdout } = run([...flags("c3"), "-bundle", bundle, "delete"]);
  assert.equal(status, 0);
  assert.equal(containerd.DeleteResponse.decode(stdout).exit_status, 137);
  assert.equal(existsSync(address.replace("unix://", "")), false);
});

test("-info is a RuntimeInfo, -version is text, and what is wrong is named", () => {
  const info = containerd.RuntimeInfo.decode(run(["-info"]).stdout);
  assert.equal(info.name, "io.containerd.kata-fs.v2");
  assert.match(run(["-version"]).stdout.toString(), /Version: \d+\.\d+\.\d+/);
  const { status, stderr } = run(["-colour"]);
  assert.equal(status, 2);
  assert.match(stderr, /unknown flag -colour/);
});
