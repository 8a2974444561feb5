import assert from "node:assert/strict";
import { test } from "node:test";
import { wordedAsRunc } from "./runtime-reason.js";

const CASES = [
  [
    "executable file `/bin/no-such` not found: No such file or directory",
    'exec: "/bin/no-such": stat /bin/no-such: no such file or directory',
  ],
  [
    "executable file `no-such` not found in $PATH: No such file or directory",
    'exec: "no-such": executable file not found in $PATH',
  ],
  [
    "the path `/etc/passwd` exists but it is not executable: Operation not permitted",
    'exec: "/etc/passwd": permission denied',
  ],
  [
    "the path `/data` is not a regular file: Operation not permitted",
    'exec: "/data": is a directory: permission denied',
  ],
  [
    "chdir to `/etc/passwd`: Not a directory",
    'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory',
  ],
  ["open `/proc`: Permission denied", "open `/proc`: Permission denied"],
] as const;

for (const [crun, runc] of CASES) {
  test(crun, () => assert.equal(wordedAsRunc(crun), runc));
}
