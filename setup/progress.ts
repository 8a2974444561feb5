import type { WriteStream } from "node:tty";

/** One step of set-up while it is under way. */
export interface Step {
  /** Says how far the step is, such as "34 of 172 MB". Cheap to call often. */
  update(detail: string): void;
  /** Ends the step with what came of it. */
  done(detail: string): void;
}

/** Tells the user what is going on. */
export interface Progress {
  step(title: string): Step;
}

/** How often a step that cannot redraw its line may print how far it is. */
const PLAIN_UPDATE_MS = 10_000;

/**
 * Progress as lines on `stream`: on a terminal a step redraws one line in place; elsewhere (CI, a file) it prints its
 * beginning, an update now and then, and its end.
 */
export function createProgress(
  stream: NodeJS.WritableStream & Partial<Pick<WriteStream, "isTTY">>,
): Progress {
  const isTerminal = stream.isTTY === true;
  return {
    step(title) {
      const started = performance.now();
      let lastUpdate = started;
      const show = (text: string, end: boolean) => {
        if (isTerminal) stream.write(`\r\x1b[K${text}${end ? "\n" : ""}`);
        else stream.write(`${text}\n`);
      };
      show(`  ${title} …`, false);
      return {
        update(detail) {
          const now = performance.now();
          if (!isTerminal && now - lastUpdate < PLAIN_UPDATE_MS) return;
          lastUpdate = now;
          show(`  ${title} … ${detail}`, false);
        },
        done(detail) {
          show(`  ${title}: ${detail} (${formatSeconds(performance.now() - started)})`, true);
        },
      };
    },
  };
}

/** "1.4 s" for 1400. */
export function formatSeconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

/** "57.9 MB" for 57 900 000. */
export function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
