import { after, before, describe, it } from "node:test";
import { CELLS, KillMatrix, MOMENTS, VICTIMS } from "./kill-matrix.js";
import { Machine } from "./machine.js";

/** Another series of containerd, or some rows and columns only: KATA_FS_CONTAINERD=2.1, KATA_FS_CELLS="shim,QEMU created,running". */
const { KATA_FS_CONTAINERD: series = "1.7", KATA_FS_CELLS: chosen = "" } = process.env;
const isChosen = (name: string, all: readonly string[]) => {
  const wanted = all.filter((each) => chosen.includes(each));
  return wanted.length === 0 || wanted.includes(name);
};

describe(`whoever is killed, whenever, under containerd ${series}`, () => {
  let machine: Machine;
  let matrix: KillMatrix;

  before(async () => {
    machine = await Machine.start(series);
    matrix = new KillMatrix(machine);
  });
  after(async () => {
    console.log(matrix?.table());
    await machine?.stop();
  });

  for (const cell of CELLS) {
    if (!isChosen(cell.victim, VICTIMS) || !isChosen(cell.moment, MOMENTS)) continue;
    it(`${cell.victim}, ${cell.moment}`, () => matrix.run(cell));
  }
});
