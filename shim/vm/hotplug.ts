import { type QmpClient, QmpError } from "./qmp.js";

/** What is needed of a monitor. */
export type Monitor = Pick<QmpClient, "execute">;

/** A processor that a VM may have: an entry of query-hotpluggable-cpus. */
interface CpuSlot {
  readonly driver: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** Where memory that was plugged in lies, in the guest's addresses. */
export interface PluggedMemory {
  readonly address: number;
  readonly sizeBytes: number;
}

/** @returns the host's threads that run the guest's processors @throws QmpError */
export async function vcpuThreads(qmp: Monitor): Promise<number[]> {
  return records(await qmp.execute("query-cpus-fast")).map((cpu) => Number(cpu["thread-id"]));
}

/**
 * Plugs processors in. The guest has to bring them online.
 *
 * @throws QmpError when the VM cannot have as many, or QEMU refuses one
 */
export async function plugCpus(qmp: Monitor, count: number): Promise<void> {
  const slots = records(await qmp.execute("query-hotpluggable-cpus"));
  // Those that are there have a path. QEMU lists the last one first.
  const free = slots
    .filter((slot) => slot["qom-path"] === undefined)
    .map(({ type, props }): CpuSlot => ({ driver: String(type), properties: isRecord(props) ? props : {} }))
    .reverse();
  if (free.length < count) throw new QmpError(`${count} processors to plug, and places for ${free.length}`);
  const first = slots.length - free.length;
  for (const [index, { driver, properties }] of free.slice(0, count).entries()) {
    await qmp.execute("device_add", { driver, id: `cpu-${first + index}`, ...properties });
  }
}

/**
 * Plugs a memory module in, shared with the back ends as all of the guest's memory. The guest has to bring it online.
 *
 * @param sizeMiB a multiple of the blocks that the guest can bring online
 * @throws QmpError when the VM has no place left for a module, or for so much
 */
export async function plugMemory(qmp: Monitor, sizeMiB: number): Promise<PluggedMemory> {
  const slot = (await memoryModules(qmp)).length;
  const memory = `mem${slot}`;
  const module = `dimm${slot}`;
  const sizeBytes = sizeMiB * 2 ** 20;
  await qmp.execute("object-add", {
    ...{ "qom-type": "memory-backend-memfd", id: memory },
    ...{ size: sizeBytes, share: true },
  });
  try {
    await qmp.execute("device_add", { driver: "pc-dimm", id: module, memdev: memory });
  } catch (error) {
    await qmp.execute("object-del", { id: memory });
    throw error;
  }
  const plugged = (await memoryModules(qmp)).find(({ id }) => id === module);
  if (plugged === undefined) throw new QmpError(`${module} was plugged and is not there`);
  return { address: Number(plugged["addr"]), sizeBytes };
}

async function memoryModules(qmp: Monitor): Promise<Record<string, unknown>[]> {
  return records(await qmp.execute("query-memory-devices")).flatMap(({ data }) =>
    isRecord(data) ? [data] : [],
  );
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
