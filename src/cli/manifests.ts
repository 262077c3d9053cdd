import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments, type Document } from 'yaml'
import type { KubeObject } from '#api/objects.ts'
import type { ClusterReader, Where } from '#cli/cluster.ts'
import { isRecord, yamlWords } from '#cli/input.ts'

/** Commands that look at manifests: what they need of the world, how they read files, and how they end. */

/** A fake is an object literal. */
export type ManifestIo = {
  readText(path: string): string
  /** The manifests in a directory, in order; the path itself when it is a file, or `-`. Throws when there is neither. */
  listFiles(path: string): readonly string[]
  out(text: string): void
  err(text: string): void
  /** Unix ms. */
  now(): number
  /** Reads a cluster. Absent: files only. */
  connect?(where: Where): Promise<ClusterReader>
}

const MANIFEST = /\.(ya?ml|json)$/

export const nodeIo: ManifestIo = {
  readText: (path) => readFileSync(path === '-' ? 0 : path, 'utf8'),
  listFiles: (path) => (path === '-' || statSync(path).isFile() ? [path]
    : readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => MANIFEST.test(name) && !name.includes('node_modules/')).sort().map((name) => join(path, name))),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  now: Date.now,
}

export type ManifestCommand<T> = {
  readonly usage: string
  /** "cannot ...", when it fails. */
  readonly verb: string
  /** Undefined when help was asked for. Throws what is wrong with the command line. */
  parse(argv: readonly string[]): T | undefined
  /** The exit code. */
  run(options: T): number | Promise<number>
}

/** Runs one: the exit code is its own, 0 after help, 2 when it could not look. */
export async function runManifestCommand<T>(argv: readonly string[], { out, err }: ManifestIo, { usage, verb, parse, run }: ManifestCommand<T>): Promise<number> {
  let options: T | undefined
  try {
    options = parse(argv)
  } catch (fault) {
    err(`${wordsOf(fault)}\n${usage}\n`)
    return 2
  }
  if (options === undefined) {
    out(`${usage}\n`)
    return 0
  }
  try {
    return await run(options)
  } catch (fault) {
    err(`cannot ${verb}: ${wordsOf(fault)}\n`)
    return 2
  }
}

const wordsOf = (fault: unknown): string => (fault instanceof Error ? fault.message : String(fault))

/** An object of a file, or of a cluster. */
export type Source = {
  readonly file: string
  readonly object: KubeObject
  /** Line, from 1, of a field (`spec.analysis.metrics[0].interval`), or of the nearest one around it that is there. */
  lineOf(field: string): number
}
export type Fault = { readonly file: string; readonly line: number; readonly message: string }

/** The objects of some files, those of Lists too; namespaced ones get `namespace` where they name none. Throws for a path without files. */
export function readManifests(paths: readonly string[], io: ManifestIo, namespace: string): { readonly sources: readonly Source[]; readonly faults: readonly Fault[] } {
  const files = paths.flatMap((path) => {
    const found = io.listFiles(path)
    // A pipeline that looks in the wrong place must not stay green.
    if (found.length === 0) throw new Error(`no manifests in ${path}`)
    return found
  })
  const read = files.map((file) => readManifest(file, io.readText(file), namespace))
  // Nor must one whose template rendered nothing.
  if (files.length > 0 && read.every(({ sources, faults }) => sources.length + faults.length === 0)) throw new Error(`no object of Kubernetes in ${paths.join(', ')}`)
  return { sources: read.flatMap(({ sources }) => sources), faults: read.flatMap(({ faults }) => faults) }
}

function readManifest(file: string, text: string, namespace: string): { sources: Source[]; faults: Fault[] } {
  const lines = new LineCounter()
  const sources: Source[] = []
  const faults: Fault[] = []
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    const [error] = document.errors
    if (error) {
      faults.push({ file, line: error.linePos?.[0].line ?? lineAt(document, [], lines), message: yamlWords(error).replace(/ at line \d+, column \d+$/, '') })
      continue
    }
    let value: unknown
    try {
      value = document.toJS()
    } catch (err) {
      // Aliases that grow without end.
      faults.push({ file, line: lineAt(document, [], lines), message: err instanceof Error ? err.message : String(err) })
      continue
    }
    const items = isRecord(value) && value['kind'] === 'List' && Array.isArray(value['items'])
      ? value['items'].map((item: unknown, index) => ({ item, path: ['items', index] })) : [{ item: value, path: [] }]
    for (const { item, path } of items) {
      if (!isRecord(item) || typeof item['kind'] !== 'string') continue
      sources.push({ file, object: objectOf({ ...item, kind: item['kind'] }, namespace), lineOf: (field) => lineAt(document, [...path, ...segmentsOf(field)], lines) })
    }
  }
  return { sources, faults }
}

function objectOf(item: { readonly kind: string; readonly [key: string]: unknown }, namespace: string): KubeObject {
  const metadata = isRecord(item['metadata']) ? item['metadata'] : {}
  const home = item.kind.startsWith('Cluster') || item.kind === 'Namespace' ? {} : { namespace }
  return { apiVersion: '', ...item, metadata: { name: '', ...home, ...metadata } } as KubeObject
}

/** `spec.metrics[0].headers[x-a]` as keys and indexes. */
const segmentsOf = (field: string): readonly (string | number)[] =>
  [...field.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([whole, inside]) => (inside === undefined ? whole : /^\d+$/.test(inside) ? Number(inside) : inside))

/** Of a map's entry the line of its key: its value may begin on the next one. */
function lineAt(document: Document.Parsed, path: readonly (string | number)[], lines: LineCounter): number {
  let node: unknown = document.contents
  let start = document.contents?.range?.[0] ?? document.range[0]
  for (const segment of path) {
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment)) : undefined
    const found: unknown = pair?.key ?? (isSeq(node) ? node.items[Number(segment)] : undefined)
    if (!isNode(found) || !found.range) break
    start = found.range[0]
    node = pair ? pair.value : found
  }
  return lines.linePos(start).line
}

/** What a cluster holds of these kinds; a kind that it does not serve counts as none. */
export async function readCluster(reader: ClusterReader, kinds: readonly (readonly [apiVersion: string, kind: string, namespace?: string])[]): Promise<readonly KubeObject[]> {
  const lists = await Promise.all(kinds.map(([apiVersion, kind, namespace]) => reader.list(apiVersion, kind, namespace)))
  return lists.flat()
}
