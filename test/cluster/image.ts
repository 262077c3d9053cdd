/**
 * Makes container images without a daemon or a registry: an OCI image layout in one tar, as `ctr images import` reads it.
 *
 *   node test/cluster/image.ts build spec.json -o out.tar
 *
 * The spec is one image or a list of them; layers with the same files are stored once. The same spec and files
 * give the same bytes, whoever builds when: times are 0, owners root, the order is that of the names.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, lstatSync, openSync, readFileSync, readSync, readdirSync, readlinkSync, realpathSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseArgs } from 'node:util'

/** What to put where. `from` is a file or a whole folder of the host; `text` is content given here. */
export type FileSpec = {
  readonly to: string
  readonly from?: string
  readonly text?: string
  /** Octal, like "0755"; without it, that of the host's file, or 0644 for text. */
  readonly mode?: string
  /** Also adds the shared libraries that the program needs here, with its loader, at the same places. */
  readonly libraries?: boolean
}

export type ImageSpec = {
  /** As a pod names it, like "cart:2.4". */
  readonly name: string
  /** One layer; or `layers`, those that change least first. */
  readonly files?: readonly FileSpec[]
  readonly layers?: readonly (readonly FileSpec[])[]
  readonly env?: Readonly<Record<string, string>>
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  /** Numeric, like "65532": there is no /etc/passwd in these images. */
  readonly user?: string
  readonly workdir?: string
}

type Entry = { readonly path: string; readonly mode: number } & (
  | { readonly kind: 'file'; readonly from: string; readonly size: number }
  | { readonly kind: 'text'; readonly content: Buffer }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'folder' }
)

/** A content-addressed part of the archive: bytes in memory, or a file of the host. */
type Blob = { readonly digest: string; readonly size: number; readonly from: string | Buffer }

type Sink = (bytes: Uint8Array) => void

const BLOCK_BYTES = 512
const CHUNK_BYTES = 1 << 20
/** Longest name in a plain tar header; a longer one goes into a pax record before it. */
const MAX_TAR_NAME_BYTES = 100
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const PLATFORM = { architecture: ARCHITECTURES[process.arch] ?? process.arch, os: 'linux' }
/** What container runtimes put before a name without a host; an image is only found under the full name. */
const DEFAULT_NAMESPACE = 'docker.io/library/'

/** The full name under which the kubelet asks for an image: "cart" and "cart:latest" are one image. */
export function fullName(name: string): string {
  const tagged = /[:@][^/]*$/.test(name) ? name : `${name}:latest`
  const [first = '', ...rest] = tagged.split('/')
  if (rest.length === 0) return DEFAULT_NAMESPACE + tagged
  return /[.:]|^localhost$/.test(first) ? tagged : posix.join(posix.dirname(DEFAULT_NAMESPACE), tagged)
}

/** The shared libraries that a program of the host loads, by the paths under which it looks for them. */
export function librariesOf(program: string): string[] {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n')
  return lines.flatMap((line) => /^\s*(?:\S+ => )?(\/\S+) \(0x/.exec(line)?.[1] ?? [])
}

function entriesOf(file: FileSpec): Entry[] {
  const path = posix.normalize(file.to).replace(/^\/+|\/+$/g, '')
  if (file.text !== undefined) return [{ kind: 'text', path, mode: parseInt(file.mode ?? '0644', 8), content: Buffer.from(file.text) }]
  if (file.from === undefined) return [{ kind: 'folder', path, mode: parseInt(file.mode ?? '0755', 8) }]
  const libraries = file.libraries ? librariesOf(file.from).flatMap((from) => entriesOf({ from: realpathSync(from), to: from, mode: '0755' })) : []
  return [...walk(file.from, path, file.mode), ...libraries]
}

function walk(from: string, path: string, mode: string | undefined): Entry[] {
  const stat = lstatSync(from)
  if (stat.isSymbolicLink()) return [{ kind: 'link', path, mode: 0o777, target: readlinkSync(from) }]
  const permissions = mode === undefined ? stat.mode & 0o7777 : parseInt(mode, 8)
  if (!stat.isDirectory()) return [{ kind: 'file', path, mode: permissions, from, size: stat.size }]
  return [
    { kind: 'folder', path, mode: 0o755 },
    ...readdirSync(from).flatMap((name) => walk(join(from, name), posix.join(path, name), mode)),
  ]
}

/** Entries in the order of their names, each with the folders above it; the last of two with one name wins. */
function withFolders(entries: readonly Entry[]): Entry[] {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    for (let folder = posix.dirname(entry.path); folder !== '.'; folder = posix.dirname(folder)) {
      if (!byPath.has(folder)) byPath.set(folder, { kind: 'folder', path: folder, mode: 0o755 })
    }
    byPath.set(entry.path, entry)
  }
  return [...byPath.values()].filter(({ path }) => path !== '' && path !== '.').toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

function tarHeader(name: string, mode: number, size: number, type: string, link = ''): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, at: number, length: number) => header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at)
  header.write(name, 0, MAX_TAR_NAME_BYTES)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  header.write('        ', 148)
  header.write(type, 156)
  header.write(link, 157, MAX_TAR_NAME_BYTES)
  header.write('ustar\x0000', 257)
  header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

const padding = (size: number) => Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)

