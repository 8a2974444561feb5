/** A guest's text without what it could do to a terminal: control characters other than line breaks and tabs. */
export function printable(text: string): string {
  return text.replaceAll("\r\n", "\n").replaceAll(/(?![\n\t])\p{Cc}/gu, "");
}
