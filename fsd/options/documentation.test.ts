import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FLAGS } from "./flags.js";

const page = readFileSync(new URL("../../docs/fsd.md", import.meta.url), "utf8");

test("docs/fsd.md lists every option, and none that there is not", () => {
  const section = page.slice(
    page.indexOf("\n## Options\n"),
    page.indexOf("\n## ", page.indexOf("\n## Options\n") + 1),
  );
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  const listed = rows.flatMap((row) => {
    const [, cell = ""] = row.split("|");
    return [...cell.matchAll(/`--?([\w-]+)/g)].map(([, name = ""]) => name);
  });
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
