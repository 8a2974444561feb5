import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { Codec, UnaryHandler } from "../../lib/ttrpc/index.js";
import { containerd } from "../../proto/index.js";
import { requirePodFeatures } from "../sandbox/oci/pod-features.js";
import { FakeSandboxFactory } from "../task/fake-sandbox.test-support.js";
import { Tasks } from "../task/tasks.js";
import { sandboxService } from "./sandbox-service.js";

const SILENT = { error() {}, warn() {}, info() {}, debug() {} };

let bundle: string;
let factory: FakeSandboxFactory;
let tasks: Tasks;
let shutdowns: number;
let methods: Readonly<Record<string, UnaryHandler>>;

beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "kata-fs-sandbox-service-"));
  factory = new FakeSandboxFactory();
  shutdowns = 0;
  tasks = new Tasks({
    namespace: "n",
    factory,
    events: { publish() {} },
    logger: SILENT,
    onContainerGone() {},
  });
  const services = sandboxService(tasks.vm, {
    bundle,
    startOptions: async () => new Uint8Array(0),
    shutdown: async () => void shutdowns++,
  });
  methods = services["containerd.runtime.sandbox.v1.Sandbox"] ?? {};
});

afterEach(() => rmSync(bundle, { recursive: true }));

async function call<I, O>(
  method: string,
  request: Pick<Codec<I, unknown>, "encode">,
  response: Pick<Codec<never, O>, "decode">,
  message: I,
): Promise<O> {
  const handler = methods[method];
  assert.ok(handler, method);
  const context = {
    ...{ service: "Sandbox", method, metadata: new Map(), signal: new AbortController().signal },
    ...{ timeoutMs: undefined },
  };
  return response.decode(await handler(request.encode(message).finish(), context));
}

const NAMED = { sandbox_id: "pod" };
const status = async () =>
  (await call("SandboxStatus", containerd.SandboxRequest, containerd.SandboxStatusResponse, NAMED)).state;

function create(pod: containerd.PodSandboxConfig.$Properties, type_url = "runtime.v1.PodSandboxConfig") {
  const options = { type_url, value: containerd.PodSandboxConfig.encode(pod).finish() };
  const request = { ...NAMED, bundle_path: bundle, options, netns_path: "/var/run/netns/cni-1" };
  return call("CreateSandbox", containerd.CreateSandboxRequest, containerd.Empty, request);
}

test("a pod's sandbox is brought up without a container, and stays until it is told to go", async () => {
  await create({ hostname: "web", linux: { resources: { memory_limit_in_bytes: 2 ** 28 } } });
  assert.equal(await status(), "SANDBOX_NOTREADY");
  const started = await call(
    "StartSandbox",
    containerd.SandboxRequest,
    containerd.StartSandboxResponse,
    NAMED,
  );
  assert.deepEqual([started.pid, await status(), tasks.isEmpty], [4242, "SANDBOX_READY", false]);

  const ended = call("WaitSandbox", containerd.SandboxRequest, containerd.WaitSandboxResponse, NAMED);
  await call("StopSandbox", containerd.SandboxRequest, containerd.Empty, NAMED);
  assert.equal((await ended).exit_status, 0);
  assert.equal(await status(), "SANDBOX_NOTREADY");
  await call("ShutdownSandbox", containerd.SandboxRequest, containerd.Empty, NAMED);
  assert.equal(shutdowns, 1);
});

test("its bundle gets the configuration that a sandbox's container would have", async () => {
  const annotations = { "io.katacontainers.config.hypervisor.default_memory": "512" };
  const resources = { cpu_period: 100_000, cpu_quota: 150_000, memory_limit_in_bytes: 2 ** 28 };
  await create({ hostname: "web", annotations, linux: { cgroup_parent: "/pods/web", resources } });
  const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  assert.equal(config.hostname, "web");
  assert.equal(config.linux.cgroupsPath, "/pods/web/pod");
  assert.deepEqual(config.annotations, {
    ...annotations,
    "io.kubernetes.cri.container-type": "sandbox",
    "io.kubernetes.cri.sandbox-id": "pod",
    "io.kubernetes.cri.sandbox-cpu-period": "100000",
    "io.kubernetes.cri.sandbox-cpu-quota": "150000",
    "io.kubernetes.cri.sandbox-memory": `${2 ** 28}`,
  });
  const network = config.linux.namespaces.find(({ type }: { type: string }) => type === "network");
  assert.deepEqual(network, { type: "network", path: "/var/run/netns/cni-1" });
  assert.doesNotThrow(() => requirePodFeatures(config));
});

test("what it shares with the host is missing there, and so refused", async () => {
  const { NODE } = containerd.NamespaceMode;
  for (const [options, field] of [
    [{ network: NODE }, /hostNetwork/],
    [{ pid: NODE }, /hostPID/],
    [{ ipc: NODE }, /hostIPC/],
  ] as const) {
    await create({ linux: { security_context: { namespace_options: options } } });
    const config: unknown = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
    assert.throws(() => requirePodFeatures(config), field);
  }
});

test("a machine that is lost ends it as a kill would", async () => {
  await create({});
  await call("StartSandbox", containerd.SandboxRequest, containerd.StartSandboxResponse, NAMED);
  const ended = call("WaitSandbox", containerd.SandboxRequest, containerd.WaitSandboxResponse, NAMED);
  factory.sandbox.die("QEMU has ended");
  assert.equal((await ended).exit_status, 137);
  assert.equal(await status(), "SANDBOX_NOTREADY");
});

test("options that are no pod, and questions before the start, are refused", async () => {
  await assert.rejects(create({}, "runc.v1.Options"), /needed: a PodSandboxConfig/);
  for (const method of ["WaitSandbox", "PingSandbox"])
    await assert.rejects(
      call(method, containerd.SandboxRequest, containerd.Empty, NAMED),
      /the sandbox is not started: not found/,
    );
});
