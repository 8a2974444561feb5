import { type Flag, SECTIONS } from "./flags.js";

const COLUMN = 28;
const WIDTH = 100;

const HEAD = `Usage: kata-fsd --socket-path PATH --shared-dir DIR [OPTIONS] [--device --socket-path PATH …]

Serves a directory of this host to a virtual machine, which mounts it as a virtio-fs file system. QEMU,
or another front end of vhost-user, connects to the socket; the daemon ends when it disconnects. The
options that virtiofsd has, too, have the same names and meanings.

Share /srv/data with a virtual machine, by QEMU 7.2 or later:
  kata-fsd --socket-path /run/fs.sock --shared-dir /srv/data &
  qemu-system-x86_64 … -m 1G -object memory-backend-memfd,id=ram,size=1G,share=on \\
    -machine q35,memory-backend=ram -chardev socket,id=fs,path=/run/fs.sock \\
    -device vhost-user-fs-pci,chardev=fs,tag=data
  In the guest: mount -t virtiofs data /mnt

The same, read-only, with files mapped from this host's memory (DAX), by QEMU 11.1 or later:
  kata-fsd --socket-path /run/fs.sock --shared-dir /srv/data --tag data \\
    --readonly --cache always --dax always &
  LD_PRELOAD=…/shmem-preload.so qemu-system-x86_64 … -m 1G (memory, machine and chardev as before) \\
    -device vhost-user-test-device-pci,chardev=fs,virtio-id=26,num_vqs=2,vq_size=512,config_size=44
  In the guest: mount -t virtiofs -o dax=always,ro data /mnt
  (docs/fsd.md says what the library is for.)
`;

/** What `--help` prints: what the daemon is for, two examples, and all options by what they are about. */
export function usage(): string {
  const sections = Object.entries(SECTIONS).map(([title, flags]) => {
    const lines = Object.entries<Flag>(flags).map(([name, flag]) => describe(name, flag));
    return `\n${title}\n${lines.join("")}`;
  });
  return `${HEAD}${sections.join("")}`;
}

function describe(name: string, flag: Flag): string {
  const long = name.length > 1 ? `--${name}` : "";
  const short = flag.letter === undefined ? "" : `-${flag.letter}`;
  const value =
    flag.value === undefined ? "" : flag.valueIsOptional === true ? `[=${flag.value}]` : ` ${flag.value}`;
  const written = `  ${[short, long].filter((form) => form !== "").join(", ")}${value}`;
  const [first = "", ...more] = wrap(flag.refused ?? flag.help, WIDTH - COLUMN);
  const indent = " ".repeat(COLUMN);
  const head =
    written.length < COLUMN - 1 ? `${written.padEnd(COLUMN)}${first}\n` : `${written}\n${indent}${first}\n`;
  return `${head}${more.map((line) => `${indent}${line}\n`).join("")}`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