function writeHeader(sink: Sink, name: string, mode: number, size: number, type: string, link = ''): void {
  const records = Object.entries({ path: name, linkpath: link }).filter(([, value]) => Buffer.byteLength(value) > MAX_TAR_NAME_BYTES)
  if (records.length > 0) {
    const pax = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''))
    sink(tarHeader('pax', 0o644, pax.length, 'x'))
    sink(pax)
    sink(padding(pax.length))
  }
  sink(tarHeader(name, mode, size, type, link))
}

/** "<length> key=value\n", where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const restBytes = Buffer.byteLength(rest)
  const guess = restBytes + String(restBytes).length
  return `${restBytes + String(guess).length}${rest}`
}

function writeContent(sink: Sink, from: string | Buffer, size: number): void {
  if (typeof from !== 'string') sink(from)
  else {
    const file = openSync(from, 'r')
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    let total = 0
    for (let count; (count = readSync(file, chunk)) > 0; total += count) sink(chunk.subarray(0, count))
    closeSync(file)
    if (total !== size) throw new Error(`${from} changed while it was read`)
  }
  sink(padding(size))
}

/** Writes a file through a sink, and tells its digest and size. */
function writeFile(path: string, write: (sink: Sink) => void): Blob {
  const hash = createHash('sha256')
  const file = openSync(path, 'w')
  let size = 0
  write((bytes) => {
    hash.update(bytes)
    size += bytes.length
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
  })
  closeSync(file)
  return { digest: `sha256:${hash.digest('hex')}`, size, from: path }
}

function buildLayer(files: readonly FileSpec[], path: string): Blob {
  return writeFile(path, (sink) => {
    for (const entry of withFolders(files.flatMap(entriesOf))) {
      if (entry.kind === 'folder') writeHeader(sink, `${entry.path}/`, entry.mode, 0, '5')
      else if (entry.kind === 'link') writeHeader(sink, entry.path, entry.mode, 0, '2', entry.target)
      else {
        const size = entry.kind === 'text' ? entry.content.length : entry.size
        writeHeader(sink, entry.path, entry.mode, size, '0')
        writeContent(sink, entry.kind === 'text' ? entry.content : entry.from, size)
      }
    }
    sink(Buffer.alloc(2 * BLOCK_BYTES))
  })
}

function jsonBlob(value: unknown): Blob {
  const from = Buffer.from(JSON.stringify(value))
  return { digest: `sha256:${createHash('sha256').update(from).digest('hex')}`, size: from.length, from }
}

const descriptor = (mediaType: string, { digest, size }: Blob) => ({ mediaType: `application/vnd.oci.image.${mediaType}`, digest, size })

function configOf(image: ImageSpec, layers: readonly Blob[]): Blob {
  return jsonBlob({
    created: new Date(0).toISOString(),
    ...PLATFORM,
    config: {
      Env: Object.entries({ PATH: '/usr/bin:/bin', ...image.env }).map(([key, value]) => `${key}=${value}`),
      ...(image.entrypoint && { Entrypoint: image.entrypoint }),
      ...(image.command && { Cmd: image.command }),
      ...(image.user && { User: image.user }),
      WorkingDir: image.workdir ?? '/',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  })
}

/** Writes an archive with all the images to `out`, all or nothing. */
export function buildArchive(images: readonly ImageSpec[], out: string): void {
  const layers = new Map<string, Blob>()
  const layerOf = (files: readonly FileSpec[]): Blob => {
    const key = JSON.stringify(files)
    const layer = layers.get(key) ?? buildLayer(files, `${out}.layer${layers.size}`)
    layers.set(key, layer)
    return layer
  }
  try {
    const blobs = new Map<string, Blob>()
    const manifests = images.map((image) => {
      const imageLayers = (image.layers ?? [image.files ?? []]).map(layerOf)
      const config = configOf(image, imageLayers)
      const manifest = jsonBlob({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: descriptor('config.v1+json', config),
        layers: imageLayers.map((layer) => descriptor('layer.v1.tar', layer)),
      })
      for (const blob of [...imageLayers, config, manifest]) blobs.set(blob.digest, blob)
      const annotations = { 'io.containerd.image.name': fullName(image.name), 'org.opencontainers.image.ref.name': fullName(image.name) }
      return { ...descriptor('manifest.v1+json', manifest), platform: PLATFORM, annotations }
    })
    const layout = jsonBlob({ imageLayoutVersion: '1.0.0' })
    const index = jsonBlob({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests })
    const parts: [string, Blob][] = [['oci-layout', layout], ['index.json', index]]
    for (const blob of blobs.values()) parts.push([`blobs/${blob.digest.replace(':', '/')}`, blob])
    writeFile(`${out}.part`, (sink) => {
      for (const [name, blob] of parts) {
        writeHeader(sink, name, 0o644, blob.size, '0')
        writeContent(sink, blob.from, blob.size)
      }
      sink(Buffer.alloc(2 * BLOCK_BYTES))
    })
    renameSync(`${out}.part`, out)
  } finally {
    for (const { from } of layers.values()) rmSync(String(from), { force: true })
  }
}

if (import.meta.main) {
  const { positionals: [command, spec], values: { out } } = parseArgs({ allowPositionals: true, options: { out: { type: 'string', short: 'o' } } })
  if (command !== 'build' || spec === undefined || out === undefined) {
    process.stderr.write('usage: node image.ts build <spec.json> -o <out.tar>\n')
    process.exit(2)
  }
  const parsed: ImageSpec | ImageSpec[] = JSON.parse(readFileSync(spec, 'utf8'))
  buildArchive([parsed].flat(), out)
}
