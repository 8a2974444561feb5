import { CONFIGURATION_FIELDS, type Configuration, type Section } from "./configuration.js";

/** A value of the configuration, and where it was set: "/etc/kata-fs/config.yaml:12", or {@link DEFAULT_ORIGIN}. */
export interface Setting<T> {
  readonly value: T;
  readonly origin: string;
}

/** The origin of a value that nobody has set. */
export const DEFAULT_ORIGIN = "default";

/** The keys that one source sets: a file, an annotation, the runtime's options. */
export type Settings = {
  readonly [S in keyof Configuration]: SectionSettings<Configuration[S]>;
};
export type SectionSettings<T> = { readonly [K in keyof T]?: Setting<T[K]> };

/** Every key with its value and origin. */
export type EffectiveSettings = {
  readonly [S in keyof Configuration]: EffectiveSection<Configuration[S]>;
};
type EffectiveSection<T> = { readonly [K in keyof T]: Setting<T[K]> };

/** What there is of each section: the values themselves, what one source sets, everything with its origin. */
interface SectionOf<T> {
  readonly values: T;
  readonly settings: SectionSettings<T>;
  readonly effective: EffectiveSection<T>;
  readonly overrides: Partial<T>;
}

/** Makes the same of each section. */
export function mapSections<Kind extends keyof SectionOf<unknown>>(
  make: <S extends keyof Configuration>(section: S) => SectionOf<Configuration[S]>[Kind],
): { readonly [S in keyof Configuration]: SectionOf<Configuration[S]>[Kind] } {
  return {
    hypervisor: make("hypervisor"),
    guest: make("guest"),
    daemon: make("daemon"),
    runtime: make("runtime"),
    annotations: make("annotations"),
    timeLimits: make("timeLimits"),
  };
}

/**
 * What holds when `layers` come one over the other: of each key the value of the last layer that sets it; a mapping of names has the
 * names of all layers.
 */
export function effectiveSettings(layers: readonly Settings[]): EffectiveSettings {
  return mapSections<"effective">((section) =>
    effectiveSection(
      CONFIGURATION_FIELDS[section],
      layers.map((layer) => layer[section]),
    ),
  );
}

function effectiveSection<T>(fields: Section<T>, layers: readonly SectionSettings<T>[]): EffectiveSection<T> {
  const result: Partial<{ [K in keyof T]: Setting<T[K]> }> = {};
  for (const key in fields) {
    const { fallback, join } = fields[key];
    let effective: Setting<T[typeof key]> = { value: fallback, origin: DEFAULT_ORIGIN };
    for (const layer of layers) {
      const setting = layer[key];
      if (setting === undefined) continue;
      const isFirst = effective.origin === DEFAULT_ORIGIN;
      effective =
        join === undefined || isFirst
          ? setting
          : {
              value: join(effective.value, setting.value),
              origin: `${effective.origin}, ${setting.origin}`,
            };
    }
    result[key] = effective;
  }
  return result as EffectiveSection<T>; // Every key of T has a field.
}

/** The values alone. */
export function configurationOf(effective: EffectiveSettings): Configuration {
  return mapSections<"values">((section) => values(effective[section]));
}

function values<T>(settings: EffectiveSection<T>): T {
  const result: Partial<T> = {};
  for (const key in settings) result[key] = settings[key].value;
  return result as T; // Every key of T has a setting.
}

/** The values that somebody has set, without the defaults. */
export type Overrides = { readonly [S in keyof Configuration]?: Partial<Configuration[S]> };

export function overridesOf(effective: EffectiveSettings): Overrides {
  return mapSections<"overrides">((section) => setValues(effective[section]));
}

function setValues<T>(settings: EffectiveSection<T>): Partial<T> {
  const result: Partial<T> = {};
  for (const key in settings) {
    const { value, origin } = settings[key];
    if (origin !== DEFAULT_ORIGIN) result[key] = value;
  }
  return result;
}
