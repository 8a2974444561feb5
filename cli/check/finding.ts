/** What a check has found: all is well; it works, and not as well as it could; no sandbox can start. */
export type Verdict = "ok" | "warn" | "fail";

export interface Finding {
  /** What was looked at, such as "QEMU". */
  readonly title: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What would make it better. */
  readonly remedy?: string;
}

export function ok(title: string, found: string): Finding {
  return { title, verdict: "ok", found };
}

export function warning(title: string, found: string, remedy: string): Finding {
  return { title, verdict: "warn", found, remedy };
}

export function failure(title: string, found: string, remedy: string): Finding {
  return { title, verdict: "fail", found, remedy };
}
