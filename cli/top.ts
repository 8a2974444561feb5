import { setTimeout as delay } from "node:timers/promises";
import { type Command, UsageError } from "./command.js";
import { guestMemoryBytes } from "./metrics/guest-memory.js";
import { familyFigures, type ProcessFigures, processFigures } from "./metrics/process.js";
import { readOptions } from "./options.js";
import { fullName, inspectSandboxes } from "./sandboxes/inspect.js";
import { formatMebibytes, formatTable } from "./table.js";

const USAGE = `\
  kata-fs top [--once] [--interval SECONDS] [--json]

  What the processes of each sandbox use on the host: processor time, in percent of one processor, and memory (PSS: what is shared counts
  in parts); last what the guest itself has in use of its memory. At a terminal it goes on until it is ended; otherwise, and with --once or --json, it says it once.
`;

const CLEAR_SCREEN = "\u001b[H\u001b[J";
const INTERVAL_MAX_SECONDS = 3600;

const COLUMNS = [
  { title: "SANDBOX" },
  ...["SHIM CPU", "QEMU CPU", "FSD CPU", "SHIM MEM", "QEMU MEM", "FSD MEM", "IN GUEST"].map((title) => ({
    title,
    isNumber: true,
  })),
];

interface Usage {
  readonly sandbox: string;
  readonly cpuPercent: readonly (number | undefined)[];
  readonly memoryBytes: readonly (number | undefined)[];
  /** What the guest says; undefined when it does not answer. */
  readonly guestMemoryBytes: number | undefined;
}

export const topCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      once: { type: "boolean", default: false },
      interval: { type: "string", default: "2" },
      json: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const seconds = Number(values.interval);
    if (!(seconds > 0 && seconds <= INTERVAL_MAX_SECONDS)) {
      throw new UsageError(`--interval ${values.interval}; needed: seconds, at most ${INTERVAL_MAX_SECONDS}`);
    }
    const goesOn = process.stdout.isTTY && !values.once && !values.json;
    let before = await sample();
    do {
      await delay(seconds * 1000);
      const now = await sample();
      const usage = usageBetween(before, now, await guests());
      if (values.json) output.out(`${JSON.stringify(usage, undefined, 2)}\n`);
      else output.out(`${goesOn ? CLEAR_SCREEN : ""}${formatTable(COLUMNS, usage.map(rowOf))}`);
      before = now;
    } while (goesOn);
    return 0;
  },
};

interface Sample {
  readonly atMs: number;
  /** Shim, QEMU and kata-fsd of each sandbox. */
  readonly sandboxes: ReadonlyMap<string, readonly (ProcessFigures | undefined)[]>;
}

async function sample(): Promise<Sample> {
  const sandboxes = new Map<string, readonly (ProcessFigures | undefined)[]>();
  for (const { name, record, shimPid, description } of await inspectSandboxes()) {
    const vm = description?.vm;
    sandboxes.set(record === undefined ? name : fullName(record), [
      shimPid === undefined ? undefined : processFigures(shimPid),
      vm == null ? undefined : processFigures(vm.qemu_pid),
      vm == null ? undefined : familyFigures(vm.daemon_pid),
    ]);
  }
  return { atMs: performance.now(), sandboxes };
}

/** By sandbox, what its guest has in use. */
async function guests(): Promise<ReadonlyMap<string, number | undefined>> {
  const running = (await inspectSandboxes()).filter(({ condition }) => condition === "running");
  const entries = running.map(async ({ record }) =>
    record === undefined ? [] : [[fullName(record), await guestMemoryBytes(record)] as const],
  );
  return new Map((await Promise.all(entries)).flat());
}

/** What the sandboxes of the later sample have used since the earlier. */
export function usageBetween(
  before: Sample,
  now: Sample,
  guestMemory: ReadonlyMap<string, number | undefined>,
): Usage[] {
  const seconds = (now.atMs - before.atMs) / 1000;
  return [...now.sandboxes].map(([sandbox, figures]) => {
    const earlier = before.sandboxes.get(sandbox) ?? [];
    return {
      sandbox,
      cpuPercent: figures.map((figure, index) => {
        const since = earlier[index];
        if (figure === undefined || since === undefined) return undefined;
        return Math.max(0, (100 * (cpuSeconds(figure) - cpuSeconds(since))) / seconds);
      }),
      memoryBytes: figures.map((figure) => figure?.proportionalBytes),
      guestMemoryBytes: guestMemory.get(sandbox),
    };
  });
}

function cpuSeconds({ userSeconds, systemSeconds }: ProcessFigures): number {
  return userSeconds + systemSeconds;
}

function rowOf({ sandbox, cpuPercent, memoryBytes, guestMemoryBytes: inGuest }: Usage): string[] {
  return [
    sandbox,
    ...cpuPercent.map((percent) => (percent === undefined ? "-" : `${percent.toFixed(1)}%`)),
    ...[...memoryBytes, inGuest].map((bytes) => (bytes === undefined ? "-" : formatMebibytes(bytes))),
  ];
}
