import { join } from "node:path";
import type { Progress } from "../progress.js";
import { AptRoot } from "./apt-root.js";
import { findMirror } from "./mirror.js";

/** Releases whose packages set-up takes; each gets an apt root of its own. */
const SUITES = {
  bookworm: ["bookworm"],
  trixie: ["trixie", "trixie-backports"],
  sid: ["sid"],
} as const;

export type Release = keyof typeof SUITES;

/** Opens apt roots when they are first needed: set-up that finds everything in place asks no mirror anything. */
export class Debian {
  readonly #roots = new Map<Release, Promise<AptRoot>>();
  #mirror: Promise<string> | undefined;

  constructor(
    private readonly directory: string,
    private readonly progress: Progress,
  ) {}

  /** @throws SetupError see {@link findMirror} and {@link AptRoot.open}. */
  root(release: Release): Promise<AptRoot> {
    let root = this.#roots.get(release);
    if (root === undefined) {
      root = this.#open(release);
      this.#roots.set(release, root);
    }
    return root;
  }

  async #open(release: Release): Promise<AptRoot> {
    this.#mirror ??= findMirror();
    const mirror = await this.#mirror;
    const step = this.progress.step(`Debian ${release} at ${mirror}`);
    const root = await AptRoot.open(join(this.directory, release), mirror, SUITES[release], step);
    step.done("package lists, signatures checked");
    return root;
  }
}
