import assert from "node:assert/strict";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { containerdSeries, Machine, type Outcome, RUNTIME } from "./machine.js";
import { SCENARIOS, type Scenario } from "./scenarios.js";

const RUNC = "io.containerd.runc.v2";

/** The containers of one virtual machine: as many scenarios as containerds take no boot more than these. */
const POD = "pod";
const SCENARIO_LIMIT_MS = 60_000;
const TYPE = "io.kubernetes.cri.container-type";

for (const series of await containerdSeries()) {
  describe(`as under runc, containerd ${series}`, () => {
    let machine: Machine;
    /** What ctr run says of its flags. */
    let flags: string;

    before(async () => {
      machine = await Machine.start(series);
      flags = (await machine.ctr(["run", "--help"])).stdout.toString();
      await machine.runDetached(POD, ["/bin/busybox", "sleep", "100000"], {
        flags: ["--annotation", `${TYPE}=sandbox`],
      });
    });
    after(async () => {
      await machine?.remove(POD);
      await machine?.stop();
    });

    const inPod = () => [
      ...["--annotation", `${TYPE}=container`],
      ...["--annotation", `io.kubernetes.cri.sandbox-id=${machine.name(POD)}`],
    ];

    async function play(scenario: Scenario, index: number, runtime: string): Promise<Outcome> {
      const directory = join(machine.disk, `scenario-${index}`);
      await mkdir(directory);
      try {
        const flags = [...(scenario.flags?.(directory) ?? []), ...(runtime === RUNTIME ? inPod() : [])];
        const input = scenario.input?.() ?? Buffer.alloc(0);
        return await machine.run(`${index}-${runtime === RUNTIME ? "kata" : "runc"}`, scenario.command, {
          ...{ runtime, flags, input },
          ...(scenario.edit && { edit: scenario.edit }),
        });
      } finally {
        await rm(directory, { recursive: true });
      }
    }

    for (const [index, scenario] of SCENARIOS.entries()) {
      it(scenario.name, { timeout: SCENARIO_LIMIT_MS }, async (t) => {
        if (scenario.newFlag !== undefined && !flags.includes(scenario.newFlag)) {
          t.skip(`ctr ${series} has no ${scenario.newFlag}`);
          return;
        }
        const expected = await play(scenario, index, RUNC);
        assert.doesNotMatch(expected.stderr, /flag provided but not defined/);
        const found = await play(scenario, index, RUNTIME);
        const { normalise = (output) => output } = scenario;
        assert.equal(normalise(found.stdout.toString()), normalise(expected.stdout.toString()), found.stderr);
        assert.equal(found.status, expected.status, found.stderr);
        if (scenario.error === undefined) {
          assert.equal(found.stderr, expected.stderr);
        } else {
          assert.match(expected.stderr, scenario.error, "runc");
          assert.match(found.stderr, scenario.error);
        }
      });
    }
  });
}
