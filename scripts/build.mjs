#!/usr/bin/env node
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildProto } from "./build-proto.mjs";
import { ensureDependencies } from "./dependencies.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Folders whose TypeScript ends up in a bundle. */
const SOURCE_FOLDERS = [
  "lib",
  "proto",
  "configs",
  "shim",
  "fsd",
  "agent",
  "guest",
  "setup",
  "cli",
  "scripts",
];

const SOURCE_FILE = /\.(ts|mjs|cjs|js|sh|proto)$/;

/** Bundle in dist/ -> entry point. */
const BUNDLES = {
  "shim.cjs": "shim/main.ts",
  "shim-late.cjs": "shim/late.ts",
  "fsd.cjs": "fsd/main.ts",
  "agent.cjs": "agent/start.ts",
  "agent-main.cjs": "agent/main.ts",
  "kata-fs.cjs": "cli/main.ts",
  "setup.cjs": "setup/main.ts",
  "toml.cjs": "configs/toml.ts",
};

/** Command in dist/bin/ -> its file in the repository. */
const COMMANDS = {
  "containerd-shim-kata-fs-v2": "shim/launcher.sh",
  "kata-fsd": "fsd/launcher.sh",
  "kata-fs": "cli/launcher.sh",
};

/**
 * Brings dist/ up to date: npm dependencies, generated protocol code, bundles, commands. Takes tens of milliseconds when
 * nothing changed, since a digest of every source is kept with the result.
 *
 * @returns {Promise<void>}
 */
export async function build() {
  await completeSources();
  const dist = join(root, "dist");
  const digestFile = join(dist, ".sources.sha256");
  const digest = digestOfSources();
  if (isUpToDate(dist, digestFile, digest)) return;

  const started = performance.now();
  rmSync(digestFile, { force: true });
  mkdirSync(join(dist, "bin"), { recursive: true });
  await makeBundles(dist);
  for (const [name, source] of Object.entries(COMMANDS)) {
    publish(join(dist, "bin", name), readFileSync(join(root, source)), 0o755);
  }
  publish(digestFile, digest);
  console.log(
    `built ${relative(process.cwd(), dist) || dist} in ${Math.round(performance.now() - started)} ms`,
  );
}

/**
 * Where {@link build} puts a bundle.
 *
 * @param {keyof typeof BUNDLES} name
 */
export function bundle(name) {
  return join(root, "dist", name);
}

/**
 * Brings everything that the sources import: npm dependencies and generated protocol code. Enough to run TypeScript from
 * the sources.
 */
export async function completeSources() {
  ensureDependencies(root);
  await buildProto();
}

/** Modules that the others import dynamically, as bundles of their own: read and compiled when they are needed. */
const LATE_BUNDLES = { "late.js": "./shim-late.cjs", "toml.js": "./toml.cjs" };

/** @type {import("esbuild").Plugin} */
const lateBundles = {
  name: "late-bundles",
  setup({ onResolve }) {
    for (const [module, bundle] of Object.entries(LATE_BUNDLES)) {
      onResolve({ filter: new RegExp(`/${module.replace(".", "\\.")}$`) }, ({ kind }) =>
        kind === "dynamic-import" ? { path: bundle, external: true } : undefined,
      );
    }
  },
};

/**
 * Makes the bundles. One that fails does not keep the others from being renewed: whoever works on one part can build it
 * while another one is half-written.
 *
 * @param {string} dist
 */
async function makeBundles(dist) {
  const { build: esbuild } = await import("esbuild");
  const results = await Promise.allSettled(
    Object.entries(BUNDLES).map(async ([out, entry]) => {
      const { outputFiles } = await esbuild({
        absWorkingDir: root,
        entryPoints: [entry],
        outfile: join(dist, out),
        bundle: true,
        platform: "node",
        target: "node20",
        format: "cjs",
        sourcemap: "linked",
        sourcesContent: false,
        external: ["koffi"],
        plugins: [lateBundles],
        supported: { "dynamic-import": false },
        write: false,
        logLevel: "warning",
        // A CommonJS bundle has no import.meta; the sources use it only to find files beside themselves.
        define: { "import.meta.url": "__bundleUrl" },
        banner: { js: `const __bundleUrl = require("node:url").pathToFileURL(__filename).href;` },
      });
      for (const { path, contents } of outputFiles) publish(path, contents);
    }),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/**
 * @param {string} dist
 * @param {string} digestFile
 * @param {string} digest
 */
function isUpToDate(dist, digestFile, digest) {
  return (
    existsSync(digestFile) &&
    readFileSync(digestFile, "utf8") === digest &&
    Object.keys(BUNDLES).every((name) => existsSync(join(dist, name))) &&
    Object.keys(COMMANDS).every((name) => existsSync(join(dist, "bin", name)))
  );
}

/** One digest over the names and contents of everything that the result depends on. */
function digestOfSources() {
  const hash = createHash("sha256");
  const files = SOURCE_FOLDERS.flatMap((folder) => sourcesBelow(join(root, folder)));
  for (const file of [...files.sort(), join(root, "package-lock.json")]) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  }
  return hash.digest("hex");
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function sourcesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => SOURCE_FILE.test(name) && !name.endsWith(".test.ts"))
    .map((name) => join(folder, name));
}

/**
 * Replaces a file in one step: a program that reads it at this moment sees the old or the new one, never a part.
 *
 * @param {string} file
 * @param {string | Uint8Array} contents
 * @param {number} [mode]
 */
function publish(file, contents, mode = 0o644) {
  const temporary = `${file}.${randomBytes(4).toString("hex")}`;
  writeFileSync(temporary, contents, { mode });
  chmodSync(temporary, mode);
  renameSync(temporary, file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build();
}
