/** What was done and how each step is undone, in reverse. */
export class UndoStack {
  readonly #steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];

  /** Registers how something that has just been done is undone. */
  add(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /**
   * Undoes everything, the last step first. A step that fails does not keep the others from being tried.
   *
   * @throws AggregateError with what failed.
   */
  async undo(): Promise<void> {
    const failures: Error[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        failures.push(
          new Error(`${step.what}: ${cause instanceof Error ? cause.message : cause}`, { cause }),
        );
      }
    }
    if (failures.length > 0) {
      throw new AggregateError(failures, `not undone: ${failures.map(({ message }) => message).join("; ")}`);
    }
  }
}
