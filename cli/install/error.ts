/** What keeps an installation from being made or undone: one line that says what was found and what is needed. */
export class InstallError extends Error {
  override readonly name = "InstallError";

  constructor({ found, needed }: { found: string; needed: string }, options?: { cause?: unknown }) {
    super(`${found}; needed: ${needed}`, options);
  }
}
