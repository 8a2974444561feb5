import { after, before, describe, it } from "node:test";
import { Machine } from "./machine.js";
import { runMany } from "./many-containers.js";

/** Fewer, where that is too long: KATA_FS_CONTAINERS=40. */
const count = Number(process.env["KATA_FS_CONTAINERS"] ?? 200);

describe("containers that come and go", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
  });
  after(() => machine?.stop());

  it(`leave the host as it was: ${count} one after the other`, () => runMany(machine, count, 1));
  it("leave the host as it was: eight at once", () => runMany(machine, 16, 8));
});
