// A reporter for Node's test runner: the files in which a test has failed, a line each.

/** @param {AsyncIterable<{ type: string, data: { file?: string, name?: string } }>} events */
export default async function* failedFiles(events) {
  const files = new Set();
  for await (const { type, data } of events) {
    // A file that could not be run is a test with its path for a name.
    if (type === "test:fail") files.add(data.file ?? data.name);
  }
  for (const file of files) yield `${file}\n`;
}
