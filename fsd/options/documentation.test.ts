import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { FLAGS } from "./flags.js";

const page = readFileSync(new URL("../../docs/fsd.md", import.meta.url), "utf8");

/** The first cells of the table below a heading. */
function firstCells(heading: string): readonly string[] {
  const [, below = ""] = page.split(`\n${heading}\n`);
  const [section = ""] = below.split(/^##/m);
  const rows = section.split("\n").filter((line) => line.startsWith("| "));
  return rows.slice(1).map((row) => row.split("|")[1] ?? "");
}

test("docs/fsd.md lists every operation", () => {
  const listed = firstCells("## Operations").flatMap((cell) => cell.trim().split(", "));
  assert.deepEqual(listed.toSorted(), Object.keys(Opcode).toSorted());
});

test("docs/fsd.md lists every option, and none that there is not", () => {
  const listed = firstCells("## Options").flatMap((cell) =>
    [...cell.matchAll(/`--?([\w-]+)/g)].map(([, name = ""]) => name),
  );
  const spelled = Object.entries(FLAGS).map(([name]) => name);
  const letters = Object.values(FLAGS).flatMap(({ letter }) => letter ?? []);
  assert.deepEqual(
    listed.filter((name) => !letters.includes(name)).toSorted(),
    spelled.filter((name) => !letters.includes(name)).toSorted(),
  );
  assert.deepEqual(
    letters.filter((letter) => !listed.includes(letter)),
    [],
  );
});
