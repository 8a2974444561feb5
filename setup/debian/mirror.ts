import { readFile } from "node:fs/promises";
import { CommandError, run } from "../command.js";
import { SetupError } from "../setup-error.js";

/** One source that apt on this machine is configured with. */
export interface AptSource {
  readonly uri: string;
  /** Suite or codename as the sources list has it, such as "bookworm-updates". */
  readonly release: string;
  readonly component: string;
  /** Origin of the release file; undefined before the first `apt-get update` of the machine. */
  readonly origin: string | undefined;
}

const FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)";

/**
 * The Debian mirror that apt on this machine uses, with a slash at its end.
 *
 * @throws SetupError when there is no apt, or no Debian mirror among its sources.
 */
export async function findMirror(): Promise<string> {
  const sources = parseSources(await listSources());
  const mirror = chooseMirror(sources, await releaseCodename());
  if (mirror === undefined) {
    throw new SetupError({
      found: `apt is configured with ${sources.length === 0 ? "no package source" : sources.map((s) => s.uri).join(", ")}`,
      needed: "a Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d",
    });
  }
  return mirror;
}

async function listSources(): Promise<string> {
  // --no-release-info also lists what has not been downloaded yet, as in a fresh container image.
  const command = [
    "apt-get",
    "indextargets",
    "--no-release-info",
    "--format",
    FORMAT,
    "Created-By: Packages",
  ];
  try {
    return (await run(command)).stdout;
  } catch (cause) {
    if (cause instanceof CommandError && cause.status === undefined) {
      throw new SetupError({ found: "no apt-get on this machine", needed: "Debian with apt" }, { cause });
    }
    throw cause;
  }
}

/** Parses the lines that `apt-get indextargets` prints; a field that apt does not know stays as its own name. */
export function parseSources(text: string): AptSource[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [uri = "", release = "", component = "", origin = ""] = line.split("|");
      return {
        uri,
        release,
        component,
        origin: origin === "" || origin.startsWith("$(") ? undefined : origin,
      };
    });
}

/** The mirror that most surely is Debian's main archive: every suite lives under the same URI there. */
export function chooseMirror(sources: readonly AptSource[], codename: string): string | undefined {
  const candidates = sources.filter(
    ({ component, release, uri, origin }) =>
      component === "main" &&
      !/[-/]security/.test(`${release} ${uri}`) &&
      (origin === "Debian" || (origin === undefined && /\/debian\/?$/.test(uri))),
  );
  const best = candidates.find(({ release }) => release === codename) ?? candidates[0];
  return best && `${best.uri.replace(/\/+$/, "")}/`;
}

async function releaseCodename(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8");
  return /^VERSION_CODENAME=(.*)$/m.exec(text)?.[1] ?? "";
}
