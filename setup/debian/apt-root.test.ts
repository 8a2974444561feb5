import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SetupError } from "../setup-error.js";
import { AptRoot, parseUris } from "./apt-root.js";

test("package files are read from what apt-get --print-uris says", () => {
  const text = `\
Reading package lists...
'http://mirror.example/debian/pool/main/c/crun/crun_1.21-1_amd64.deb' crun_1.21-1_amd64.deb 425000 SHA256:ab
'http://mirror.example/debian/pool/main/g/glibc/libc6_2.41-12_amd64.deb' libc6_2.41-12_amd64.deb 2850000 
`;
  assert.deepEqual(parseUris(text), [
    { fileName: "crun_1.21-1_amd64.deb", sizeBytes: 425000 },
    { fileName: "libc6_2.41-12_amd64.deb", sizeBytes: 2850000 },
  ]);
});

test("a mirror that cannot be reached is an error that names it", async (context) => {
  const directory = await mkdtemp(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rm(directory, { recursive: true }));
  const step = { update() {}, done() {} };
  await assert.rejects(
    // Port 9 is discard: nobody listens there.
    AptRoot.open(directory, "http://127.0.0.1:9/debian/", ["trixie"], step),
    (error) => {
      assert(error instanceof SetupError);
      assert.match(
        error.message,
        /from the mirror http:\/\/127\.0\.0\.1:9\/debian\/: .*; needed: Debian trixie/,
      );
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );
});
