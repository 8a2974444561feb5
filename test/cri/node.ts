import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { cri } from "../../proto/index.js";
import type { Overrides } from "../../setup/overrides.js";
import { IMAGE_NAME, makeDemoImage } from "../../setup/run/demo-image.js";
import { parseMountPoints, processesMentioning } from "../../setup/run/leftovers.js";
import { SMALL_SAMPLE_BYTES } from "../../setup/run/sample-file.js";
import { execute, Machine, toolchain } from "../e2e/machine.js";
import { CriClient } from "./client.js";
import { HANDLER, withCri } from "./settings.js";

/** CRI's part of containerd sees no other namespace. */
const NAMESPACE = "k8s.io";
const SANDBOX_IMAGE = "kata-fs.local/pause:latest";
/** Ends with SIGKILL only, as long as nobody waits for it. */
const SANDBOX_COMMAND = ["/bin/busybox", "sleep", "1000000000"];

type PodConfig = cri.PodSandboxConfig.$Properties;
type ContainerConfig = cri.ContainerConfig.$Properties;

export type NetworkPlugins = (bridge: string, dataDirectory: string) => readonly object[];

/** A pod that runs. */
export interface Pod {
  readonly id: string;
  readonly config: PodConfig;
}

/** A node of a cluster without the cluster: containerd with CRI, the network plugins, and images that need no registry. */
export class Node {
  readonly #pods = new Set<string>();

  private constructor(
    readonly machine: Machine,
    readonly client: CriClient,
    /** The interface that pods are joined to. */
    readonly bridge: string,
    /** Where containers' logs go, and what tests keep on the host. */
    readonly directory: string,
  ) {}

