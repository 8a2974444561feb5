/**
 * A pattern of glob(7) as a regular expression that matches whole paths: `*` and `?` stand for anything but a slash, `[…]` for one
 * character of a set, `[!…]` for one of no member of it. A backslash takes the next character's meaning away.
 */
export function globExpression(pattern: string): RegExp {
  let source = "";
  for (let index = 0; index < pattern.length; index++) {
    const char = pattern.charAt(index);
    if (char === "*") source += "[^/]*";
    else if (char === "?") source += "[^/]";
    else if (char === "\\") source += literal(pattern.charAt(++index));
    else if (char === "[") {
      const set = /^\[(!?)(\]?[^\]]*)\]/.exec(pattern.slice(index));
      if (set === null) source += literal(char);
      else {
        const [whole, negation, members = ""] = set;
        source += `(?!/)[${negation === "!" ? "^" : ""}${members.replaceAll(/[\\\]^[]/g, "\\$&")}]`;
        index += whole.length - 1;
      }
    } else source += literal(char);
  }
  return new RegExp(`^${source}$`, "su");
}

function literal(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
