import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { kataFsDirectory } from "./directory.js";

test("the directory is /opt/kata-fs unless it is named, and always absolute", () => {
  assert.equal(kataFsDirectory({}), "/opt/kata-fs");
  assert.equal(kataFsDirectory({ KATA_FS_DIR: "" }), "/opt/kata-fs");
  assert.equal(kataFsDirectory({ KATA_FS_DIR: "there" }), resolve("there"));
});
