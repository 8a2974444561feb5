import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const proto = join(root, "proto");
const generated = join(proto, "gen");

/** Each becomes one module in proto/gen/. */
const SOURCES = ["containerd", "agent", "cgroups", "management", "cri", "containers"];

/** Messages are encoded and decoded, and nothing else: the shim loads this code at each start. */
const FLAGS = [
  ...["--target", "static-module", "--wrap", "esm", "--dependency", "protobufjs/minimal.js"],
  ...["--keep-case", "--force-number", "--null-semantics", "--dts"],
  ...["--no-create", "--no-verify", "--no-convert", "--no-delimited", "--no-typeurl", "--no-service"],
];

/**
 * Compiles the .proto files to static code with type declarations, unless they, and this file, are what they were the last
 * time.
 *
 * @returns {Promise<void>}
 */
export async function buildProto() {
  const digest = digestOf([
    fileURLToPath(import.meta.url),
    ...SOURCES.map((name) => join(proto, `${name}.proto`)),
  ]);
  const digestFile = join(generated, ".sources.sha256");
  if (read(digestFile) === digest) return;
  mkdirSync(generated, { recursive: true });
  for (const name of SOURCES) {
    const temporary = join(generated, `.${name}.${process.pid}`);
    await promisify(execFile)(process.execPath, [
      join(root, "node_modules/protobufjs-cli/bin/pbjs"),
      ...FLAGS,
      ...["--root", `kata-fs.${name}`],
      ...["--out", `${temporary}.js`, join(proto, `${name}.proto`)],
    ]);
    for (const ending of ["js", "d.ts"]) {
      renameSync(`${temporary}.${ending}`, join(generated, `${name}.${ending}`));
    }
  }
  writeFileSync(digestFile, digest);
}

/** @param {readonly string[]} files */
function digestOf(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex");
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // Generated for the first time.
  }
}
