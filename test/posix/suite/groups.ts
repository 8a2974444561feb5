import type { Group } from "./check.js";
import { acls } from "./checks/acls.js";
import { contents } from "./checks/contents.js";
import { directories } from "./checks/directories.js";
import { errors } from "./checks/errors.js";
import { fixedTree } from "./checks/fixed-tree.js";
import { fullFileSystem } from "./checks/full-file-system.js";
import { links } from "./checks/links.js";
import { locks } from "./checks/locks.js";
import { otherFileSystem } from "./checks/other-file-system.js";
import { otherProcesses } from "./checks/other-processes.js";
import { ownership } from "./checks/ownership.js";
import { paths } from "./checks/paths.js";
import { permissions } from "./checks/permissions.js";
import { rename } from "./checks/rename.js";
import { setId } from "./checks/set-id.js";
import { space } from "./checks/space.js";
import { specialFiles } from "./checks/special-files.js";
import { times } from "./checks/times.js";
import { xattrs } from "./checks/xattrs.js";

export const groups: readonly Group[] = [
  ownership,
  setId,
  permissions,
  rename,
  links,
  space,
  contents,
  times,
  xattrs,
  acls,
  paths,
  errors,
  specialFiles,
  directories,
  locks,
  otherProcesses,
  otherFileSystem,
  fullFileSystem,
  fixedTree,
];
