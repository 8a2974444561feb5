import {
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { S_IFREG } from "../../../../lib/sys/file.js";
import { mknod } from "../calls.js";
import { type Check, fails, type Group } from "../check.js";
import { ALICE, as } from "../users.js";

/** `dir` with one object of each kind that matters. */
function furnish(dir: string): void {
  writeFileSync(`${dir}/file`, "content");
  mkdirSync(`${dir}/empty`);
  mkdirSync(`${dir}/full`);
  writeFileSync(`${dir}/full/file`, "");
  symlinkSync("missing", `${dir}/dangling`);
}

const open = (path: string, flags: number) => closeSync(openSync(path, flags, 0o600));
const { O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_WRONLY, O_RDWR } = constants;

/** What is attempted in a furnished directory, and the errno it ends with. */
const TABLE: readonly (readonly [what: string, code: string, attempt: (dir: string) => unknown])[] = [
  ["mkdir over a file", "EEXIST", (dir) => mkdirSync(`${dir}/file`)],
  ["mkdir over a link to nothing", "EEXIST", (dir) => mkdirSync(`${dir}/dangling`)],
  ["symlink over a directory", "EEXIST", (dir) => symlinkSync("x", `${dir}/empty`)],
  ["mknod over a file", "EEXIST", (dir) => mknod(`${dir}/file`, S_IFREG | 0o600)],
  ["link over a file", "EEXIST", (dir) => linkSync(`${dir}/full/file`, `${dir}/file`)],
  ["exclusive open of a link to nothing", "EEXIST", (dir) => open(`${dir}/dangling`, O_CREAT | O_EXCL)],
  ["rmdir of a full directory", "ENOTEMPTY", (dir) => rmdirSync(`${dir}/full`)],
  ["rmdir of a file", "ENOTDIR", (dir) => rmdirSync(`${dir}/file`)],
  ["rmdir of a link", "ENOTDIR", (dir) => rmdirSync(`${dir}/dangling`)],
  ["readdir of a file", "ENOTDIR", (dir) => readdirSync(`${dir}/file`)],
  ["open of a file as directory", "ENOTDIR", (dir) => open(`${dir}/file`, O_DIRECTORY)],
  ["unlink of a directory", "EISDIR", (dir) => unlinkSync(`${dir}/empty`)],
  ["write to a directory", "EISDIR", (dir) => open(`${dir}/empty`, O_WRONLY)],
  ["create where a directory is", "EISDIR", (dir) => open(`${dir}/empty`, O_RDWR | O_CREAT)],
  ["truncate of a directory", "EISDIR", (dir) => truncateSync(`${dir}/empty`)],
  ["a link to more than a path", "ENAMETOOLONG", (dir) => symlinkSync("x".repeat(4096), `${dir}/new`)],
  ["readlink of a file", "EINVAL", (dir) => readlinkSync(`${dir}/file`)],
  ["open of a link that is not followed", "ELOOP", (dir) => open(`${dir}/dangling`, O_NOFOLLOW)],
  ["open of what is missing", "ENOENT", (dir) => open(`${dir}/missing`, O_RDWR)],
  ["open through a link to nothing", "ENOENT", (dir) => open(`${dir}/dangling`, O_RDWR)],
  ["link to what is missing", "ENOENT", (dir) => linkSync(`${dir}/missing`, `${dir}/new`)],
  ["a node that is a directory", "EPERM", (dir) => mknod(`${dir}/new`, 0o040000 | 0o700)],
  ["a node of no kind", "EINVAL", (dir) => mknod(`${dir}/new`, 0o170000 | 0o700)],
  ["a device made by a user", "EPERM", (dir) => as(ALICE, () => mknod(`${dir}/new`, 0o020600, 0x103))],
  [
    "a file in a directory closed to the user",
    "EACCES",
    (dir) => as(ALICE, () => open(`${dir}/empty/x`, O_CREAT)),
  ],
  [
    "unlink in a directory closed to the user",
    "EACCES",
    (dir) => as(ALICE, () => unlinkSync(`${dir}/full/file`)),
  ],
  ["open of the empty path", "ENOENT", () => open("", O_RDWR)],
];

export const errors: Group = {
  name: "errors",
  checks: Object.fromEntries(
    TABLE.map(([what, code, attempt]): [string, Check] => [
      `${what}: ${code}`,
      (dir) => {
        furnish(dir);
        fails(code, () => attempt(dir));
      },
    ]),
  ),
};
