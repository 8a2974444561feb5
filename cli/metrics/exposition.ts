/** Prometheus' text exposition format, version 0.0.4. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type MetricType = "counter" | "gauge";
export type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly type: MetricType;
  readonly help: string;
  readonly samples: string[];
}

/** A sample, or the type of one, in text that comes from a guest: nothing else of it is passed on. */
const SAMPLE =
  /^([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="[^"\\\n]*"(?:,|(?=\})))*)\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i;
const TYPE = /^# TYPE ([a-z_][a-z0-9_]*) (counter|gauge)$/i;
const LABEL_NAME = /([a-z_]+)="/gi;
/** What a guest may fill a page with. */
const FOREIGN_SAMPLES_MAX = 5000;

/** Metrics that are gathered from several places: a family is told once, with the samples of all. */
export class Exposition {
  readonly #families = new Map<string, Family>();

  add(name: string, type: MetricType, help: string, labels: Labels, value: number): void {
    this.#family(name, type, help).samples.push(`${name}{${formatLabels(labels)}} ${value}`);
  }

  /**
   * Adds what somebody who is not trusted has said in the same format, with labels of our own in front.
   *
   * @param prefix that its names must have, so that they are nobody else's
   */
  addForeign(text: string, prefix: string, labels: Labels): void {
    const types = new Map<string, MetricType>();
    let left = FOREIGN_SAMPLES_MAX;
    for (const line of text.split("\n")) {
      const [, typed = "", type] = TYPE.exec(line) ?? [];
      if (type === "counter" || type === "gauge") types.set(typed, type);
      const [, name, own = "", value] = SAMPLE.exec(line) ?? [];
      if (name === undefined || value === undefined || !name.startsWith(prefix) || left === 0) continue;
      if (!areOwn(own, labels)) continue;
      left--;
      const all = [formatLabels(labels), own.replace(/,$/, "")].filter((part) => part !== "").join(",");
      const family = this.#family(name, types.get(name) ?? "gauge", "Told by the guest.");
      family.samples.push(`${name}{${all}} ${value}`);
    }
  }

  /** Names of the metrics, in the order in which they came. */
  get names(): readonly string[] {
    return [...this.#families.keys()];
  }

  toString(): string {
    return [...this.#families]
      .map(([name, { type, help, samples }]) =>
        [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ""].join("\n"),
      )
      .join("");
  }

  #family(name: string, type: MetricType, help: string): Family {
    const family = this.#families.get(name) ?? { type, help, samples: [] };
    this.#families.set(name, family);
    return family;
  }
}

/** Prometheus refuses a whole page for one sample with a label that is there twice. */
function areOwn(text: string, others: Labels): boolean {
  const names = [...text.matchAll(LABEL_NAME)].map(([, name = ""]) => name);
  return new Set([...names, ...Object.keys(others)]).size === names.length + Object.keys(others).length;
}

function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(
      ([key, value]) =>
        `${key}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
    )
    .join(",");
}
