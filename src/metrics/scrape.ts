/** Reads the metrics pages of the pods themselves: the default source, which needs no server. */

import type { Http } from '#api/http.ts'
import type { Role } from '#api/names.ts'
import { readPage, type CounterNames, type PageCounters } from '#metrics/exposition.ts'

/** `spec.gate`'s words about scraping; all optional. */
export type ScrapeSettings = Omit<CounterNames, 'where'> & {
  readonly port?: number
  readonly path?: string
  readonly scheme?: 'http' | 'https'
}

/** The pod's page, if it has one. */
export type ScrapeTarget = { readonly port: number; readonly path: string; readonly scheme: 'http' | 'https' }

export type ScrapePod = ScrapeTarget & {
  readonly name: string
  readonly ip: string
  /** When its container started, Unix ms. */
  readonly startedAtMs: number
  readonly ready: boolean
  /** Since when it is ready, Unix ms. */
  readonly readyAtMs?: number
}

/** One pod's answer in one round. `isProxy`: it stands before both arms, and what fails there is no single pod's doing. */
export type PodAnswer = ScrapePod & { readonly isProxy?: true; readonly answer: { readonly kind: 'page'; readonly atMs: number; readonly page: PageCounters } | { readonly kind: 'failed'; readonly reason: string } }

export type ScrapeRound = Readonly<Record<Role, readonly PodAnswer[]>>

/** A page may be larger than another server's answer, and a proxy's is about everybody. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024
const MAX_PROXY_PAGE_BYTES = 16 * 1024 * 1024
const DEFAULT_PATH = '/metrics'
/** How a compressed page begins: no text does. */
const GZIP = '\u001f'
/** Names of container ports that serve metrics, the likeliest first. */
const METRICS_PORT_NAMES = ['metrics', 'http-metrics', 'prom', 'prometheus']
const MAX_PORT = 65_535

/**
 * Where a pod's page is: settings first, then the usual annotations (`prometheus.io/scrape|port|path|scheme`), then a container port
 * by its name, then the first one. Undefined when the pod says no or has no port.
 */
export function scrapeTargetOf(
  annotations: Readonly<Record<string, string>>,
  ports: readonly { readonly containerPort: number; readonly name?: string; readonly protocol?: string }[],
  settings: ScrapeSettings = {},
): ScrapeTarget | undefined {
  // Somebody who names a port wants it scraped, whatever is meant for another Prometheus.
  if (annotations['prometheus.io/scrape'] === 'false' && settings.port === undefined) return undefined
  const annotated = Number(annotations['prometheus.io/port'] ?? Number.NaN)
  const port = settings.port ?? (Number.isInteger(annotated) ? annotated : portOf(ports))
  if (port === undefined || port < 1 || port > MAX_PORT) return undefined
  const path = settings.path ?? annotations['prometheus.io/path'] ?? DEFAULT_PATH
  const scheme = settings.scheme ?? (annotations['prometheus.io/scheme'] === 'https' ? 'https' : 'http')
  return { port, path: path.startsWith('/') ? path : `/${path}`, scheme }
}

function portOf(ports: readonly { readonly containerPort: number; readonly name?: string; readonly protocol?: string }[]): number | undefined {
  const tcp = ports.filter(({ protocol = 'TCP' }) => protocol === 'TCP')
  const named = METRICS_PORT_NAMES.map((name) => tcp.find((port) => port.name === name)).find((port) => port !== undefined)
  return (named ?? tcp[0])?.containerPort
}

export type ScrapeTerms = {
  readonly names?: CounterNames
  /** For the whole round. Keep it within the skew that a poll may have (a fifth of it). */
  readonly deadlineMs: number
  /** Pods that nobody waits for any longer get less: one that hangs would hold up every round of the run. */
  readonly givenUp?: { readonly names: ReadonlySet<string>; readonly deadlineMs: number }
  readonly signal: AbortSignal
  readonly now: () => number
}

