import { CONFIGURATION_FIELDS } from "./configuration.js";
import { EXPLANATIONS } from "./explanations.js";
import type { Field } from "./field.js";
import { inlineYaml } from "./inline-yaml.js";

const LINE_CHARACTERS = 120;

const HEAD = `\
Configuration of kata-fs. Every key is optional; the values here are the defaults.

Looked for at: ConfigPath of containerd's runtime options, $KATA_FS_CONFIG (in containerd's environment), /etc/kata-fs/config.yaml, \
/opt/kata-fs/config.yaml. The first that is there is the one.

Drop-ins: the files *.yaml in the directory config.d beside config.yaml (x.d for x.yaml) are read after it, in the order of their names. A key that \
they set replaces the one before, lists as a whole; a mapping of names to strings is joined, name by name.

A change applies to sandboxes started after it. \`kata-fs config check\` tells what is wrong, \`kata-fs config show\` what holds and where it was set.`;

/** The commented file, configs/config.yaml: every key with its meaning, type, unit and default. */
export function commentedConfiguration(): string {
  const sections = Object.entries(EXPLANATIONS).map(([section, { section: about, keys }]) => {
    const fields: Readonly<Record<string, Field<unknown>>> =
      CONFIGURATION_FIELDS[section as keyof typeof EXPLANATIONS];
    const entries = Object.entries<string>(keys).map(([key, text]) => entry(key, text, fields[key]));
    return `${comment(about, "")}${section}:\n${entries.join("\n")}`;
  });
  return `${comment(HEAD, "")}\n${sections.join("\n")}`;
}

function entry(key: string, text: string, field: Field<unknown> | undefined): string {
  if (field === undefined) throw new Error(`${key} is explained, but there is no such key`);
  const { expects, unit, fallback, example } = field;
  const facts = [
    `Type: ${expects}.`,
    ...(unit === undefined ? [] : [`Unit: ${unit}.`]),
    `Default: ${fallback === undefined ? "none" : inlineYaml(fallback)}.`,
  ];
  const line =
    fallback === undefined ? `# ${key}: ${inlineYaml(example)}` : `${key}: ${inlineYaml(fallback)}`;
  return `${comment(`${text}\n${facts.join(" ")}`, "  ")}  ${line}\n`;
}

/** Text as lines of comment that are not longer than {@link LINE_CHARACTERS}. */
function comment(text: string, indentation: string): string {
  const start = `${indentation}#`;
  return text
    .split("\n")
    .map((paragraph) => {
      let lines = "";
      let line = start;
      for (const word of paragraph.split(" ").filter((word) => word !== "")) {
        if (line !== start && line.length + 1 + word.length > LINE_CHARACTERS) {
          lines += `${line}\n`;
          line = start;
        }
        line += ` ${word}`;
      }
      return `${lines}${line}\n`;
    })
    .join("");
}