  /**
   * @param changes keys of kata-fs's configuration that differ from what set-up wrote
   * @param plugins CNI's, in their order, given the name of the node's bridge and a directory for what they keep
   */
  static async start(
    series: string,
    changes: Overrides = {},
    plugins: NetworkPlugins = isolatedBridge,
  ): Promise<Node> {
    const tools = await toolchain();
    assert.ok(tools.testing, "set-up has not run for tests");
    const { cniPlugins } = tools.testing;
    const bridge = `kf${randomBytes(4).toString("hex")}`;
    const machine = await Machine.start(series, changes, {
      namespace: NAMESPACE,
      withCri: (bare, { version, disk, configPath }) =>
        withCri(bare, {
          version,
          sandboxImage: SANDBOX_IMAGE,
          cniPlugins,
          cniConfiguration: join(disk, "cni"),
          configPath,
          optional: join(disk, "opt"),
        }),
    });
    const client = new CriClient(machine.containerd.address);
    const node = new Node(machine, client, bridge, join(machine.disk, "pods"));
    try {
      await mkdir(join(machine.disk, "cni"), { recursive: true });
      await mkdir(node.directory);
      await writeFile(
        join(machine.disk, "cni/10-test.conflist"),
        networkList(plugins(bridge, join(machine.disk, "ipam"))),
      );
      const busybox = join(tools.guestRoot, "usr/bin/busybox");
      const image = await makeDemoImage(machine.disk, busybox, SMALL_SAMPLE_BYTES, [], {
        name: SANDBOX_IMAGE,
        command: SANDBOX_COMMAND,
      });
      const { status, stderr } = await machine.ctr(["image", "import", image.file]);
      assert.equal(status, 0, stderr);
      await rm(image.file);
      await node.#untilReady();
      return node;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  /** Runs a pod's sandbox. */
  async runPod(name: string, changes: Partial<PodConfig> = {}, handler = HANDLER): Promise<Pod> {
    const config: PodConfig = {
      metadata: { name, uid: randomBytes(8).toString("hex"), namespace: "default", attempt: 0 },
      hostname: name,
      log_directory: join(this.directory, name),
      ...changes,
    };
    await mkdir(join(this.directory, name), { recursive: true });
    const id = await this.client.runPodSandbox({ config, runtime_handler: handler });
    this.#pods.add(id);
    this.machine.claim(id);
    return { id, config };
  }

  /** Makes a container that runs a script. @returns its id */
  create(pod: Pod, name: string, script: string, changes: Partial<ContainerConfig> = {}): Promise<string> {
    const config: ContainerConfig = {
      metadata: { name, attempt: 0 },
      image: { image: IMAGE_NAME },
      command: ["/bin/sh", "-c", script],
      log_path: `${name}.log`,
      ...changes,
    };
    return this.client.createContainer({ pod_sandbox_id: pod.id, config, sandbox_config: pod.config });
  }

  /** Makes and starts it. */
  async run(pod: Pod, name: string, script: string, changes: Partial<ContainerConfig> = {}): Promise<string> {
    const id = await this.create(pod, name, script, changes);
    await this.client.startContainer(id);
    return id;
  }

  /** Runs a script in a container. @returns what it prints; fails unless its status is 0 */
  async output(container: string, script: string): Promise<string> {
    const { stdout, stderr, exit_code } = await this.client.execSync(container, ["/bin/sh", "-c", script]);
    assert.equal(exit_code, 0, `${script}: ${Buffer.from(stderr)}`);
    return Buffer.from(stdout).toString();
  }

  /** What the container of a pod has written to its standard output and error, without CRI's stamps. */
  async log(pod: Pod, name: string): Promise<string> {
    const text = await readFile(join(pod.config.log_directory ?? "", `${name}.log`), "utf8");
    return text.replaceAll(/^\S+ (?:stdout|stderr) ([FP]) (.*)\n/gm, (_, part: string, line: string) =>
      part === "F" ? `${line}\n` : line,
    );
  }

  /** Waits until a container has written something that matches. */
  async untilLog(pod: Pod, name: string, pattern: RegExp, limitMs = 30_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const text = await this.log(pod, name);
      if (pattern.test(text)) return;
      assert.ok(performance.now() < deadline, `no ${pattern} after ${limitMs} ms in: ${text}`);
      await delay(100);
    }
  }

  /** Waits for a container to end. */
  async untilExited(container: string, limitMs = 60_000): Promise<cri.ContainerStatus> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const status = await this.client.containerStatus(container);
      if (status.state === cri.ContainerState.CONTAINER_EXITED) return status;
      assert.ok(performance.now() < deadline, `${container} still runs after ${limitMs} ms`);
      await delay(100);
    }
  }

  /** What is mounted for a pod where its processes on the host see it: grows if a container leaves something behind. */
  async mountsOf(pod: Pod): Promise<string[]> {
    const processes = await processesMentioning(pod.id);
    const tables = processes.map(({ pid }) => readFile(`/proc/${pid}/mountinfo`, "utf8"));
    return (await Promise.all(tables)).flatMap(parseMountPoints).sort();
  }

  async removePod({ id }: Pod): Promise<void> {
    await this.client.stopPodSandbox(id);
    await this.client.removePodSandbox(id);
    this.#pods.delete(id);
  }

  /** Ends all; fails if a pod has left something. */
  async stop(): Promise<void> {
    for (const id of this.#pods) {
      // A test that failed half way has not removed its pods; why they do not go is the test's failure, not this one's.
      await this.client.stopPodSandbox(id).catch(() => {});
      await this.client.removePodSandbox(id).catch(() => {});
    }
    this.client.close();
    try {
      await this.machine.stop();
    } finally {
      await execute(["ip", "link", "delete", this.bridge]);
    }
  }

  /** What keeps CRI from working, such as a plugin that is not there yet. */
  async #obstacle(): Promise<string | undefined> {
    try {
      const { status } = await this.client.status();
      return status.conditions.find((condition) => !condition.status)?.message;
    } catch (error) {
      return String(error);
    }
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const obstacle = await this.#obstacle();
      if (obstacle === undefined) return;
      const isLate = performance.now() > deadline;
      assert.ok(
        !isLate,
        `CRI is not ready: ${obstacle}\n${isLate && (await this.machine.containerd.logTail(40))}`,
      );
      await delay(100);
    }
  }
}

/** A bridge of the node's own that leads nowhere: it changes nothing of the machine's routes or settings. */
const isolatedBridge: NetworkPlugins = (bridge, dataDir) => [
  {
    type: "bridge",
    bridge,
    isGateway: false,
    ipMasq: false,
    ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.213.0.0/16" }]] },
  },
];

function networkList(plugins: readonly object[]): string {
  return JSON.stringify({ cniVersion: "0.4.0", name: "test", plugins });
}
