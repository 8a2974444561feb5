import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError } from "./config-error.js";
import { findConfigurationFile, loadConfiguration } from "./load.js";

test("the runtime option goes before the environment, that before the files", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const present = join(folder, "present.yaml");
  writeFileSync(present, "");
  const defaults = [join(folder, "absent.yaml"), present];
  const env = { KATA_FS_CONFIG: "/from/environment.yaml" };
  assert.equal(findConfigurationFile("/from/option.yaml", env, defaults), "/from/option.yaml");
  assert.equal(findConfigurationFile("", env, defaults), "/from/environment.yaml");
  assert.equal(findConfigurationFile(undefined, {}, defaults), present);
  assert.throws(
    () => findConfigurationFile(undefined, {}, ["/absent/config.yaml"]),
    /no configuration at \/absent/,
  );
});

test("a file that cannot be read is named", () => {
  assert.throws(
    () => loadConfiguration("/absent/config.yaml"),
    (error) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, /^\/absent\/config\.yaml: ENOENT/);
      return true;
    },
  );
});
