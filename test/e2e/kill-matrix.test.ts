import { after, before, describe, it } from "node:test";
import { type Cell, KillMatrix } from "./kill-matrix.js";
import { Machine } from "./machine.js";

/** Some of all, each victim and each moment at least once; the rest is in kill-matrix.soak.ts. */
const CELLS: readonly Cell[] = [
  { victim: "kata-fsd", moment: "before boot" },
  { victim: "shim", moment: "in boot" },
  { victim: "containerd", moment: "in boot" },
  { victim: "agent", moment: "created" },
  { victim: "shim", moment: "running" },
  { victim: "kata-fsd", moment: "running" },
  { victim: "QEMU", moment: "exec" },
  { victim: "shim", moment: "stopping" },
  { victim: "containerd", moment: "deleted" },
];

describe("a sandbox of which a process is killed", () => {
  let machine: Machine;
  let matrix: KillMatrix;

  before(async () => {
    machine = await Machine.start("1.7");
    matrix = new KillMatrix(machine);
  });
  after(async () => {
    console.log(matrix?.table());
    await machine?.stop();
  });

  for (const cell of CELLS) {
    it(`leaves nothing: ${cell.victim}, ${cell.moment}`, () => matrix.run(cell));
  }
});
