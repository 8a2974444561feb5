import { parse, parseDocument, stringify } from "yaml";
import { commentedConfiguration } from "../configs/commented.js";
import type { Overrides } from "./overrides.js";
import type { Toolchain } from "./toolchain.js";

/** The configuration for a toolchain: the commented one of the project with the places of this machine filled in. */
export function configurationFor(toolchain: Toolchain): string {
  const document = parseDocument(commentedConfiguration());
  const { qemu, kernel, guestRoot, firmware } = toolchain;
  document.setIn(["hypervisor", "argv"], qemu.argv);
  document.setIn(["hypervisor", "env"], qemu.env);
  document.setIn(["hypervisor", "kernel"], kernel);
  document.setIn(["hypervisor", "firmware"], firmware);
  document.setIn(["guest", "root"], guestRoot);
  return document.toString({ lineWidth: 0 });
}

/** `base` (YAML) with the keys of `overrides` in place of its own, later ones before earlier ones. */
export function withOverrides(base: string, ...overrides: readonly Overrides[]): string {
  const result: Record<string, object> = { ...parse(base) };
  for (const layer of overrides) {
    for (const [section, keys] of Object.entries(layer)) result[section] = { ...result[section], ...keys };
  }
  return stringify(result);
}