/** Asks all pods of both arms at once: windows that do not match would forge evidence. Never rejects. */
export async function scrapePods(pods: Readonly<Record<Role, readonly ScrapePod[]>>, http: Http, terms: ScrapeTerms): Promise<ScrapeRound> {
  const askAll = (arm: readonly ScrapePod[]) => Promise.all(arm.map((pod) => scrapePod(pod, http, terms)))
  const [canary, primary] = await Promise.all([askAll(pods.canary), askAll(pods.primary)])
  return { canary, primary }
}

/**
 * Asks the pods of a proxy, which count for both arms: each answers once in either, under a name of its own. `readyAtMs` is the arms', since
 * a proxy is warm when what it stands before is not. `against`: the name of the arm that the canary is compared with.
 */
export async function scrapeProxy(
  pods: readonly ScrapePod[], names: Readonly<Record<Role, readonly CounterNames[]>>, readyAtMs: Readonly<Record<Role, number | undefined>>, http: Http, terms: Omit<ScrapeTerms, 'names'>, against = 'primary',
): Promise<ScrapeRound> {
  const pages = await Promise.all(pods.map(async (pod) => ({ pod, got: await fetchPage(pod, http, terms, MAX_PROXY_PAGE_BYTES) })))
  const ofArm = (arm: Role): readonly PodAnswer[] => pages.map(({ pod, got }) =>
    ({ ...answerOf({ ...pod, name: `${pod.name} (${arm === 'canary' ? arm : against})`, ...(readyAtMs[arm] === undefined ? {} : { readyAtMs: readyAtMs[arm] }) }, got, names[arm]), isProxy: true as const }))
  return { canary: ofArm('canary'), primary: ofArm('primary') }
}

const scrapePod = async (pod: ScrapePod, http: Http, { names, ...terms }: ScrapeTerms): Promise<PodAnswer> => answerOf(pod, await fetchPage(pod, http, terms, MAX_PAGE_BYTES), [names ?? {}])

type Fetched = { readonly atMs: number; readonly body: string } | { readonly reason: string }

async function fetchPage(pod: ScrapePod, http: Http, { deadlineMs: whole, givenUp, signal, now }: Omit<ScrapeTerms, 'names'>, maxBytes: number): Promise<Fetched> {
  const deadlineMs = givenUp?.names.has(pod.name) ? givenUp.deadlineMs : whole
  try {
    const { status, body } = await http({ url: pageUrl(pod), headers: { accept: 'text/plain;version=0.0.4', 'accept-encoding': 'identity' }, deadlineMs, maxBytes, insecureSkipVerify: true }, signal)
    return status === 200 ? { atMs: now(), body } : { reason: `status ${status}` }
  } catch (err) {
    return { reason: err instanceof Error ? err.message : 'request failed' }
  }
}

/** `names`: the first of these that the page has. */
function answerOf(pod: ScrapePod, got: Fetched, names: readonly CounterNames[]): PodAnswer {
  if ('reason' in got) return { ...pod, answer: { kind: 'failed', reason: got.reason } }
  if (got.body.startsWith(GZIP)) return { ...pod, answer: { kind: 'failed', reason: 'the page is compressed, which was not asked for' } }
  let page: PageCounters = {}
  for (const candidate of names) {
    const read = readPage(got.body, candidate)
    if (!read.page) return { ...pod, answer: { kind: 'failed', reason: read.fault } }
    page = read.page
    if (page.errors) break
  }
  return { ...pod, answer: { kind: 'page', atMs: got.atMs, page } }
}

/** Built from parts that the pod's owner chose: the path must stay a path. */
function pageUrl({ scheme, ip, port, path }: ScrapePod): string {
  const url = new URL(`${scheme}://${ip.includes(':') ? `[${ip}]` : ip}:${port}`)
  const [pathname = '', ...query] = path.split('?')
  url.pathname = pathname
  url.search = query.join('?')
  return url.href
}
