import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { toolchain } from "../e2e/machine.js";
import { FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";
import { bundleSuite, kataFsd, RUN_SUITE, TOOLS_OPTIONS } from "./run-suite.js";
import { parse } from "./suite/report.js";
import { GUESTS, HELD, TWO_GUESTS_DIRECTORIES } from "./suite/two-guests.js";

const TIME_LIMIT_MS = 150_000;
/** The other guest ends while it holds locks that the first one waits for. */
const LAST_HELD = `/mnt/${TWO_GUESTS_DIRECTORIES.at(-1)}/${HELD}`;
const UNTIL = {
  "--one-guest": "",
  "--other-guest": `& until [ -e ${LAST_HELD} ]; do sleep 0.1; done`,
} as const;

test("two guests share locks and files", async (t) => {
  const { qemu, kernel, guestRoot } = await toolchain();
  const base = await mkdtemp(join(tmpdir(), "kata-fs-posix-"));
  t.after(() => rm(base, { recursive: true, force: true }));
  const shared = join(base, "shared");
  for (const name of TWO_GUESTS_DIRECTORIES) await mkdir(join(shared, name), { recursive: true });
  const suite = await bundleSuite(base);

  const devicesOf = (guest: string) => [
    ...["--socket-path", join(base, `${guest}-data.sock`), "--shared-dir", shared, "--cache", "never"],
    ...["--device", "--socket-path", join(base, `${guest}-tools.sock`), "--shared-dir", guestRoot],
    ...TOOLS_OPTIONS,
  ];
  const [one, other] = GUESTS;
  const command = [kataFsd, ...devicesOf(one), "--device", ...devicesOf(other)];
  const daemon = await FileSystemDaemon.start(command);
  t.after(() => daemon.kill());

  const run = (guest: keyof typeof UNTIL) =>
    runGuest({
      qemu,
      kernel,
      tools: guestRoot,
      files: { "/suite.cjs": suite },
      devices: ["data", "tools"].flatMap((tag) => plainDevice(join(base, `${guest}-${tag}.sock`), tag)),
      timeLimitMs: TIME_LIMIT_MS,
      script: `
mkdir -p /tools
mount -t virtiofs -o ro tools /tools || exit 9
mount -t virtiofs data /mnt || exit 9
${RUN_SUITE} ${guest} /mnt ${UNTIL[guest]}
`,
    });
  const outcomes = await Promise.all([run(one), run(other)]);
  for (const [index, { output, console }] of outcomes.entries()) {
    const results = parse(output).map(({ result, reason }) => `${result} ${reason}`);
    const expected = TWO_GUESTS_DIRECTORIES.slice(index).map(() => "ok ");
    assert.deepEqual(results, expected, `${output}${console}`);
  }
});
