import type { Monitor } from "../hotplug.js";
import { QmpError } from "../qmp.js";

type Arguments = Readonly<Record<string, unknown>>;

/** Answers as QEMU does for what is plugged into a VM. */
export class HotPlugMonitor implements Monitor {
  /** The commands that change something, in order. */
  readonly commands: (readonly [command: string, args: Arguments])[] = [];
  /** Sizes of the modules, and of objects without one, by id. */
  readonly memory = new Map<string, number>();
  readonly #modules: { id: unknown; addr: number; size: number }[] = [];
  #cpus: number;

  /** @param moduleSlots how many memory modules there is room for */
  constructor(
    cpus: number,
    private readonly maxCpus: number,
    private readonly moduleSlots = 32,
  ) {
    this.#cpus = cpus;
  }

  async execute(command: string, args: Arguments = {}): Promise<unknown> {
    switch (command) {
      case "query-hotpluggable-cpus":
        return Array.from({ length: this.maxCpus }, (_, socket) => ({
          type: "max-x86_64-cpu",
          props: { "socket-id": socket, "core-id": 0, "thread-id": 0 },
          ...(socket < this.#cpus && { "qom-path": `/machine/unattached/device[${socket}]` }),
        })).reverse();
      case "query-cpus-fast":
        return Array.from({ length: this.#cpus }, (_, index) => ({ "thread-id": 100 + index }));
      case "query-memory-devices":
        return this.#modules.map((data) => ({ type: "dimm", data }));
    }
    this.commands.push([command, args]);
    if (command === "object-add") this.memory.set(String(args["id"]), Number(args["size"]));
    if (command === "object-del") this.memory.delete(String(args["id"]));
    if (command === "device_add") this.#add(args);
    return {};
  }

  #add({ driver, id, memdev }: Arguments): void {
    if (driver !== "pc-dimm") {
      this.#cpus++;
      return;
    }
    if (this.#modules.length === this.moduleSlots) throw new QmpError("no slots available");
    const addr = 2 ** 32 + this.#modules.reduce((sum, { size }) => sum + size, 0);
    this.#modules.push({ id, addr, size: this.memory.get(String(memdev)) ?? 0 });
  }
}
