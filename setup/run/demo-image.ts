import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { sampleChunks } from "./sample-file.js";
import { tarEnd, tarFile, tarHeader, tarPadding } from "./tar.js";

/** The name under which containerd knows the image after the import. */
export const IMAGE_NAME = "kata-fs.local/demo:latest";

/** Where the sample file lies in the image, without a slash at its beginning. */
export const SAMPLE_PATH = "data/sample.bin";

const TOOLS = [
  "sh",
  "cat",
  "echo",
  "ls",
  "md5sum",
  "uname",
  "mount",
  "stat",
  "ps",
  "id",
  "env",
  "free",
  "df",
  "head",
];
const MEDIA_TYPE = "application/vnd.oci.image";

export interface DemoImage {
  /** OCI image layout as a tar archive. */
  readonly file: string;
  /** MD5 of the sample file, in hex, as md5sum prints it. */
  readonly sampleMd5: string;
}

interface Blob {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What an image is called, and what it runs when nobody says otherwise. */
export interface ImageDefaults {
  readonly name?: string;
  readonly command?: readonly string[];
}

/**
 * Makes the image of the demonstration in `directory` without any registry: a layer with busybox and the sample file in a
 * second one, so that the container's root has more than one lower layer.
 *
 * @param busybox a statically linked busybox.
 * @param sampleBytes length of the sample file, in whole mebibytes.
 * @param further layers on top of these, as tar archives.
 */
export async function makeDemoImage(
  directory: string,
  busybox: string,
  sampleBytes: number,
  further: readonly Buffer[] = [],
  { name = IMAGE_NAME, command = ["/bin/sh"] }: ImageDefaults = {},
): Promise<DemoImage> {
  const tools = toolsLayer(await readFile(busybox));
  const toolsBlob = blobOf(tools);
  const sampleLayer = join(directory, "sample-layer.tar");
  const { blob: sampleBlob, md5 } = await writeSampleLayer(sampleLayer, sampleBytes);

  const layers = [toolsBlob, sampleBlob, ...further.map(blobOf)];
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: command },
    rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: `${MEDIA_TYPE}.manifest.v1+json`,
    config: descriptor("config.v1+json", blobOf(config)),
    layers: layers.map((layer) => descriptor("layer.v1.tar", layer)),
  });
  const index = json({
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor("manifest.v1+json", blobOf(manifest)),
        annotations: { "io.containerd.image.name": name },
      },
    ],
  });

  const file = join(directory, "image.tar");
  const out = await open(file, "w");
  try {
    await out.write(tarFile("oci-layout", json({ imageLayoutVersion: "1.0.0" })));
    await out.write(tarFile("index.json", index));
    for (const blob of [config, manifest, tools, ...further])
      await out.write(tarFile(blobPath(blobOf(blob)), blob));
    await out.write(
      tarHeader({ name: blobPath(sampleBlob), type: "file", mode: 0o644, sizeBytes: sampleBlob.sizeBytes }),
    );
    for await (const chunk of createReadStream(sampleLayer)) await out.write(chunk);
    await out.write(tarPadding(sampleBlob.sizeBytes));
    await out.write(tarEnd());
  } finally {
    await out.close();
    await rm(sampleLayer, { force: true });
  }
  return { file, sampleMd5: md5 };
}

function toolsLayer(busybox: Buffer): Buffer {
  const folders = ["bin", "etc", "tmp", "root"].map((name) =>
    tarHeader({ name, type: "directory", mode: name === "tmp" ? 0o1777 : 0o755, sizeBytes: 0 }),
  );
  const links = TOOLS.map((tool) =>
    tarHeader({ name: `bin/${tool}`, type: "symlink", mode: 0o777, sizeBytes: 0, linkName: "busybox" }),
  );
  const passwd = tarFile("etc/passwd", Buffer.from("root:x:0:0:root:/root:/bin/sh\n"));
  return Buffer.concat([...folders, tarFile("bin/busybox", busybox, 0o755), ...links, passwd, tarEnd()]);
}

async function writeSampleLayer(file: string, sampleBytes: number): Promise<{ blob: Blob; md5: string }> {
  const out = await open(file, "w");
  const sha256 = createHash("sha256");
  const md5 = createHash("md5");
  try {
    const folder = tarHeader({ name: "data", type: "directory", mode: 0o755, sizeBytes: 0 });
    const header = tarHeader({ name: SAMPLE_PATH, type: "file", mode: 0o644, sizeBytes: sampleBytes });
    await append(out, sha256, Buffer.concat([folder, header]));
    for (const chunk of sampleChunks(sampleBytes)) {
      md5.update(chunk);
      await append(out, sha256, chunk);
    }
    await append(out, sha256, Buffer.concat([tarPadding(sampleBytes), tarEnd()]));
  } finally {
    await out.close();
  }
  const { size: sizeBytes } = await stat(file);
  return { blob: { sha256: sha256.digest("hex"), sizeBytes }, md5: md5.digest("hex") };
}

async function append(out: FileHandle, hash: Hash, bytes: Buffer): Promise<void> {
  hash.update(bytes);
  await out.write(bytes);
}

function blobOf(contents: Buffer): Blob {
  return { sha256: createHash("sha256").update(contents).digest("hex"), sizeBytes: contents.length };
}

function digestOf({ sha256 }: Blob): string {
  return `sha256:${sha256}`;
}

function blobPath({ sha256 }: Blob): string {
  return `blobs/sha256/${sha256}`;
}

function descriptor(type: string, blob: Blob) {
  return { mediaType: `${MEDIA_TYPE}.${type}`, digest: digestOf(blob), size: blob.sizeBytes };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
