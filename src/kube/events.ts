import { objectKey, type KubeObject, type ObjectRef } from '#api/objects.ts'
import type { KubeClient } from '#kube/client.ts'
import { realAfter, type After } from '#kube/clock.ts'
import { isNotFound } from '#kube/error.ts'
import type { Log } from '#kube/log.ts'

export type EventRecorderOptions = {
  readonly client: KubeClient
  /** Shown as the event's source. */
  readonly component: string
  /** Pod name of the reporter. */
  readonly instance: string
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
  readonly after?: After
}

type Regarding = Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>
export type EventNews = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string }

export type EventRecorder = {
  /** Writes, or counts up, one Event about `regarding`, after those before about the same object. Never rejects: a failed write is logged. */
  record(regarding: Regarding, news: EventNews): Promise<void>
  /** What is still to be written gets this long (ms). */
  close(graceMs: number): Promise<void>
}

/** The API server refuses longer messages. */
const MAX_MESSAGE_BYTES = 1_024
/** The same news again within this time is counted up, not told anew. */
const SAME_NEWS_MS = 10 * 60_000
/** How many kinds of news are remembered: what is forgotten is told as a new Event. */
const MAX_REMEMBERED = 4_096
/** Leaves room for the suffix in a name of 253 bytes. */
const MAX_NAME_BYTES = 230
const LANE = { lane: 'events' } as const

type Told = { ref: ObjectRef | undefined; count: number; at: number }

/** Records core/v1 Events, which `kubectl describe` and `kubectl get events` show. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, component, instance, log, now, random, after = realAfter } = options
  const told = new Map<string, Told>()
  /** By object: its last Event that is still to be written. */
  const tails = new Map<string, Promise<void>>()

  function recall(key: string): Told {
    const known = told.get(key)
    const entry = known && now() - known.at < SAME_NEWS_MS ? known : { ref: undefined, count: 0, at: 0 }
    // Taken out and put back at the end: the first of the map is what was told longest ago.
    told.delete(key)
    told.set(key, entry)
    for (const oldest of told.keys()) {
      if (told.size <= MAX_REMEMBERED) break
      told.delete(oldest)
    }
    return entry
  }

  async function write(entry: Told, count: number, regarding: Regarding, news: EventNews): Promise<void> {
    const at = timestamp(now())
    try {
      if (entry.ref) {
        const counted = { count, lastTimestamp: at }
        try {
          await client.patch(entry.ref, counted, 'merge', LANE)
          return
        } catch (err) {
          // Events live an hour: this one is gone, so it is told anew.
          if (!isNotFound(err)) throw err
        }
      }
      const event = renderEvent(regarding, news, { component, instance, count, at, suffix: suffix(now(), random()) })
      await client.create(event, LANE)
      entry.ref = { apiVersion: 'v1', kind: 'Event', name: event.metadata.name, namespace: event.metadata.namespace ?? 'default' }
    } catch (err) {
      log.warn({ err, reason: news.reason, key: objectKey(regarding.metadata), message: news.message }, 'event not written')
    }
  }
  return {
    record: async (regarding, news) => {
      const short = { ...news, message: truncated(news.message) }
      const { kind, metadata } = regarding
      const entry = recall([kind, metadata.namespace, metadata.name, metadata.uid, short.type, short.reason, short.message].join('\n'))
      entry.at = now()
      entry.count += 1
      const count = entry.count
      // One after the other: two counts at once would make two Events, and a story is told in its order.
      const about = [kind, metadata.namespace, metadata.name].join('/')
      const tail = (tails.get(about) ?? Promise.resolve()).then(() => write(entry, count, regarding, short))
      tails.set(about, tail)
      await tail
      if (tails.get(about) === tail) tails.delete(about)
    },
    async close(graceMs) {
      const { promise: over, resolve } = Promise.withResolvers<void>()
      const cancel = after(graceMs, resolve)
      await Promise.race([Promise.all(tails.values()), over])
      cancel()
    },
  }
}

type EventFacts = { readonly component: string; readonly instance: string; readonly count: number; readonly at: string; readonly suffix: string }

function renderEvent({ apiVersion, kind, metadata }: Regarding, news: EventNews, facts: EventFacts): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata
  return {
    apiVersion: 'v1',
    kind: 'Event',
    // Events about objects without namespace live in `default`, as the API server demands.
    metadata: { name: `${name.slice(0, MAX_NAME_BYTES)}.${facts.suffix}`, namespace: namespace ?? 'default' },
    involvedObject: {
      apiVersion, kind, name,
      ...(namespace ? { namespace } : {}),
      ...(uid ? { uid } : {}),
      ...(resourceVersion ? { resourceVersion } : {}),
    },
    type: news.type,
    reason: news.reason,
    message: news.message,
    count: facts.count,
    firstTimestamp: facts.at,
    lastTimestamp: facts.at,
    source: { component: facts.component },
    reportingComponent: facts.component,
    reportingInstance: facts.instance,
  }
}

const timestamp = (unixMs: number): string => new Date(unixMs).toISOString().replace(/\.\d+Z$/, 'Z')
const suffix = (unixMs: number, random: number): string => Math.floor(unixMs).toString(16) + Math.floor(random * 0x10000).toString(16).padStart(4, '0')

/** At most 1024 bytes, without half a character at the end. */
function truncated(message: string): string {
  const bytes = Buffer.from(message)
  if (bytes.length <= MAX_MESSAGE_BYTES) return message
  const ellipsis = '…'
  return bytes.subarray(0, MAX_MESSAGE_BYTES - Buffer.byteLength(ellipsis)).toString('utf8').replace(/\uFFFD+$/, '') + ellipsis
}
