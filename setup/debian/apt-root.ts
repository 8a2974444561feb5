import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, capture, run } from "../command.js";
import type { Step } from "../progress.js";
import { formatBytes } from "../progress.js";
import { SetupError } from "../setup-error.js";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A package file as apt resolved it. */
export interface PackageFile {
  /** Name of the file in apt's cache, such as "crun_1.21-1_amd64.deb". */
  readonly fileName: string;
  readonly sizeBytes: number;
}

export interface Selection {
  /** Package names. */
  readonly packages: readonly string[];
  /** Suite that is preferred, such as "trixie-backports"; apt's usual choice otherwise. */
  readonly targetSuite?: string;
  /** True to take all dependencies as well (not what packages only recommend), false for the named packages alone. */
  readonly withDependencies: boolean;
}

/**
 * A root of apt of its own: own sources, lists and cache, and an empty status, so that resolving a package yields every
 * package it needs whatever is installed. Nothing gets installed, and the machine's own apt state is not touched.
 * The machine's settings (proxy, credentials) apply. Package lists are accepted only with a valid signature of a key in
 * the Debian archive keyring.
 */
export class AptRoot {
  readonly #configFile: string;
  readonly #archives: string;

  private constructor(
    directory: string,
    private readonly mirror: string,
    private readonly suites: readonly string[],
  ) {
    this.#configFile = join(directory, "apt.conf");
    this.#archives = join(directory, "cache/archives");
  }

  /**
   * Makes the root in `directory` and fetches the lists of `suites`.
   *
   * @throws SetupError when the mirror cannot be reached, lacks a suite, or its signature does not verify.
   */
  static async open(
    directory: string,
    mirror: string,
    suites: readonly string[],
    step: Step,
  ): Promise<AptRoot> {
    const root = new AptRoot(directory, mirror, suites);
    await mkdir(join(directory, "lists/partial"), { recursive: true });
    await mkdir(join(root.#archives, "partial"), { recursive: true });
    await mkdir(join(directory, "empty"), { recursive: true });
    await writeFile(join(directory, "status"), "");
    await writeFile(join(directory, "sources.list"), sourcesList(mirror, suites));
    await writeFile(root.#configFile, configuration(directory));
    step.update(`package lists of ${suites.join(", ")}`);
    await root.#aptGet(["update"], step, "package lists");
    return root;
  }

  /** Which files apt would fetch for `selection`. */
  async resolve(selection: Selection): Promise<PackageFile[]> {
    const { stdout } = await this.#checked(["--print-uris", ...subcommand(selection)]);
    return parseUris(stdout);
  }

  /**
   * Fetches `selection` and returns the paths of the .deb files, which are there until the next call. Their hashes are checked
   * against the signed lists.
   */
  async download(selection: Selection, step: Step): Promise<string[]> {
    // What was fetched before would take room, and apt does not list what it need not fetch.
    await rm(this.#archives, { recursive: true, force: true });
    await mkdir(join(this.#archives, "partial"), { recursive: true });
    const files = await this.resolve(selection);
    const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await this.#aptGet(subcommand(selection), step, formatBytes(totalBytes));
    return files.map(({ fileName }) => join(this.#archives, fileName));
  }

  /** The packages that `name` depends on directly. */
  async dependencies(name: string): Promise<string[]> {
    const { stdout } = await run(["apt-cache", "-c", this.#configFile, "depends", "--important", name]);
    return [...stdout.matchAll(/^ {2}\|?Depends: (\S+)$/gm)].flatMap(([, dependency]) => dependency ?? []);
  }

  async #aptGet(args: readonly string[], step: Step, what: string): Promise<void> {
    await this.#checked(["-o", "APT::Status-Fd=3", ...args], (line) => {
      const percent = /^dlstatus:[^:]*:([\d.]+):/.exec(line)?.[1];
      if (percent !== undefined) step.update(`${what}, ${Math.round(Number(percent))} %`);
    });
  }

  async #checked(args: readonly string[], onStatusLine?: (line: string) => void) {
    const command = ["apt-get", "-q", "-c", this.#configFile, ...args];
    const result = await capture(command, { cwd: this.#archives, ...(onStatusLine && { onStatusLine }) });
    if (result.status === 0) return result;
    // A warning tells the reason where apt's errors are absent, and something beside it otherwise.
    const errors = [/^E: (.*)$/m, /^W: (.*)$/m].map((line) => line.exec(result.stderr)?.[1]).filter(Boolean);
    throw new SetupError(
      {
        found: `packages cannot be had from the mirror ${this.mirror}: ${errors[0] ?? `apt-get exit status ${result.status}`}`,
        needed: `Debian ${this.suites.join(", ")} over the network, signed by a key in ${KEYRING}`,
      },
      { cause: new CommandError(command, result.status, result.stderr) },
    );
  }
}

function subcommand({ packages, targetSuite, withDependencies }: Selection): string[] {
  const target = targetSuite === undefined ? [] : ["-t", targetSuite];
  const verb = withDependencies ? ["install", "--yes", "--download-only"] : ["download"];
  return [...target, ...verb, ...packages];
}

/** Parses `'URI' FILE SIZE HASH` lines of `apt-get --print-uris`. */
export function parseUris(text: string): PackageFile[] {
  return [...text.matchAll(/^'[^']*' (\S+) (\d+)(?: |$)/gm)].map(([, fileName = "", size]) => ({
    fileName,
    sizeBytes: Number(size),
  }));
}

function sourcesList(mirror: string, suites: readonly string[]): string {
  return suites.map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`).join("");
}

/** Read with `-c`, that is after the machine's own files: it overrides their paths and hooks and keeps the rest. */
function configuration(directory: string): string {
  return `\
Dir::State "${directory}";
Dir::State::Lists "${directory}/lists";
Dir::State::status "${directory}/status";
Dir::Cache "${directory}/cache";
Dir::Etc::SourceList "${directory}/sources.list";
Dir::Etc::SourceParts "${directory}/empty";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "${directory}/empty";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
`;
}
