import { stringify } from "yaml";

/** A value of the configuration on one line of YAML. */
export function inlineYaml(value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return stringify(value, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim();
}
