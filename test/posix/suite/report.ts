/** How one check went. */
export interface Outcome {
  readonly name: string;
  readonly result: "ok" | "not ok" | "skipped";
  /** Empty when it was ok. */
  readonly reason: string;
}

/** One line for each outcome. */
export function format({ name, result, reason }: Outcome): string {
  return `${result} - ${name}${reason === "" ? "" : ` # ${reason.split("\n").join(" ")}`}`;
}

/** Parses what {@link format} made; other lines are left out. */
export function parse(text: string): Outcome[] {
  return [...text.matchAll(/^(ok|not ok|skipped) - (.*?)(?: # (.*))?$/gm)].map(
    ([, result, name = "", reason = ""]) => ({
      name,
      result: result === "ok" || result === "skipped" ? result : "not ok",
      reason,
    }),
  );
}
