import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const DOCUMENT = fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url));

/**
 * Puts `markdown` in place of what stands between the marks of a section, `<!-- bench NAME -->` and `<!-- end NAME -->`. Each benchmark writes
 * its own section, and what is said around the marks stays.
 * @throws Error for a text without those marks
 */
export function replaceSection(text: string, name: string, markdown: string): string {
  const [begin, end] = [`<!-- bench ${name} -->`, `<!-- end ${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`no marks ${begin} and ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${markdown.trim()}\n\n${text.slice(to)}`;
}

/** The same in docs/benchmarks.md. */
export function writeSection(name: string, markdown: string): void {
  writeFileSync(DOCUMENT, replaceSection(readFileSync(DOCUMENT, "utf8"), name, markdown));
}
