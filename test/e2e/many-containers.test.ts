import { after, before, describe, it } from "node:test";
import { Machine } from "./machine.js";
import { runMany } from "./many-containers.js";

describe("containers that come and go", () => {
  let machine: Machine;

  before(async () => {
    machine = await Machine.start("1.7");
  });
  after(() => machine?.stop());

  it("leave the host as it was, three at once", () => runMany(machine, 3, 3));
});
