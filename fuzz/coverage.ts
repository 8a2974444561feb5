import type { Profiler } from "node:inspector";
import { Session } from "node:inspector";

/** What is known of a character of a script. */
const Mark = { none: 0, code: 1, ran: 2 } as const;

interface CoveredScript {
  /** A {@link Mark} for each character. */
  readonly text: Uint8Array;
  readonly covered: number;
  readonly all: number;
}

/** Which parts of the sources have run, by V8's precise coverage of blocks, in characters of the functions that V8 runs. */
export class Coverage {
  readonly #session = new Session();
  readonly #scripts = new Map<string, CoveredScript>();

  /** @param covers which scripts count, by their URL */
  constructor(private readonly covers: (url: string) => boolean) {
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Whether something ran since the last look that is not noted yet. */
  hasNews(): boolean {
    return this.#take().some((script) => this.#add(script, false));
  }

  /** Notes what ran since the last look. @returns whether any of it is new */
  note(): boolean {
    const news = this.#take().map((script) => this.#add(script, true));
    return news.includes(true);
  }

  /** Characters of code that ran, and of all code of the scripts that count. */
  get characters(): { readonly covered: number; readonly all: number } {
    let covered = 0;
    let all = 0;
    for (const script of this.#scripts.values()) {
      covered += script.covered;
      all += script.all;
    }
    return { covered, all };
  }

  close(): void {
    this.#session.disconnect();
  }

  #take(): Profiler.ScriptCoverage[] {
    let scripts: Profiler.ScriptCoverage[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (error, { result }) => {
      if (error !== null) throw error;
      scripts = result.filter(({ url }) => this.covers(url));
    });
    return scripts;
  }

  #add({ url, functions }: Profiler.ScriptCoverage, isNoted: boolean): boolean {
    const length = functions.reduce((end, { ranges }) => Math.max(end, ranges[0]?.endOffset ?? 0), 0);
    const known = this.#scripts.get(url) ?? { text: new Uint8Array(0), covered: 0, all: 0 };
    const text = new Uint8Array(Math.max(length, known.text.length));
    for (const { ranges } of functions) {
      // The function that begins the script is the module itself: it ran before any input did.
      if (ranges[0]?.startOffset === 0) continue;
      // Ranges are nested: one that did not run is a hole in the one around it, which did.
      for (const { startOffset, endOffset, count } of ranges) {
        text.fill(count > 0 ? Mark.ran : Mark.code, startOffset, endOffset);
      }
    }
    let covered = 0;
    let all = 0;
    for (let at = 0; at < text.length; at++) {
      const mark = Math.max(text[at] ?? 0, known.text[at] ?? 0);
      text[at] = mark;
      if (mark >= Mark.code) all++;
      if (mark === Mark.ran) covered++;
    }
    if (isNoted) this.#scripts.set(url, { text, covered, all });
    return covered > known.covered;
  }

  #post(method: "Profiler.enable" | "Profiler.startPreciseCoverage", parameters?: object): void {
    this.#session.post(method, parameters, (error) => {
      if (error !== null) throw error;
    });
  }
}
