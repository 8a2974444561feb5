import type { DiskMonitor } from "../disk.js";
import { QmpError, type QmpEvent } from "../qmp.js";

type Arguments = Readonly<Record<string, unknown>>;

/** Keeps what a QEMU would have of disks. */
export class RecordingDiskMonitor implements DiskMonitor {
  readonly descriptorSets = new Set<unknown>();
  readonly nodes = new Map<unknown, Arguments>();
  readonly devices = new Map<unknown, Arguments>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();

  /** @param refused a command that fails */
  constructor(public refused = "") {}

  async executeWith(_fd: number, command: string, args: Arguments = {}): Promise<unknown> {
    return await this.execute(command, args);
  }

  async execute(command: string, args: Arguments = {}): Promise<unknown> {
    if (command === this.refused) throw new QmpError(`QMP ${command}: no`);
    if (command === "add-fd") this.descriptorSets.add(args["fdset-id"]);
    if (command === "remove-fd") this.descriptorSets.delete(args["fdset-id"]);
    if (command === "blockdev-add") this.nodes.set(args["node-name"], args);
    if (command === "blockdev-del") this.nodes.delete(args["node-name"]);
    if (command === "device_add") this.devices.set(args["id"], args);
    if (command === "device_del") {
      this.devices.delete(args["id"]);
      const event = { name: "DEVICE_DELETED", data: { device: args["id"] } };
      for (const listener of this.#listeners) listener(event);
    }
    return {};
  }

  listen(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How much of disks there is, and of who waits for them. */
  get count(): number {
    return this.descriptorSets.size + this.nodes.size + this.devices.size + this.#listeners.size;
  }
}
