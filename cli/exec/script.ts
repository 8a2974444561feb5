/** The size of a terminal, in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Before and behind a mark, where no shell that repeats its input has it: it is written as `\036` there. */
export const MARK_EDGE = "\u001e";

/**
 * What the guest's shell is told first, as if it were typed. It lets the terminal pass everything as it is, says so by the mark TOKEN, and runs the
 * script that follows, which is `scriptBytes` long: a line that is typed may not be long.
 */
export function introduction(token: string, scriptBytes: number): string {
  const read = `eval "$(head -c ${scriptBytes})"`;
  return `stty raw -echo; printf '\\036%s\\036' ${token}; ${read}\n`;
}

/**
 * The script that runs a command, tells its beginning by the mark TOKEN again, and its end by the mark TOKEN:STATUS. It then waits to be hung up: a terminal whose last process ends may take
 * with it what has not been read.
 *
 * @param terminal of the user; without one the command gets no input, and its output as it writes it
 */
export function scriptFor(command: string, token: string, terminal: TerminalSize | undefined): string {
  const run = `sh -c ${quote(command)}`;
  const prepared = terminal === undefined ? `${run} </dev/null` : run;
  const setting = terminal === undefined ? "" : `stty sane rows ${terminal.rows} cols ${terminal.columns}; `;
  return `${setting}printf '\\036%s\\036' ${token}; ${prepared}; printf '\\036%s:%d\\036' ${token} $?; read -r end; exit\n`;
}

/** One word for a POSIX shell. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
