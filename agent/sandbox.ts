import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../lib/sys/errno.js";
import { Container } from "./container/container.js";
import type { OciRuntime } from "./container/oci-runtime.js";
import { AgentError } from "./error.js";
import type { Guest } from "./guest/guest.js";
import { log } from "./log.js";
import { fitToGuest } from "./oci/guest-policy.js";
import type { RuntimeSpec } from "./oci/runtime-spec.js";
import type { Storage } from "./storage/storage.js";
import { StorageSet } from "./storage/storage-set.js";

/** Everything of the sandbox lies below; set by the protocol, since storages name paths in it. */
const RUN_DIRECTORY = "/run/kata-containers";

export interface SandboxOptions {
  /** Also the id of the container that stands for the pod, if there is one. */
  readonly id: string;
  readonly hostname: string;
  readonly resolvConf: readonly string[];
  readonly storages: readonly Storage[];
}

export interface CreateContainerOptions {
  readonly id: string;
  readonly execId: string;
  readonly storages: readonly Storage[];
  readonly spec: RuntimeSpec;
  /**
   * Whether it joins the pid namespace of the sandbox: that of the container that stands for the pod, and without one that of the
   * first container that asks, as long as it runs.
   */
  readonly sharesPidNamespace: boolean;
}

/** Names become files and cgroups: a letter or digit, then letters, digits, `_`, `.`, `-`. */
const ID_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;

interface Member {
  readonly container: Container;
  readonly mountPoints: readonly string[];
}

/** The one sandbox of this guest: its storages, its containers and what they share. */
export class Sandbox {
  readonly #storages: StorageSet;
  readonly #members = new Map<string, Member>();
  /** Ids that are being created or removed. */
  readonly #busy = new Set<string>();
  /** Open file of the shared pid namespace, which a path keeps pointing at even when the process is gone. */
  #pidNamespace: number | undefined;
  readonly #runDirectory: string;
  #isCreated = false;
  #id = "";

  constructor(
    private readonly runtime: OciRuntime,
    private readonly guest: Guest,
    options: { runDirectory?: string; storages?: StorageSet } = {},
  ) {
    this.#runDirectory = options.runDirectory ?? RUN_DIRECTORY;
    this.#storages = options.storages ?? new StorageSet();
  }

  /** Prepares the guest for the sandbox. */
  create({ id, hostname, resolvConf, storages }: SandboxOptions): void {
    if (this.#isCreated) throw new AgentError("ALREADY_EXISTS", "this guest has its sandbox");
    mkdirSync(this.#runDirectory, { recursive: true, mode: 0o711 });
    if (hostname !== "") this.guest.setHostname(hostname);
    if (resolvConf.length > 0) this.guest.setResolvConf(resolvConf);
    this.#storages.acquire(storages);
    this.#id = id;
    this.#isCreated = true;
  }

  /** Makes a container with its storages. Leaves neither when it throws. */
  async createContainer(options: CreateContainerOptions): Promise<void> {
    const { id, execId } = options;
    checkId(id, "container");
    if (execId !== "") checkId(execId, "exec");
    if (this.#members.has(id)) throw new AgentError("ALREADY_EXISTS", `container ${id} exists`);
    await this.#exclusively(id, async () => {
      const bundle = join(this.#runDirectory, id);
      mkdirSync(bundle, { recursive: true, mode: 0o700 });
      let mountPoints: string[] = [];
      try {
        mountPoints = this.#storages.acquire(options.storages);
        const container = await this.#launchContainer(options, bundle);
        this.#members.set(id, { container, mountPoints });
        if (options.sharesPidNamespace || id === this.#id) this.#keepPidNamespace(container);
      } catch (error) {
        this.#storages.release(mountPoints);
        removeBundle(bundle);
        throw error;
      }
    });
  }

  /** Throws AgentError NOT_FOUND. */
  container(id: string): Container {
    return this.#member(id).container;
  }

  /** Ends a container and takes its storages away. With a time limit, throws when its processes do not end in time. */
  async removeContainer(id: string, timeoutMs: number): Promise<void> {
    const { container, mountPoints } = this.#member(id);
    await this.#exclusively(id, async () => {
      await withinLimit(container.remove(), timeoutMs, `container ${id} is still running`);
      this.#members.delete(id);
      this.#storages.release(mountPoints);
      removeBundle(join(this.#runDirectory, id));
    });
  }

  /** Kills every process of every container and waits, but no longer than `limitMs`, until they have ended. */
  async killAll(limitMs: number): Promise<void> {
    const containers = [...this.#members.values()].map(({ container }) => container);
    for (const container of containers) container.killAll();
    const ended = Promise.all(containers.map(({ init }) => init.exited)).then(() => {});
    await withinLimit(ended, limitMs, "containers are still running");
  }

  #launchContainer(options: CreateContainerOptions, bundle: string): Promise<Container> {
    const { id, execId } = options;
    const joins = options.sharesPidNamespace && this.#pidNamespace !== undefined;
    const { spec, sysctls } = fitToGuest(options.spec, {
      containerId: id,
      ...(joins ? { pidNamespacePath: `/proc/${process.pid}/fd/${this.#pidNamespace}` } : {}),
    });
    for (const [path, value] of sysctls) this.guest.setSysctl(path, value);
    return Container.create(this.runtime, { id, execId, spec, bundle });
  }

  /** A namespace goes with its first process: when that has ended, the next container that shares has a new one. */
  #keepPidNamespace({ init }: Container): void {
    if (this.#pidNamespace !== undefined) return;
    const namespace = openSync(`/proc/${init.pid}/ns/pid`, "r");
    this.#pidNamespace = namespace;
    void init.exited.then(() => {
      this.#pidNamespace = undefined;
      closeSync(namespace);
    });
  }

  #member(id: string): Member {
    checkId(id, "container");
    const member = this.#members.get(id);
    if (member === undefined) throw new AgentError("NOT_FOUND", `container ${id} not found`);
    return member;
  }

  async #exclusively(id: string, work: () => Promise<void>): Promise<void> {
    if (this.#busy.has(id)) {
      throw new AgentError("FAILED_PRECONDITION", `container ${id} is being created or removed`);
    }
    this.#busy.add(id);
    try {
      await work();
    } finally {
      this.#busy.delete(id);
    }
  }
}

/** Throws AgentError INVALID_ARGUMENT for what cannot be a name of a container or process. */
export function checkId(id: string, kind: "container" | "exec"): void {
  if (!ID_PATTERN.test(id))
    throw new AgentError("INVALID_ARGUMENT", `Invalid ${kind} id ${JSON.stringify(id)}`);
}

/**
 * Removes a container's directory: its files and, once nothing is mounted there any more, its empty mount points. Never
 * goes deeper: below a mount that would not go lie the container's own files.
 */
function removeBundle(bundle: string): void {
  for (const entry of readdirSync(bundle, { withFileTypes: true })) {
    const path = join(bundle, entry.name);
    if (entry.isDirectory()) removeIfEmpty(path);
    else unlinkSync(path);
  }
  removeIfEmpty(bundle);
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY", "EBUSY")) throw error;
    log("warn", "directory not removed", { directory, error });
  }
}

async function withinLimit(work: Promise<void>, limitMs: number, complaint: string): Promise<void> {
  if (limitMs === 0) return work;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AgentError("INTERNAL", complaint)), limitMs);
  });
  try {
    await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
