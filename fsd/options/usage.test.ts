import assert from "node:assert/strict";
import { test } from "node:test";
import { FLAGS, type Flag } from "./flags.js";
import { usage } from "./usage.js";

/** What `virtiofsd --help` of version 1.14.0 lists. */
const VIRTIOFSD = [
  ...[
    "shared-dir",
    "tag",
    "socket",
    "socket-path",
    "socket-group",
    "fd",
    "thread-pool-size",
    "xattr",
    "posix-acl",
  ],
  ...["xattrmap", "sandbox", "readonly", "seccomp", "announce-submounts", "no-announce-submounts"],
  ...["inode-file-handles", "cache", "allow-mmap", "no-readdirplus", "writeback", "allow-direct-io"],
  ...["print-capabilities", "modcaps", "log-level", "syslog", "rlimit-nofile", "o", "d", "no-killpriv-v2"],
  ...["killpriv-v2", "f", "security-label", "uid-map", "gid-map", "translate-uid", "translate-gid"],
  ...["preserve-noatime", "migration-mode", "migration-on-error", "migration-verify-handles"],
  ...["migration-confirm-paths", "help", "version"],
];

test("every option of virtiofsd is known, if only to be refused with a reason", () => {
  const known = new Map<string, Flag>(Object.entries(FLAGS));
  for (const name of VIRTIOFSD) assert.ok(known.has(name), name);
});

test("the usage text explains every option, in lines that fit a terminal of 100 columns", () => {
  const text = usage();
  for (const [name, flag] of Object.entries<Flag>(FLAGS)) {
    assert.match(text, new RegExp(`^ .*${name.length > 1 ? "--" : "-"}${name}[ \\[,\\n]`, "m"), name);
    assert.ok((flag.refused ?? flag.help) !== "", name);
  }
  for (const line of text.split("\n")) assert.ok([...line].length <= 104, line);
});
