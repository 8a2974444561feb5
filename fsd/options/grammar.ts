import { nearest } from "../../lib/nearest.js";
import { OptionsError } from "./error.js";

/** How an option is written. */
export interface OptionSyntax {
  /** What stands for its value in the usage text; without it the option is a switch. */
  readonly value?: string;
  /** The value may be left out; if it is there, it follows an equals sign. */
  readonly valueIsOptional?: boolean;
  /** A letter that stands for the option, after a single dash. */
  readonly letter?: string;
  /** Why this program does not do what the option asks for: it is refused. */
  readonly refused?: string;
}

interface Given<Name> {
  readonly name: Name;
  /** Empty for a switch, and where an optional value was left out. */
  readonly value: string;
}

/** The options of one group of the command line, in the order in which they were given. */
export class GivenOptions<Name extends string> {
  constructor(private readonly given: readonly Given<Name>[]) {}

  has(name: Name): boolean {
    return this.given.some((option) => option.name === name);
  }

  /** The value of the last option of that name: a later one overrides an earlier one. */
  text(name: Name): string | undefined {
    return this.given.findLast((option) => option.name === name)?.value;
  }

  /** The values of all options of that name. */
  all(name: Name): string[] {
    return this.given.filter((option) => option.name === name).map((option) => option.value);
  }

  /** Which of two options that contradict each other was given last, `preset` where neither was. */
  isOn(on: Name, off: Name, preset: boolean): boolean {
    const last = this.given.findLast((option) => option.name === on || option.name === off);
    return last === undefined ? preset : last.name === on;
  }
}

/**
 * Splits a command line into the options that it consists of: `--name=value`, `--name value`, `--switch`, and single letters.
 * What is not in `syntax` is refused, and so is what is there only to be refused.
 *
 * @throws OptionsError
 */
export function parseArguments<Name extends string>(
  argv: readonly string[],
  syntax: Readonly<Record<Name, OptionSyntax>>,
): GivenOptions<Name> {
  const known = new Map<string, OptionSyntax>(Object.entries(syntax));
  const isName = (name: string): name is Name => known.has(name);
  const given: Given<Name>[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    const [, dashes, key = "", inline] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (dashes === undefined) throw new OptionsError(`${word}: an option is expected, such as --socket-path`);
    const name = dashes === "--" ? key : [...known].find(([, { letter }]) => letter === key)?.[0];
    if (name === undefined || !isName(name)) throw unknownOption(`${dashes}${key}`, [...known.keys()]);
    const option = syntax[name];
    const written = `${dashes}${key}`;
    if (option.refused !== undefined)
      throw new OptionsError(`${written} is not supported: ${option.refused}`);
    if (option.value === undefined) {
      if (inline !== undefined) throw new OptionsError(`${written} takes no value`);
      given.push({ name, value: "" });
    } else if (inline !== undefined || option.valueIsOptional === true) {
      given.push({ name, value: inline ?? "" });
    } else {
      const value = argv[++index];
      if (value === undefined) throw new OptionsError(`${written} needs a value: ${written}=${option.value}`);
      given.push({ name, value });
    }
  }
  return new GivenOptions(given);
}

function unknownOption(written: string, names: readonly string[]): OptionsError {
  const guess = nearest(
    written,
    names.map((name) => `--${name}`),
  );
  return new OptionsError(
    `${written}: no such option${guess === undefined ? "" : `; the nearest one is ${guess}`}`,
  );
}
