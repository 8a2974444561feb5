/** What the shim writes about a sandbox at its end (configuration key runtime.reportDirectory), as far as it is shown here. */
export interface SandboxReport {
  readonly accelerator: string;
  readonly qemu: string;
  /** Duration by phase in milliseconds, in the order of {@link PHASES}. */
  readonly phasesMs: Readonly<Record<Phase, number>>;
  /** Counters of kata-fsd's device for the containers' layers and root file systems. */
  readonly share: ShareCounters;
}

export const PHASES = ["shimStart", "daemon", "qemu", "kernelToAgent", "containerStart", "total"] as const;
export type Phase = (typeof PHASES)[number];

export interface ShareCounters {
  /** Bytes that the daemon read for the guest, which is what does not go through DAX. */
  readonly readBytes: number;
  readonly mappedRanges: number;
  readonly mappedBytes: number;
}

/** virtio-fs tag of the share in which the container's layers lie. */
const SHARE_TAG = "kataOwn";

/**
 * Checks and narrows a parsed report.
 *
 * @throws Error naming the first field that is missing or has another type.
 */
export function parseSandboxReport(value: unknown): SandboxReport {
  const report = new Fields(value, "report");
  const phases = report.object("phasesMs");
  const devices = report.object("daemon").list("devices");
  const share = devices.find((device) => device.text("tag") === SHARE_TAG);
  if (share === undefined) throw new Error(`the report has no device with the tag ${SHARE_TAG}`);
  const dax = share.object("dax");
  return {
    accelerator: report.text("accelerator"),
    qemu: report.text("qemu"),
    phasesMs: {
      shimStart: phases.number("shimStart"),
      daemon: phases.number("daemon"),
      qemu: phases.number("qemu"),
      kernelToAgent: phases.number("kernelToAgent"),
      containerStart: phases.number("containerStart"),
      total: phases.number("total"),
    },
    share: {
      readBytes: share.number("readBytes"),
      mappedRanges: dax.number("mappedRanges"),
      mappedBytes: dax.number("mappedBytes"),
    },
  };
}

/** Typed access to a parsed JSON object; errors name the path of the field. */
class Fields {
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(
    value: unknown,
    private readonly path: string,
  ) {
    if (typeof value !== "object" || value === null) throw new Error(`${path} is not an object`);
    this.#fields = new Map(Object.entries(value));
  }

  number(name: string): number {
    const value = this.#fields.get(name);
    if (typeof value !== "number" || !Number.isFinite(value))
      throw new Error(`${this.path}.${name} is not a number`);
    return value;
  }

  text(name: string): string {
    const value = this.#fields.get(name);
    if (typeof value !== "string") throw new Error(`${this.path}.${name} is not a string`);
    return value;
  }

  object(name: string): Fields {
    return new Fields(this.#fields.get(name), `${this.path}.${name}`);
  }

  list(name: string): Fields[] {
    const value = this.#fields.get(name);
    if (!Array.isArray(value)) throw new Error(`${this.path}.${name} is not a list`);
    return value.map((entry, index) => new Fields(entry, `${this.path}.${name}[${index}]`));
  }
}
