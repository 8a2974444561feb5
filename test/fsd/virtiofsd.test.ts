import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { FLAGS } from "../../fsd/options/flags.js";
import { toolchain } from "../e2e/machine.js";

test("kata-fsd knows every option of Debian's newest virtiofsd", async () => {
  const virtiofsd = (await toolchain()).testing?.virtiofsd;
  assert.ok(virtiofsd, "set-up brought no virtiofsd");
  const [file = "", ...args] = virtiofsd.argv;
  const help = execFileSync(file, [...args, "--help"], { encoding: "utf8" });
  const names = [...help.matchAll(/^ +(?:-\w, )?--([\w-]+)/gm)].map(([, name = ""]) => name);
  assert.ok(names.length > 35, help);
  const known = Object.keys(FLAGS);
  assert.deepEqual(
    names.filter((name) => !known.includes(name)),
    [],
  );
});
